"""Hosts: machines of one installation, each a supervisor with one worker and a data folder of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from app.settings import ROOT, Settings

PATIENCE_SECONDS = 240
LEASE_SECONDS = 6  # longer than a card takes on a busy machine, or workers would rob each other for ever


@dataclass(frozen=True)
class Host:
    """A machine of the installation: its supervisor with one worker, its own data folder, and its log."""

    supervisor: subprocess.Popen
    log: Path

    def workers(self) -> list[psutil.Process]:
        """Return its worker processes, known by their command line."""
        found = []
        with suppress(psutil.NoSuchProcess):
            for process in psutil.Process(self.supervisor.pid).children():
                with suppress(psutil.NoSuchProcess):
                    if any("fieldcard-worker" in word for word in process.cmdline()):
                        found.append(process)
        return found


@contextmanager
def host(settings: Settings, home: Path, *, production: bool = False) -> Iterator[Host]:
    """Run one worker under a supervisor of its own until the block ends."""
    home.mkdir()
    environment = os.environ | {
        "FIELDCARD_HOME": str(home),
        "FIELDCARD_SECRET": settings.secret.decode(),
        "DATABASE_URL": settings.database,
        "QUEUE_URL": settings.queue,
        "FILES_URL": settings.files,
        "FIELDCARD_LEASE_SECONDS": str(LEASE_SECONDS),
        "FIELDCARD_REAP_SECONDS": "0.5",
    }
    if production:
        environment |= {"FIELDCARD_ENV": "production", "FIELDCARD_PUBLIC_URL": "https://cards.example"}
    log = home.with_suffix(".log")
    with log.open("w") as out:
        command = [sys.executable, "-m", "app.cli", "serve", "--worker", "1"]
        running = Host(subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=out), log)
        try:
            yield running
        finally:
            for process in running.workers():
                process.send_signal(signal.SIGCONT)
            running.supervisor.terminate()
            running.supervisor.wait(40)


def wait_until(true: Callable[[], bool], what: str) -> None:
    """Wait for something that must come; fail with its name when it does not."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < deadline, f"Waited in vain until {what}."
        time.sleep(0.1)
