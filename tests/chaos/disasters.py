"""Disasters on order: a database that is locked, full or cut off, a Redis that dies, a clock that is set."""

import datetime
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import redis
from flask import Flask
from sqlalchemy import create_engine, event, text

from app import database
from app.database import db
from tests.buckets import free_port
from tests.chaos.hosts import wait_until


class RedisServer:
    """A Redis that keeps nothing on disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        options = ["--port", str(self.port), "--save", "", "--appendonly", "no", "--dir", str(self.folder)]
        self.process = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)
        wait_until(self.answers, "Redis answers")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def answers(self) -> bool:
        try:
            return bool(redis.Redis.from_url(self.url).ping())
        except redis.RedisError:
            return False


@contextmanager
def no_page_more() -> Iterator[None]:
    """Let SQLite's file grow no further: each connection is told that this is all there is."""

    def limit(connection, _record) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")

    db.session.remove()
    db.engine.dispose()
    event.listen(db.engine, "connect", limit)
    try:
        yield
    finally:
        event.remove(db.engine, "connect", limit)
        db.session.remove()
        db.engine.dispose()


@contextmanager
def locked() -> Iterator[Callable[[], None]]:
    """Let somebody else hold every lock there is, until the given is called or the block ends."""
    if db.engine.dialect.name == "sqlite":
        other = sqlite3.connect(db.engine.url.database, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN EXCLUSIVE")
        let_go, close = other.rollback, other.close
    else:
        engine = create_engine(db.engine.url)
        held = engine.connect()
        held.execute(text('LOCK TABLE chunk, job, campaign, organisation, ledger_entry, audit_entry, "user"'))
        let_go, close = held.rollback, engine.dispose
    once = threading.Lock()

    def release() -> None:
        if once.acquire(blocking=False):
            let_go()

    try:
        yield release
    finally:
        release()
        close()


class Cuts:
    """While this lasts, every connection to the database is cut now and then, as a restart does."""

    def __init__(self, app: Flask) -> None:
        self.engine = create_engine(app.config["SQLALCHEMY_DATABASE_URI"], isolation_level="AUTOCOMMIT")
        self.count = 0
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._cut, daemon=True)

    def __enter__(self) -> "Cuts":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.thread.join()
        self.engine.dispose()

    def _cut(self) -> None:
        others = "datname = current_database() AND pid <> pg_backend_pid()"
        cut = text(f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE {others}")
        while not self.done.wait(0.2):
            with self.engine.connect() as connection:
                self.count += connection.scalar(cut)


def set_clock(patch: pytest.MonkeyPatch, jump: timedelta) -> None:
    """Set the wall clock of this process; the clocks that count from the start go on."""
    real, real_time = datetime.datetime, time.time

    class Clock(real):
        @classmethod
        def now(cls, tz=None):
            return real.now(tz) + jump

    patch.setattr(database, "datetime", Clock)
    patch.setattr(time, "time", lambda: real_time() + jump.total_seconds())
