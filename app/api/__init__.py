"""The documented JSON APIs; one file per API."""

from flask import Flask
from flask_wtf import CSRFProtect


def init_app(app: Flask, csrf: CSRFProtect) -> None:
    """Hang the APIs into the app. They take tokens and never a cookie, so they need no CSRF token."""
    from app.api import auth, billing, cards, errors, openapi  # noqa: F401 - hangs their routes up
    from app.api.door import bp

    csrf.exempt(bp)
    app.register_blueprint(bp)
    app.extensions["fieldcard-api-errors"] = errors.answer  # for addresses of the APIs that no route has
