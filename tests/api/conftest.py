"""Callers of the APIs: programs that show a token; each request has a context of its own, as in a server."""

import contextvars
from typing import Any

import pytest
from flask import Flask, has_app_context
from sqlalchemy import select
from werkzeug.test import TestResponse

from app.database import db
from app.domain import bearer
from app.domain.access import Actor
from app.models import User
from tests.cast import Cast


class Caller:
    """A program that speaks for one person; without a token, for nobody."""

    def __init__(self, app: Flask, token: str = "") -> None:
        self.app = app
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def __call__(self, method: str, path: str, body: Any = None, **options: Any) -> TestResponse:
        """Send one request and return its answer; the test then sees what the request has changed."""
        if has_app_context():  # a thread has none
            db.session.rollback()
        headers = self.headers | options.pop("headers", {})
        send = self.app.test_client().open
        sent = {} if body is None else {"json": body}
        return contextvars.Context().run(send, path, method=method, headers=headers, **sent, **options)


@pytest.fixture
def speaks_for(app: Flask):
    """Return a caller for an actor of the cast."""

    def caller(actor: Actor) -> Caller:
        user = db.session.scalars(select(User).where(User.id == actor.user_id)).one()
        return Caller(app, bearer.issue(user))

    return caller


@pytest.fixture
def owner(cast: Cast, speaks_for) -> Caller:
    """The owner's program."""
    return speaks_for(cast.owner)


@pytest.fixture
def stranger(cast: Cast, speaks_for) -> Caller:
    """A program of another organisation."""
    return speaks_for(cast.stranger)


@pytest.fixture
def nobody(app: Flask) -> Caller:
    """A program without a token."""
    return Caller(app)
