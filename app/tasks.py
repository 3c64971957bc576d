"""Tasks: the bell that wakes workers, and what each worker does by the clock: tick, duties, and its heartbeat."""

import logging
import threading
from collections.abc import Callable

from flask import Flask, current_app

from app.database import db, settings, utc_now
from app.domain import duties, work, workers
from app.domain.workers import BEAT_SECONDS, whoami
from app.queue import task

log = logging.getLogger(__name__)
stop = threading.Event()


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
    """Take up what a dead worker left, ring while anything waits, and do what is quick and due."""
    work.take_up()
    if work.waits():
        ring()
    duties.book_due(stopping=stop.is_set)


def queue_problem() -> str | None:
    """Return the kind of error with which the queue answers, None when it is there."""
    try:
        current_app.extensions["fieldcard-queue"].pending_count()
    except Exception as error:
        return type(error).__name__
    return None


def keep_ticking(app: Flask) -> None:
    """Tick every FIELDCARD_REAP_SECONDS until the process stops."""
    _keep_doing(app, tick, lambda: settings().reap_seconds)


def keep_doing_duties(app: Flask) -> None:
    """Look for what is due as often, in a thread of its own: a duty may take minutes, and the tick must not wait."""
    _keep_doing(app, lambda: duties.do_due(whoami(), stopping=stop.is_set), lambda: settings().reap_seconds)


def keep_beating(app: Flask) -> None:
    """Say that this worker is alive, at once and every few seconds, and at the end that it leaves."""
    started_at = utc_now()
    with app.app_context():
        _safely(lambda: workers.beat(whoami(), started_at))
    _keep_doing(app, lambda: workers.beat(whoami(), started_at), lambda: min(settings().reap_seconds, BEAT_SECONDS))
    with app.app_context():
        _safely(lambda: workers.leave(whoami()))


def _keep_doing(app: Flask, act: Callable[[], object], pause: Callable[[], float]) -> None:
    with app.app_context():
        while not stop.wait(pause()):
            _safely(act)


def _safely(act: Callable[[], object]) -> None:
    """Do it; a database or a disk that is away is tried again at the next tick."""
    try:
        act()
    except Exception:
        log.warning("What falls due by the clock failed; it is tried again soon.", exc_info=True)
    finally:
        db.session.remove()
