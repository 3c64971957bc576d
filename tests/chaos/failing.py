"""A prepared process that plays stories with one failpoint armed: everything is imported once, each case is a fork.

Run as `python -m tests.chaos.failing FOLDER [POSTGRESQL]`; it reads one request a line and answers with one line, both
in JSON. A case: one process goes through the story until the failpoint fires; another, healthy one goes on from that
step, as a client that asks again and a worker that takes over; a stalled one wakes up after that. Then all is looked
at.
"""

import gc
import json
import logging
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import NullPool, create_engine, text

from app.database import db
from app.domain import installation
from app.factory import create_app
from app.settings import Settings
from tests.cast import Cast
from tests.chaos import calls, forks, hooks, outcomes, steps, stories
from tests.chaos.hooks import BEFORE, STALL, WATCH, Armed, Failpoint
from tests.chaos.points import COMMIT

SECRET = b"a secret that only the tests know, 32 bytes and more"
PATIENCE_SECONDS = 90
THAW_SECONDS = 0.3  # how long one that holds its locks stays stalled while another waits for them


STORIES = {story.name: story for story in (*stories.STORIES, *calls.CALLS)}


class Stage:
    """One installation that is put back to the beginning of a story for each case."""

    def __init__(self, folder: Path, postgresql: str | None) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        self.postgresql = postgresql and Databases(postgresql)
        settings = Settings(home=self.home, secret=SECRET, lease_seconds=60.0, reap_seconds=0.5, workers=1)
        if self.postgresql:
            settings = replace(settings, database_url=self.postgresql.begin())
        self.app = create_app(settings)
        self.told = folder / "log"
        self._in_fork(self._migrate)
        self._keep("")
        self.prepared: set[str] = set()
        self._rehearse(STORIES["from a list to cards"])

    def record(self, story: str) -> dict[str, Any]:
        """Play the story undisturbed; return the points it reaches and how it ends."""
        self._reset(story)
        reached = self.folder / "reached"
        reached.unlink(missing_ok=True)
        end = self._end(self._play(story, reached=reached))
        names = list(dict.fromkeys(reached.read_text().splitlines())) if reached.exists() else []
        return {"reached": names, **self._judge(story, end)}

    def case(self, story: str, point: str, moment: str, action: str) -> dict[str, Any]:
        """Play the story with the failpoint armed and everybody else healthy; return how it ends."""
        self._reset(story)
        armed = Armed(point, moment, action, self.folder / "fired")
        first = self._play(story, armed=armed)
        end = self._until_it_ends_or_stops(first)
        if not armed.fired.exists():
            return self._judge(story, [*end, "The failpoint was not reached."])
        step = int((self.folder / f"step-{first}").read_text())
        if action != STALL:
            end += self._end(self._play(story, first=step))
        elif point.startswith(COMMIT) and moment == BEFORE:  # it holds its locks, and who wants them has to wait
            second = self._play(story, first=step, last=step)
            time.sleep(THAW_SECONDS)
            os.kill(first, signal.SIGCONT)
            end += self._end(first) + self._end(second) + self._end(self._play(story, first=step + 1))
        else:
            end += self._end(self._play(story, first=step))
            os.kill(first, signal.SIGCONT)
            end += self._end(first)
        return self._judge(story, end)

    def alone(self, story: str, point: str, moment: str, action: str) -> dict[str, Any]:
        """Play the story with the failpoint armed, and nobody goes on afterwards; return how that looks."""
        self._reset(story)
        armed = Armed(point, moment, action, self.folder / "fired")
        end = self._end(self._play(story, armed=armed))
        return self._judge(story, end if armed.fired.exists() else [*end, "The failpoint was not reached."])

    def untouched(self, story: str) -> dict[str, Any]:
        """Return how it looks before the story begins."""
        self._reset(story)
        return self._judge(story, [])

    def _judge(self, story: str, problems: list[str]) -> dict[str, Any]:
        seen = self.folder / "seen"
        seen.unlink(missing_ok=True)

        def look() -> None:
            with self.app.app_context():
                STORIES[story].check()
                seen.write_text(json.dumps(outcomes.look()))

        problems = problems + self._end(self._fork(look))
        found = json.loads(seen.read_text()) if seen.exists() else {}
        log = self.told.read_text()[-3000:] if problems and self.told.exists() else ""
        problems += found.pop("breaches", [])
        return {"rows": "", "outcome": {}, **found, "problems": problems, "log": log}

    def _play(
        self,
        story: str,
        *,
        first: int = 0,
        last: int | None = None,
        armed: Armed | None = None,
        reached: Path | None = None,
    ) -> int:
        """Fork a process that takes the steps of the story, and return its id."""

        def act() -> None:
            WATCH.armed, WATCH.reached = armed, reached
            taken = list(enumerate(STORIES[story].steps))[first : None if last is None else last + 1]
            with self.app.app_context():
                if armed is None and reached is None:  # who takes over does so when leases have run out
                    steps.let_leases_expire()
                for number, step in taken:
                    (self.folder / f"step-{os.getpid()}").write_text(str(number))
                    self._take(step)
                    if armed and armed.action == STALL and armed.fired.exists():
                        return

        return self._fork(act)

    def _take(self, step: Callable[[], None]) -> None:
        """Take the step, once more when the failpoint raised: so do a client and a worker's next tick."""
        try:
            step()
        except Failpoint:
            db.session.remove()
            steps.let_leases_expire()
            step()
        finally:
            db.session.remove()

    def _fork(self, act: Callable[[], None]) -> int:
        if child := os.fork():
            return child
        code = 1
        try:
            with self.told.open("a") as log:
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
            with self.app.app_context():
                db.engine.dispose(close=False)
            act()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _in_fork(self, act: Callable[[], None]) -> None:
        if problems := self._end(self._fork(act)):
            raise SystemExit(f"{problems} {self.told.read_text()}")

    def _end(self, child: int) -> list[str]:
        """Wait until the process is over; a sentence when it did not end well."""
        return self._until_it_ends_or_stops(child, stops=False)

    def _until_it_ends_or_stops(self, child: int, *, stops: bool = True) -> list[str]:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            done, status = os.waitpid(child, os.WNOHANG | (os.WUNTRACED if stops else 0))
            if not done:
                time.sleep(0.002)
                continue
            killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
            well = os.WIFSTOPPED(status) or killed or status == 0
            return [] if well else [f"A process ended with {os.waitstatus_to_exitcode(status)}."]
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        return [f"A process did not end within {PATIENCE_SECONDS} seconds."]

    def _migrate(self) -> None:
        with self.app.app_context():
            installation.migrate()
            self._let_go()

    def _rehearse(self, story: stories.Story) -> None:
        """Play a story in this very process, so that forks find fonts, designs, tables and statements at hand."""
        with self.app.app_context():
            story.prepare(Cast(self.app))
            for step in story.steps:
                step()
            outcomes.look()
            self._let_go()
        gc.collect()
        gc.freeze()

    def _let_go(self) -> None:
        db.session.remove()
        db.engine.dispose()

    def _reset(self, story: str) -> None:
        """Put the installation back to the beginning of the story, which is made ready the first time."""
        begin = STORIES[story].begin or story
        if begin not in self.prepared:
            self._restore("")
            self._in_fork(lambda: self._prepare(story))
            self._keep(begin)
            self.prepared.add(begin)
        self._restore(begin)
        self.told.write_text("")
        (self.folder / "fired").unlink(missing_ok=True)

    def _prepare(self, story: str) -> None:
        with self.app.app_context():
            STORIES[story].prepare(Cast(self.app))
            self._let_go()

    def _keep(self, name: str) -> None:
        shutil.copytree(self.home, self.folder / f"kept-{name}")
        if self.postgresql:
            self.postgresql.copy("stage", f"kept {name}")

    def _restore(self, name: str) -> None:
        shutil.rmtree(self.home, ignore_errors=True)
        shutil.copytree(self.folder / f"kept-{name}", self.home, dirs_exist_ok=True)
        if self.postgresql:
            self.postgresql.copy(f"kept {name}", "stage")


