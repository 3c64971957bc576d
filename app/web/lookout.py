"""The lookout: looks at the installation's health in a thread, and answers in time whatever hangs."""

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from flask import Flask

from app import tasks
from app.domain import health, workers
from app.domain.health import Exam, Finding, LastCheckUp
from app.domain.workers import Seen

log = logging.getLogger(__name__)
FRESH_SECONDS = 2.0
PATIENCE_SECONDS = 1.5
STUCK_SECONDS = 15.0  # after which another look is begun beside one that hangs
MOST_RUNNING = 4


@dataclass
class Look:
    """One look at the installation, filled by a thread; `asking` is what it waits for just now."""

    began: float = field(default_factory=time.monotonic)
    done: threading.Event = field(default_factory=threading.Event)
    asking: str = "database"
    findings: Sequence[Finding] = ()
    check_up: LastCheckUp | None = None
    workers: Sequence[Seen] = ()

    @property
    def is_old(self) -> bool:
        """Whether it is time for another."""
        return time.monotonic() - self.began > (FRESH_SECONDS if self.done.is_set() else STUCK_SECONDS)

    def so_far(self) -> "Look":
        """Return what was found until now, and that what is asked just now does not answer."""
        silent = health.unknown(self.asking, "no answer in time")
        return Look(findings=(*self.findings, silent), check_up=self.check_up, workers=self.workers)


class Lookout:
    """Looks when asked, at most every two seconds, and waits no longer than a second and a half for what it sees.

    It looks in a context of its own, and so sees all organisations: what it found is told with care.
    """

    def __init__(self, app: Flask) -> None:
        self.app = app
        self._lock = threading.Lock()
        self._last: dict[bool, Look] = {}
        self._running: list[Look] = []

    def look(self, *, of_one_process: bool = False) -> Look:
        """Return what is to be seen now: everything, or what this process alone needs to answer people."""
        with self._lock:
            self._running = [look for look in self._running if not look.done.is_set()]
            look = self._last.get(of_one_process)
            if look is None or (look.is_old and len(self._running) < MOST_RUNNING):
                look = self._last[of_one_process] = Look()
                self._running.append(look)
                threading.Thread(target=self._fill, args=(look, of_one_process), daemon=True).start()
        return look if look.done.wait(PATIENCE_SECONDS) else look.so_far()

    def _fill(self, look: Look, of_one_process: bool) -> None:
        try:
            with self.app.app_context():
                exams = health.OF_ONE_PROCESS if of_one_process else {"queue": _queue, **health.EXAMS}
                for about, exam in exams.items():
                    look.asking = about
                    found = _asked(about, exam)
                    look.findings = (*look.findings, found)
                    if found.stops and about in health.FIRST_OF_ALL:
                        return
                if not of_one_process:
                    look.check_up, look.workers = health.last_check_up(), workers.seen()
        except Exception:
            log.exception("The look at the installation's health broke off.")
        finally:
            look.done.set()


def _queue() -> Finding:
    return health.queue(tasks.queue_problem())


def _asked(about: str, exam: Exam) -> Finding:
    """Return the exam's finding; one that fails is a finding too."""
    try:
        return exam()
    except Exception as error:
        log.warning("The exam “%s” failed.", about, exc_info=True)
        return health.unknown(about, type(error).__name__)
