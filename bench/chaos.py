"""`fieldcard bench chaos`: kill and freeze a real portal's processes under real work, then see whether all adds up.

Clients of several organisations order cards through the JSON API and the portal's forms, ask twice, hang up, cancel,
pause and fetch files, while workers are killed with -9 or frozen for longer than their lease, and now and then the web
server, the supervisor with everything, or the queue is lost. Afterwards every job has ended as promised, every file is
what its SHA-256 says, and every invariant holds; otherwise it ends with 1.
"""

import argparse
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from flask import Flask

from app.database import db
from app.domain import accounts, installation
from app.factory import create_app
from app.settings import Settings
from bench import verdict
from bench.caller import Person
from bench.clients import Client
from bench.deaths import Deaths
from bench.killer import Killer
from bench.premises import CannotMeasure, Portal, premises
from bench.tally import Tally

POSTGRESQL = os.environ.get("FIELDCARD_TEST_POSTGRESQL", "postgresql+psycopg://postgres@127.0.0.1:5432/postgres")
REDIS = os.environ.get("FIELDCARD_TEST_REDIS", "redis://127.0.0.1:6379/15")
ORGANISATIONS = 3
CLIENTS = 6
PLENTY = 1_000_000  # cards; the last organisation has few, so that orders are refused, too
SPEAK_EVERY = 10.0
ROWS = (
    ("jobs", "jobs"),
    ("completed", "jobs completed"),
    ("cancelled", "jobs cancelled"),
    ("cards made", "cards"),
    ("workers killed with -9", "workers killed"),
    ("of these with work in hand", "killed with work in hand"),
    ("workers frozen past their lease", "workers frozen"),
    ("workers asked to stop", "workers stopped"),
    ("web server killed with -9", "web server killed"),
    ("supervisor killed with -9, or stopped", "supervisor"),
    ("queue wiped", "queue wiped"),
    ("connections lost", "connections lost"),
    ("duplicate posts absorbed", "duplicates absorbed"),
    ("orders refused for want of quota", "orders refused"),
    ("pieces of work taken up after a death", "resumed"),
    ("pieces taken from a frozen worker", "outrun"),
    ("downloads checked", "downloads checked"),
    ("downloads cut and resumed", "downloads cut and resumed"),
)


@dataclass(frozen=True)
class Run:
    """One run: its options, where it takes place, and what it found."""

    options: argparse.Namespace
    settings: Settings
    app: Flask
    tally: Tally
    log: Path
    enough: threading.Event  # somebody asked to come to the end


def main(words: Sequence[str]) -> int:
    """Run, print the table and return 0; 1 after a violation, with the command that tells the same story again."""
    options = _options(words)
    enough = _on_signal()
    pace = {"workers": options.workers, "lease_seconds": options.lease, "reap_seconds": options.lease / 4}
    try:
        with premises(options.engine, options.database_url, options.queue_url, web_threads=96, **pace) as settings:
            run = Run(options, settings, create_app(settings), Tally(), settings.home / "log", enough)
            with run.app.app_context():
                return _run(run)
    except CannotMeasure as why:
        print(why, file=sys.stderr)
        return 1


