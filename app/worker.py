"""One worker: a Huey consumer with one thread that draws, and one that ticks. Run as `python -m app.worker NAME`."""

import logging
import signal
import sys
import threading

from huey.consumer import Consumer

from app import tasks

POLL_SECONDS = 0.5


class OneThread(Consumer):
    """Huey's consumer; a signal also sets our flag, so that drawing stops between two cards."""

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
    with app.app_context():
        tasks.ring()
    threading.Thread(target=tasks.keep_ticking, args=(app,), daemon=True).start()
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
    return 0


if __name__ == "__main__":
    sys.exit(main())
