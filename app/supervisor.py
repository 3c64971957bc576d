"""One command, several processes: web server and workers are started, watched and stopped here.

Only the order of things, the signals and the lock on the data folder; what the processes do lives elsewhere. Imports
the standard library, the settings and `children` alone, so that the supervisor is small and starts at once.
"""

import fcntl
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from app.children import Child, Command
from app.settings import ROOT, Settings

TICK = 0.1  # seconds between two looks at the children
STOP_LASTS = 25.0  # seconds from "please stop" to the kill; a worker hands its work back in far less
OPENING_LASTS = 10.0  # seconds after which the workers start even if the web server does not answer yet


class CannotStart(Exception):
    """Why nothing was started; the message is for the person at the terminal."""


@dataclass(frozen=True)
class Plan:
    """What to run on one data folder, as commands for `subprocess`."""

    home: Path
    alone: bool  # True: nothing else may run on this folder; False: others that are not alone may
    prepare: Command  # runs first and must end well
    web: Command | None = None
    listens: tuple[str, int] = ("127.0.0.1", 8000)  # where `web` will answer
    address: str = ""  # what people type to reach it
    workers: Sequence[Command] = ()
    demo: Command | None = None  # prints who may sign in when it has made the demo, otherwise nothing
    environment: Mapping[str, str] = field(default_factory=dict)  # added to ours


def run(settings: Settings, *, web: bool = True, workers: int | None = None) -> int:
    """Run the portal until it is stopped and return the exit code.

    `workers` is how many; None takes the setting. Both roles together own the data folder, migrate and make
    the demo; one role alone only checks that the database is up to date, for its neighbours may be at work.
    """
    return supervise(plan_for(settings, web, settings.workers if workers is None else workers))


def supervise(plan: Plan) -> int:
    """Run the plan until somebody stops it; return 0 after a stop, 1 when it could not start."""
    try:
        with _lock(plan.home, plan.alone):
            if plan.web:
                _refuse_taken_port(*plan.listens)
            return _Crew(plan).run()
    except CannotStart as why:
        print(why, file=sys.stderr, flush=True)
        return 1


def plan_for(settings: Settings, web: bool, workers: int) -> Plan:
    """Return what to run; by the word fieldcard-worker in its command line a worker, and no other, is told."""
    both = web and workers > 0
    fieldcard = (sys.executable, "-c", "from app.cli import main; main()")
    prepare = f"from app.cli import prepare_to_serve; prepare_to_serve(migrating={both})"
    return Plan(
        home=settings.home,
        alone=both,
        prepare=(sys.executable, "-c", prepare),
        web=(sys.executable, "-m", "gunicorn", "-c", "python:app.webserver", "wsgi:app") if web else None,
        listens=(settings.bind, settings.port),
        address=settings.public_url,
        workers=[(sys.executable, "-m", "app.worker", f"fieldcard-worker-{n + 1}") for n in range(workers)],
        demo=(*fieldcard, "demo") if both and not settings.production else None,
        environment={
            "FIELDCARD_HOME": str(settings.home),
            "FIELDCARD_BIND": settings.bind,
            "PORT": str(settings.port),
        },
    )


@contextmanager
def _lock(home: Path, alone: bool) -> Iterator[None]:
    """Hold the data folder; the kernel lets go of it however we end, and children do not inherit it."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "supervisor.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise CannotStart(
                f"Fieldcard already runs on {home} (process {lock.read().strip() or 'unknown'}): "
                "stop it first, or set FIELDCARD_HOME to another folder."
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def _refuse_taken_port(host: str, port: int) -> None:
    """Try the port before anything else: gunicorn would say so after the migration, and again and again."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise CannotStart(
                f"Port {port} on {host} cannot be used ({error.strerror}): choose another, for example "
                f"PORT={port + 1} ./run"
            ) from None


class _Crew:
    """The processes of one plan, from the first start to the last stop."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.stops_asked = 0
        self.children: list[Child] = []
        self.waiting_workers = [(f"worker {n}", command) for n, command in enumerate(plan.workers, start=1)]
        self.workers_start = 0.0  # when they start at the latest
        self.demo: Child | None = None
        self.is_open = False

    def run(self) -> int:
        with _on_stop(self._ask_to_stop):
            try:
                if not self._prepare():
                    return 0 if self.stops_asked else 1
                self._start()
                while not self.stops_asked:
                    self._look_after()
                    time.sleep(TICK)
                return 0
            finally:
                self._stop()

    def _ask_to_stop(self, *_signal: object) -> None:
        self.stops_asked += 1

    def _prepare(self) -> bool:
        """Return whether the preparing child ended well; when it did not, it has said why."""
        child = self._add("preparation", self.plan.prepare)
        while child.is_running() and not self.stops_asked:
            time.sleep(TICK)
        if self.stops_asked:
            return False
        self.children.remove(child)
        return child.process.returncode == 0

    def _start(self) -> None:
        """Start the web server first: the workers would take the cores that it needs to open soon."""
        self.workers_start = time.monotonic()
        if self.plan.web:
            self.workers_start += OPENING_LASTS
            self._add("web server", self.plan.web)
        if self.plan.demo:
            self.demo = self._add("demo", self.plan.demo, stdout=subprocess.PIPE)

    def _add(self, name: str, command: Command, stdout: int | None = None) -> Child:
        environment = {**os.environ, **self.plan.environment, "PYTHONUNBUFFERED": "1"}
        child = Child(name, command, ROOT, environment)
        self.children.append(child)
        child.start(stdout)
        return child

    def _look_after(self) -> None:
        for child in self.children:
            if child is not self.demo and (news := child.keep_running()):
                _say(news)
        if self.plan.web and not self.is_open and _answers(*self.plan.listens):
            self.is_open = True
            _say(f"Fieldcard is open at {self.plan.address} (Ctrl-C stops it).")
        if self.is_open or time.monotonic() >= self.workers_start:
            while self.waiting_workers:
                self._add(*self.waiting_workers.pop(0))
        if self.demo and self.is_open and not self.demo.is_running():
            self._tell_demo()

    def _tell_demo(self) -> None:
        """Pass on what the demo printed, after the address, where a person looks for it."""
        told, _ = self.demo.process.communicate()
        print(told, end="", flush=True)
        if self.demo.process.returncode:
            _say("The demo could not be made; the portal runs without it.")
        self.children.remove(self.demo)
        self.demo = None

    def _stop(self) -> None:
        """Ask every child to stop, wait, and kill what is left; a second Ctrl-C kills at once."""
        running = [child for child in self.children if child.is_running()]
        for child in running:
            child.process.terminate()
        deadline = time.monotonic() + STOP_LASTS
        while any(child.is_running() for child in running):
            if time.monotonic() > deadline or self.stops_asked > 1:
                break
            time.sleep(TICK)
        for child in running:
            child.kill()


@contextmanager
def _on_stop(ask: Callable[..., None]) -> Iterator[None]:
    """Call `ask` on Ctrl-C, on SIGTERM and when the terminal closes, unless `nohup` said to outlive it."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    for number, handler in before.items():
        if number != signal.SIGHUP or handler != signal.SIG_IGN:
            signal.signal(number, ask)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _answers(host: str, port: int) -> bool:
    """Return whether the portal answers; an open port is not enough, gunicorn opens it before it loads.

    It is asked about itself alone: the workers start later.
    """
    reach = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    connection = http.client.HTTPConnection(reach, port, timeout=0.5)
    try:
        connection.request("GET", "/healthz?web")
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _say(sentence: str) -> None:
    print(sentence, flush=True)
