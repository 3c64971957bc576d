"""One child process: started so that it cannot outlive its parent, started again when it ends, ended with its group."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

SOON = 10.0  # a child that ends by itself within so many seconds of its start has "ended at once"
LONGEST_PAUSE = 30.0  # seconds between two starts of a child that keeps ending at once
PAUSE_AFTER_KILLS = 1.0  # the same when it is killed each time: a killed worker is back within two seconds
PR_SET_PDEATHSIG = 1  # linux/prctl.h
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None

Command = Sequence[str]


class Child:
    """One process and its history; `keep_running` puts a new process in the place of one that ended."""

    def __init__(self, name: str, command: Command, folder: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.command = command
        self.folder = folder
        self.environment = environment
        self.process: subprocess.Popen[str] | None = None
        self.started = 0.0
        self.next_start = 0.0
        self.ended_at_once = 0  # in a row

    def start(self, stdout: int | None = None) -> None:
        """Start the process, in a session of its own: Ctrl-C at the terminal shall reach it through us only."""
        self.started = time.monotonic()
        self.process = subprocess.Popen(  # noqa: S603 - commands come from our own plan
            self.command,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            text=True,
            start_new_session=True,
            preexec_fn=partial(die_with_parent, os.getpid()),
        )

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def keep_running(self) -> str:
        """Start the process again if it ended: at once, or after a growing pause if it cannot live.

        Returns a sentence when there is news, else "".
        """
        if self.is_running():
            return ""
        news = self._bury() if self.process else ""
        if time.monotonic() < self.next_start:
            return news
        try:
            self.start()
        except OSError as error:  # no memory or no process left just now; that may pass
            self.next_start = time.monotonic() + 1
            return f"The {self.name} cannot be started ({error.strerror}); next try in 1 s."
        return news

    def _bury(self) -> str:
        """Clear away the ended process, plan the next start and return what happened."""
        self.kill()  # what it left behind may hold the port, and nobody else watches over it
        code, lived = self.process.returncode, time.monotonic() - self.started
        self.process = None
        news = f"The {self.name} ended with " + (f"signal {-code}" if code < 0 else f"exit code {code}")
        killed = code in (-signal.SIGKILL, -signal.SIGTERM)  # somebody's doing, or the kernel's when memory is short
        self.ended_at_once = self.ended_at_once + 1 if lived <= SOON else 0
        if self.ended_at_once == 0 or (killed and self.ended_at_once == 1):
            self.next_start = 0.0
            return f"{news}; it starts again."
        pause = PAUSE_AFTER_KILLS if killed else min(2.0 ** (self.ended_at_once - 1), LONGEST_PAUSE)
        self.next_start = time.monotonic() + pause
        return (
            f"{news} {lived:.0f} s after its start, {self.ended_at_once} times in a row; what it said stands above. "
            f"It starts again in {pause:.0f} s."
        )

    def kill(self) -> None:
        """Kill the process with everything it started; every child leads a process group of its own."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def die_with_parent(parent: int) -> None:
    """Let the kernel kill this process when `parent` dies, even by kill -9; end at once if it is dead already.

    Called in a fresh fork: by `subprocess` before exec (the setting survives exec), by gunicorn for its own
    child. The kernel watches the thread that forked, so the parent must fork from its main thread; ours has no
    other, which is also what makes `preexec_fn` safe. (A small program in between would need no `preexec_fn`, but
    one more start of Python per child, and would leave a moment in which nobody watches.)
    The signal is SIGKILL: nobody is left who could wait for a graceful end, and a killed worker loses nothing.
    Outside Linux there is no such call, and a supervisor that is killed with -9 leaves its children running.
    """
    if LIBC is not None:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
