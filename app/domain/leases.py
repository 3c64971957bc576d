"""Leases: the right to work on something until a moment, and the fence that ends a right that was lost.

Time is measured where the rows are: by PostgreSQL's own clock, or on SQLite by CLOCK_BOOTTIME, which no change of
the wall clock can move; a lease of another boot of the machine has expired.
"""

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from flask import Flask
from sqlalchemy import ColumnElement, Double, cast, func, or_, update

from app.database import db, settings, transaction
from app.models.base import Leased

Checkpoint = Callable[[], None]
BOOTTIME: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class LeaseLost(Exception):
    """Somebody else holds this work now, or nobody may: stop, and leave no trace."""


@dataclass(frozen=True)
class Holder:
    """A worker's hold on one row: `table` is its model, `row` says which, `fence` proves the hold."""

    table: type[Leased]
    row: tuple[ColumnElement[bool], ...]
    fence: uuid.UUID


def free(table: type[Leased]) -> ColumnElement[bool]:
    """Return the condition that nobody holds the row, or that its holder's time is over."""
    boot, now = _clock()
    return or_(table.lease_fence.is_(None), table.lease_boot != boot, table.lease_expires < now)


def overdue(table: type[Leased]) -> ColumnElement[bool]:
    """Return the condition that a holder has not been heard of for a lease beyond its time."""
    boot, now = _clock()
    return or_(table.lease_boot != boot, table.lease_expires + settings().lease_seconds < now)


def taken(owner: str) -> dict[str, Any]:
    """Return the values that make the row `owner`'s for the length of a lease, under a fresh fence."""
    return {
        "lease_owner": owner,
        "lease_fence": uuid.uuid4(),
        "lease_boot": _clock()[0],
        "lease_expires": end_of_a_lease(),
    }


def end_of_a_lease() -> Any:
    """Return when a lease that begins now ends, for the database to write down."""
    return _clock()[1] + settings().lease_seconds


RELEASED: dict[str, None] = dict.fromkeys(("lease_owner", "lease_fence", "lease_boot", "lease_expires"))


def renew(holder: Holder) -> bool:
    """Hold on for another lease; False when the hold was lost."""
    with transaction() as session:
        changed = session.execute(
            update(holder.table)
            .where(*holder.row, holder.table.lease_fence == holder.fence)
            .values(lease_expires=end_of_a_lease())
            .execution_options(synchronize_session=False)
        )
    return changed.rowcount == 1


class Heartbeat:
    """Renews a hold every third of a lease, in a thread, but only while the work moves.

    Use it as a context manager and call `moved()` at each step; it raises LeaseLost once the hold is gone.
    """

    def __init__(self, app: Flask, holder: Holder) -> None:
        self.app = app
        self.holder = holder
        self.steps = 0
        self.lost = False
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> "Heartbeat":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def moved(self) -> None:
        """Say that the work has moved on; raise LeaseLost when it is not ours any more."""
        self.steps += 1
        if self.lost:
            raise LeaseLost

    def _beat(self) -> None:
        seen = 0
        with self.app.app_context():
            while not self._done.wait(settings().lease_seconds / 3):
                if self.steps == seen:
                    continue
                steps = self.steps
                held = self._renewed()
                if held is False:
                    self.lost = True
                    return
                if held:  # else it is tried again for the same steps, though the next one may take long
                    seen = steps

    def _renewed(self) -> bool | None:
        """Return whether the hold is ours, None when the database gave no answer.

        One that is busy or away for a moment is no lost lease: the fence decides at the end.
        """
        try:
            return renew(self.holder)
        except Exception:
            self.app.logger.warning("A lease could not be renewed; trying again.", exc_info=True)
            return None
        finally:
            db.session.remove()


def _clock() -> tuple[str, Any]:
    if db.engine.dialect.name == "postgresql":
        return "postgresql", cast(func.extract("epoch", func.clock_timestamp()), Double)
    return _boot_id(), time.clock_gettime(BOOTTIME)


@cache
def _boot_id() -> str:
    """Return the id of this run of the machine (Linux); elsewhere one per process, so that restarts expire leases."""
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else str(uuid.uuid4())
