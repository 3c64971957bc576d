"""What the tests of pages share: a browser."""

import pytest
from flask import Flask

from tests.web.client import Client


@pytest.fixture
def client(app: Flask) -> Client:
    """A browser that nobody has signed in with yet."""
    return Client(app)
