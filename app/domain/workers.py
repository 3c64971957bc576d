"""Workers: which processes there are to work, as their heartbeats tell. What they do is in `work.py`."""

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, select, update

from app.database import added_first, db, one_transaction, utc_now
from app.models import Worker

BEAT_SECONDS = 10.0
SILENT_AFTER = timedelta(seconds=60)
FORGOTTEN_AFTER = timedelta(days=1)


@dataclass(frozen=True)
class Seen:
    """A worker: where it runs, since when, when it was last heard of, and whether that is long ago."""

    host: str
    pid: int
    started_at: datetime
    seen_at: datetime
    silent: bool


def whoami() -> str:
    """Return this process's name, for its leases and its heartbeat: its machine and process."""
    return f"{socket.gethostname()}:{os.getpid()}"


@one_transaction
def beat(name: str, started_at: datetime) -> None:
    """Say that the worker `name`, this process, is alive; forget workers not heard of for a day.

    The database's clock counts, where it has one: those of several machines differ.
    """
    heard = {"seen_at": _now(), "started_at": started_at}
    changed = db.session.execute(
        update(Worker).where(Worker.name == name).values(**heard).execution_options(synchronize_session=False)
    )
    if not changed.rowcount:
        added_first(Worker(name=name, host=socket.gethostname(), pid=os.getpid(), **heard))
    long_ago = Worker.seen_at < _now() - FORGOTTEN_AFTER
    db.session.execute(delete(Worker).where(long_ago).execution_options(synchronize_session=False))


@one_transaction
def leave(name: str) -> None:
    """Say that the worker ends, so that nobody waits for it."""
    db.session.execute(delete(Worker).where(Worker.name == name))


def seen() -> Sequence[Seen]:
    """Return the workers heard of within a day, by machine and process."""
    silent = Worker.seen_at < _now() - SILENT_AFTER
    rows = db.session.execute(
        select(Worker.host, Worker.pid, Worker.started_at, Worker.seen_at, silent).order_by(Worker.host, Worker.pid)
    )
    return [Seen(*row) for row in rows]


def one_lives() -> bool:
    """Return whether any worker was heard of within a minute."""
    heard = Worker.seen_at >= _now() - SILENT_AFTER
    return db.session.scalar(select(func.count()).select_from(Worker).where(heard)) > 0


def _now() -> Any:
    return func.clock_timestamp() if db.engine.dialect.name == "postgresql" else utc_now()
