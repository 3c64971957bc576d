"""Who is signed in: Flask-Login's view of our session rows."""

from flask import Flask, g, session
from flask_login import LoginManager, logout_user

from app.domain import accounts
from app.models import User

SESSION_TOKEN = "token"  # noqa: S105 - the name of the value, not the value


def init_app(app: Flask, login: LoginManager) -> None:
    """Let Flask-Login find the person by the session row that the cookie's token names."""
    login.request_loader(lambda _request: _present())


def carry(token: str, language: str | None = None) -> None:
    """Let this browser's cookie carry the session `token`, and nothing that was in it before signing in."""
    forget()
    session[SESSION_TOKEN] = token
    if language:
        session["language"] = language


def carried() -> str:
    """Return the token that this browser's cookie carries, empty when there is none."""
    return session.get(SESSION_TOKEN, "")


def forget() -> None:
    """Empty this browser's cookie, but for the language that was chosen."""
    language = session.get("language")
    session.clear()
    if language:
        session["language"] = language


def ask_nobody() -> None:
    """For the rest of this request take nobody for signed in: the database that knows has failed.

    The session row and the cookie stay; at the next request the person is there again.
    """
    g.asks_nobody = True
    logout_user()


def _present() -> User | None:
    token = carried()
    return accounts.who_holds(token) if token and "asks_nobody" not in g else None
