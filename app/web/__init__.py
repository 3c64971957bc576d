"""Pages and fragments for people in a browser; one file per noun."""

from flask import Flask
from flask_babel import Babel
from flask_login import LoginManager

from app.web.door import bp


def init_app(app: Flask, babel: Babel, login: LoginManager) -> None:
    """Hang the portal's pages into the app, with its languages, its sign-in and its manners."""
    from app.web import access_log, errors, forms, frame, headers, languages, pages, people_in, unstorable

    pages.load()
    access_log.init_app(app)
    languages.init_app(app, babel)
    people_in.init_app(app, login)
    forms.init_app(app)
    frame.init_app(app)
    headers.init_app(app)
    errors.init_app(app)
    unstorable.init_app(app)
    app.register_blueprint(bp)
