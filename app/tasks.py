"""Tasks: the bell that wakes workers, and the tick that rings it for whatever waits."""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable

from flask import Flask, current_app

from app.database import db, settings
from app.domain import sweeping, work
from app.queue import task

log = logging.getLogger(__name__)
stop = threading.Event()
SWEEP_SECONDS = 3_600


def init_app(app: Flask) -> None:
    """Nothing to connect: importing this module made its tasks known to the queue."""
    app.extensions["fieldcard-ring"] = ring


@task
def work_once(_reason: str) -> None:
    """Do one piece of work, and ring again while there may be more."""
    if work.do_one(whoami(), stopping=stop.is_set):
        work_once("more")


def ring() -> None:
    """Wake the workers, once each. A bell that fails is no error: the tick rings again for whatever waits."""
    queue = current_app.extensions["fieldcard-queue"]
    try:
        for _ in range(max(0, settings().workers - queue.pending_count())):
            work_once("ring")
    except Exception:
        log.warning("The bell could not be rung; the next tick will.", exc_info=True)


def tick() -> None:
    """Take up what a dead worker left, and ring while anything waits."""
    work.take_up()
    if work.waits():
        ring()


def keep_ticking(app: Flask) -> None:
    """Tick every FIELDCARD_REAP_SECONDS and sweep now and then, until the process stops.

    Every worker sweeps; harmless, because a file is removed once, and none that a row knows.
    """
    swept = time.monotonic()
    with app.app_context():
        while not stop.wait(settings().reap_seconds):
            _safely(tick)
            if time.monotonic() - swept > SWEEP_SECONDS:
                swept = time.monotonic()
                _safely(sweeping.sweep)


def _safely(act: Callable[[], object]) -> None:
    """Do it; a database or a disk that is away is tried again at the next tick."""
    try:
        act()
    except Exception:
        log.warning("A tick failed; the next one tries again.", exc_info=True)
    finally:
        db.session.remove()


def whoami() -> str:
    """Return this worker's name for leases: its machine and process."""
    return f"{socket.gethostname()}:{os.getpid()}"
