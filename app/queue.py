"""The queue: Huey on SQLite or Redis, trusted with nothing but ids in JSON.

It is a doorbell. Whatever it loses is found again in the database, so it keeps no results and takes no pickle.
"""

import json
from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, current_app
from huey import PriorityRedisHuey, SqliteHuey
from huey.api import Huey
from huey.serializer import Serializer

NAME = "fieldcard"
REDIS_SECONDS = 2.5  # to answer, more than the second in which a worker waits for a message
TASKS: dict[str, Callable[..., None]] = {}


class JsonSerializer(Serializer):
    """Writes messages as JSON lists of plain values; a pickle that somebody slipped into the queue is refused."""

    def _serialize(self, data: Any) -> bytes:
        return json.dumps(list(data)).encode()

    def _deserialize(self, data: bytes) -> Any:
        from huey.registry import Message

        fields = json.loads(bytes(data))
        fields[Message._fields.index("args")] = tuple(fields[Message._fields.index("args")])
        return Message(*fields)


def task(function: Callable[..., None]) -> Callable[..., None]:
    """Make `function` a task: calling it puts its ids into the queue, a worker runs it inside the app."""
    TASKS[function.__name__] = function

    @wraps(function)
    def enqueue(*ids: Any) -> None:
        current_app.extensions["fieldcard-tasks"][function.__name__](*ids)

    return enqueue


def connect(app: Flask, url: str) -> Huey:
    """Return the queue at `url` (`sqlite:///FILE` or `redis://…`) with every task known to it."""
    huey = _redis(url) if urlsplit(url).scheme.startswith("redis") else _sqlite(url)
    app.extensions["fieldcard-queue"] = huey
    app.extensions["fieldcard-tasks"] = {
        name: huey.task(name=name)(_inside(app, function)) for name, function in TASKS.items()
    }
    return huey


def _sqlite(url: str) -> Huey:
    return SqliteHuey(
        NAME, filename=url.removeprefix("sqlite:///"), timeout=30, results=False, serializer=JsonSerializer()
    )


def _redis(url: str) -> Huey:
    from redis import ConnectionPool  # an extra

    pool = ConnectionPool.from_url(url, socket_connect_timeout=REDIS_SECONDS, socket_timeout=REDIS_SECONDS)
    return PriorityRedisHuey(NAME, connection_pool=pool, results=False, serializer=JsonSerializer())


def _inside(app: Flask, function: Callable[..., None]) -> Callable[..., None]:
    @wraps(function)
    def run(*ids: Any) -> None:
        with app.app_context():
            function(*ids)

    return run