def _options(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="fieldcard bench chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100, help="how many workers to kill with -9 (100)")
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--lease", type=float, default=3.0, metavar="SECONDS")
    parser.add_argument("--database-url", default=POSTGRESQL, help="a database is made beside this one, and dropped")
    parser.add_argument("--queue-url", default=REDIS, help="an empty Redis database; emptied again afterwards")
    parser.add_argument(
        "--keep-log",
        type=Path,
        metavar="FILE",
        help="copy there what the portal's processes said; after a violation it is kept anyhow",
    )
    return parser.parse_args(words)


def _on_signal() -> threading.Event:
    """Return what Ctrl-C and SIGTERM set, so that the killing ends and the rest is told; at once the second time."""
    enough = threading.Event()

    def ask(*_: object) -> None:
        if enough.is_set():
            sys.exit(1)
        enough.set()

    signal.signal(signal.SIGINT, ask)
    signal.signal(signal.SIGTERM, ask)
    return enough


def _run(run: Run) -> int:
    began = time.monotonic()
    try:
        with Deaths(db.engine) as deaths:
            clients = _live(run, deaths)
            counts = run.tally.counts
            counts["resumed"], counts["outrun"] = deaths.resumed, deaths.outrun
            counts["supervisor"] = counts["supervisor killed"] + counts["supervisor stopped"]
        for problem in verdict.problems(clients, run.log):
            run.tally.breach(problem)
        counts["cards"] = verdict.valid_cards()
    finally:
        db.session.remove()
        db.engine.dispose()
    _print(run, deaths.took_up, time.monotonic() - began)
    if run.tally.violations or run.options.keep_log:
        kept = run.options.keep_log or Path(tempfile.gettempdir()) / f"fieldcard-chaos-{run.options.seed}.log"
        kept.write_bytes(run.log.read_bytes())
        print(f"What the portal's processes said is in {kept}")
    return 1 if run.tally.violations else 0


def _live(run: Run, deaths: Deaths) -> list[Client]:
    """Let the clients live and the killer kill, until everything has come to rest; return the clients."""
    options, tally, calm = run.options, run.tally, threading.Event()
    installation.migrate()
    people = _people()
    portal = Portal(run.settings, run.log)
    killer = Killer(portal, deaths, lambda: _wipe_queue(run.app), tally, options.seed)
    clients = [
        Client(number, person, run.settings.port, options.seed, tally, calm) for number, person in enumerate(people)
    ]
    portal.start()
    try:
        for client in clients:
            client.start()
        while not (tally.counts["jobs"] or run.enough.wait(0.1)):
            portal.tend()
        progress = _Progress(options.kills, tally)
        while tally.counts["workers killed"] < options.kills and not (run.enough.is_set() or tally.violations):
            killer.turn()
            portal.tend()
            progress.show()
        killer.thaw()
        calm.set()
        while any(client.is_alive() for client in clients):
            portal.tend()
            progress.show()
            time.sleep(0.2)
    finally:
        killer.thaw()
        if code := portal.stop():
            tally.breach(f"The supervisor was asked to stop at the end and ended with {code}.")
    return clients


def _people() -> list[Person]:
    """Return who will sign in, added to the installation: two for each organisation, the last one short of quota."""
    people = []
    for number in range(CLIENTS):
        organisation = f"Programme {number % ORGANISATIONS}"
        quota = 400 if number % ORGANISATIONS == ORGANISATIONS - 1 else PLENTY
        person = Person(f"client{number}@example.org", f"the long password of client {number}", organisation)
        accounts.add_user(person.email, organisation, "editor", person.password, quota)
        people.append(person)
    db.session.remove()
    return people


def _wipe_queue(app: Flask) -> None:
    """Lose every message that waits in the queue, as a restarted Redis does."""
    app.extensions["fieldcard-queue"].flush()


class _Progress:
    """A line that says how far the run is: rewritten on a terminal, now and then a new one elsewhere."""

    def __init__(self, kills: int, tally: Tally) -> None:
        self.kills = kills
        self.tally = tally
        self.began = self.spoke = time.monotonic()

    def show(self) -> None:
        now, terminal = time.monotonic(), sys.stderr.isatty()
        if now - self.spoke < (0.2 if terminal else SPEAK_EVERY):
            return
        self.spoke = now
        counts = self.tally.counts
        ended = sum(counts[f"jobs {state}"] for state in ("completed", "failed", "cancelled"))
        line = (
            f"{counts['workers killed']:,} of {self.kills:,} workers killed, {counts['workers frozen']:,} frozen; "
            f"{counts['jobs']:,} jobs, {ended:,} ended; {len(self.tally.violations)} violations; "
            f"{now - self.began:,.0f} s"
        )
        print(f"\r{line}\033[K" if terminal else line, end="" if terminal else "\n", file=sys.stderr, flush=True)


def _print(run: Run, took_up: Sequence[float], seconds: float) -> None:
    options = run.options
    if sys.stderr.isatty():
        print(file=sys.stderr)
    print(f"{options.engine}, {options.workers} workers, lease {options.lease:g} s, seed {options.seed}\n")
    rows = [(label, f"{run.tally.counts[name]:,}") for label, name in ROWS]
    slowest = f"{max(took_up):.1f} s" if took_up else "–"
    rows += [
        ("from a death to the next claim: median", f"{median(took_up):.1f} s" if took_up else "–"),
        ("from a death to the next claim: longest", slowest),
        ("duration", f"{seconds / 60:.1f} min"),
        ("violations", f"{len(run.tally.violations):,}"),
    ]
    for label, value in rows:
        print(f"| {label:<42} | {value:>9} |")
    for sentence in run.tally.told():
        print(f"\n{sentence}")
    if run.tally.violations:
        again = f"--workers {options.workers} --lease {options.lease:g} --seed {options.seed}"
        print(
            f"\nThe same story again: fieldcard bench chaos --engine {options.engine} --kills {options.kills} {again}"
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
