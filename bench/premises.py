"""Premises of a measurement: data folder, database, queue and port of its own, and the real `fieldcard serve` there."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from sqlalchemy import create_engine, text

from app.children import die_with_parent
from app.settings import ROOT, Settings

PROC = Path("/proc")
STOP_SECONDS = 40.0  # the supervisor itself takes at most 25
MAKE_WAY_SECONDS = 20.0


class CannotMeasure(Exception):
    """Why there is nothing to measure here; the message is for the person at the terminal."""


@contextmanager
def premises(engine: str, database_url: str, queue_url: str, **values: object) -> Iterator[Settings]:
    """Give the settings of an empty installation; `values` are further settings. All of it is gone afterwards.

    PostgreSQL: a new database beside the one that `database_url` names. Redis: the database that `queue_url` names,
    which must be empty. Raises CannotMeasure.
    """
    if not PROC.joinpath("self", "stat").exists():
        raise CannotMeasure("Processes can be found and killed on Linux only.")
    home = Path(tempfile.mkdtemp(prefix="fieldcard-bench-"))
    port = _free_port()
    plain = {
        "home": home,
        "secret": secrets.token_hex(32).encode(),
        "production": True,  # without the demo, whose cards nobody here has ordered
        "port": port,
        "public_url": f"http://localhost:{port}",
        "proxies": 1,  # so that each client has an address of its own, and its own ten attempts to sign in
    }
    try:
        if engine == "sqlite":
            yield Settings(**plain | values)  # type: ignore[arg-type]
            return
        with _database(database_url) as database, _queue(queue_url) as queue:
            yield Settings(**plain | values | {"database_url": database, "queue_url": queue})  # type: ignore[arg-type]
    finally:
        shutil.rmtree(home, ignore_errors=True)


class Portal:
    """`fieldcard serve` on the premises, as a person or systemd would run it: started again when it ends."""

    def __init__(self, settings: Settings, log: Path) -> None:
        self.settings = settings
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None
        self.wanted = False

    def start(self) -> None:
        self.wanted = True
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app.cli", "serve"],
                cwd=ROOT,
                env=os.environ | environment(self.settings),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=partial(die_with_parent, os.getpid()),  # a bench that is killed leaves nothing running
            )

    def tend(self) -> None:
        """Start the supervisor again if it is not there, as a service manager does."""
        if self.wanted and self.process and self.process.poll() is not None:
            self.start()

    def kill(self) -> None:
        """Kill the supervisor with -9; the kernel takes its children along."""
        family = self.family()
        self.process.kill()
        self.process.wait()
        deadline = time.monotonic() + MAKE_WAY_SECONDS
        while any(lives(pid) for pid in family) and time.monotonic() < deadline:
            time.sleep(0.02)

    def stop(self) -> int:
        """Ask the supervisor to stop and return its exit code; -9 when it did not come to its end by itself."""
        self.wanted = False
        self.process.terminate()
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            return -signal.SIGKILL

    def workers(self) -> list[int]:
        """Return the process ids of the workers that live now."""
        return [pid for pid in self.family() if "fieldcard-worker-" in _command(pid)]

    def web(self) -> list[int]:
        """Return the process ids of the web server: gunicorn's parent process, and the one that serves."""
        parents = [pid for pid in _children(self.process.pid) if "gunicorn" in _command(pid)]
        return parents + [child for pid in parents for child in _children(pid)]

    def family(self) -> list[int]:
        """Return the process ids of all that the supervisor has started, and what those have started."""
        found, new = [], [self.process.pid]
        while new:
            new = [child for pid in new for child in _children(pid)]
            found += new
        return found


def environment(settings: Settings) -> dict[str, str]:
    """Return the environment in which a process has these settings, and none of ours."""
    told: Mapping[str, object] = {
        "FIELDCARD_ENV": "production" if settings.production else "development",
        "FIELDCARD_DEBUG": "",
        "FIELDCARD_HOME": settings.home,
        "FIELDCARD_SECRET": settings.secret.decode(),
        "FIELDCARD_BIND": settings.bind,
        "FIELDCARD_PUBLIC_URL": settings.public_url,
        "FIELDCARD_PROXIES": settings.proxies,
        "FIELDCARD_WORKERS": settings.workers,
        "FIELDCARD_WEB_THREADS": settings.web_threads,
        "FIELDCARD_LEASE_SECONDS": settings.lease_seconds,
        "FIELDCARD_REAP_SECONDS": settings.reap_seconds,
        "PORT": settings.port,
        "DATABASE_URL": settings.database_url,
        "QUEUE_URL": settings.queue_url,
        "FILES_URL": settings.files_url,
    }
    return {name: str(value) for name, value in told.items()}


def lives(pid: int) -> bool:
    """Return whether the process is there and not merely waiting to be buried."""
    facts = _stat(pid)
    return bool(facts) and facts[0] != "Z"


def send(pid: int, number: int) -> bool:
    """Send the signal; False when the process is gone already."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def _children(parent: int) -> list[int]:
    found = []
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (facts := _stat(int(entry.name))) and int(facts[1]) == parent and facts[0] != "Z":
            found.append(int(entry.name))
    return found


def _stat(pid: int) -> list[str]:
    """Return state, parent and so on (proc(5)); nothing when there is no such process."""
    with suppress(OSError):
        return (PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    return []


def _command(pid: int) -> str:
    with suppress(OSError):
        return (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def _database(beside: str) -> Iterator[str]:
    name = f"fieldcard_bench_{secrets.token_hex(6)}"
    try:
        admin = create_engine(beside, isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
    except Exception as reason:
        raise CannotMeasure(f"No database can be made at {beside}: {reason}") from None
    try:
        yield f"{beside.rsplit('/', 1)[0]}/{name}"
    finally:
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        admin.dispose()


@contextmanager
def _queue(url: str) -> Iterator[str]:
    try:
        import redis

        store = redis.Redis.from_url(url, socket_connect_timeout=2)
        held = store.dbsize()
    except Exception as reason:
        raise CannotMeasure(f"Redis does not answer at {url}: {reason}") from None
    if held:
        raise CannotMeasure(f"The Redis database {url} is not empty: name another with --queue-url.")
    try:
        yield url
    finally:
        store.flushdb()
