"""One worker: a Huey consumer with one thread that draws, and one that ticks. Run as `python -m app.worker NAME`."""

import logging
import signal
import sys
import threading
from collections.abc import Callable
from importlib import import_module

from flask import Flask
from huey.consumer import Consumer

from app import tasks

POLL_SECONDS = 0.5
LEAVING_SECONDS = 3.0  # for the last heartbeat, which says that the worker leaves; a database may be away just then


class OneThread(Consumer):
    """Huey's consumer; a signal also sets our flag, so that drawing stops between two cards."""

    def start(self) -> None:
        """Listen to signals first: Huey does so last, when its thread may hold work that a death would leave behind."""
        self._set_signal_handlers()
        super().start()

    def _set_signal_handlers(self) -> None:
        super()._set_signal_handlers()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def _stop(self, _number: int, _frame: object) -> None:
        tasks.stop.set()
        self._signum = signal.SIGTERM


def main() -> int:
    """Work until told to stop; return the process's exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s worker %(process)d %(levelname)s %(message)s")
    logging.getLogger("huey").setLevel(logging.WARNING)
    from app.cli import ready_app

    app = ready_app()
    import_module("app.rendering.side")  # before the first claim: its second or two would be taken from the lease
    with app.app_context():
        tasks.ring()
    heart = _start(tasks.keep_beating, app)
    _start(tasks.keep_ticking, app)
    _start(tasks.keep_doing_duties, app)
    OneThread(
        app.extensions["fieldcard-queue"],
        workers=1,
        periodic=False,
        initial_delay=POLL_SECONDS / 5,
        max_delay=POLL_SECONDS,
        check_worker_health=False,
        worker_type="thread",
        graceful_signal="TERM",
    ).run()
    heart.join(LEAVING_SECONDS)
    return 0


def _start(act: Callable[[Flask], None], app: Flask) -> threading.Thread:
    thread = threading.Thread(target=act, args=(app,), daemon=True)
    thread.start()
    return thread


if __name__ == "__main__":
    sys.exit(main())