class Databases:
    """PostgreSQL databases of this process: one on the stage, and one for the beginning of each story."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
        self.names: dict[str, str] = {}

    def begin(self) -> str:
        """Make the one on the stage and return its address."""
        self._say(f"CREATE DATABASE {self._name('stage')}")
        return self.url.rsplit("/", 1)[0] + f"/{self._name('stage')}"

    def copy(self, source: str, target: str) -> None:
        """Make `target` anew as `source` is; nobody may be connected to `source`."""
        self._say(f"DROP DATABASE IF EXISTS {self._name(target)} WITH (FORCE)")
        self._say(f"CREATE DATABASE {self._name(target)} TEMPLATE {self._name(source)}")

    def drop(self) -> None:
        """Remove them all."""
        for name in self.names.values():
            self._say(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _name(self, what: str) -> str:
        return self.names.setdefault(what, f"fieldcard_failpoints_{os.getpid()}_{len(self.names)}")

    def _say(self, statement: str) -> None:
        with self.engine.connect() as connection:
            connection.execute(text(statement))


def main(folder: str, postgresql: str | None = None) -> None:
    """Answer requests until there are no more."""
    logging.basicConfig(level=logging.INFO)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    hooks.install()
    forks.make_ready()
    stage = Stage(Path(folder), postgresql)
    try:
        for line in sys.stdin:
            request = json.loads(line)
            answer = getattr(stage, request.pop("do"))(**request)
            answers.write(json.dumps(answer) + "\n")
            answers.flush()
    finally:
        if stage.postgresql:
            stage.postgresql.drop()


if __name__ == "__main__":
    main(*sys.argv[1:])
