"""`fieldcard generate`: the whole main job from a spreadsheet to four files, with no server, account or browser.

It keeps everything in the data folder like the portal does, for a local organisation without a limit, and draws with
one process per core. Refused rows go to problems.csv; it ends with 0 as long as one card was made.
"""

import os
import shutil
import signal
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.context import ForkProcess
from pathlib import Path

import click
from flask import Flask

from app.database import new_id, settings
from app.domain import claims, drawing, installation, jobs, local, packaging
from app.domain.campaigns import NewCampaign
from app.domain.errors import Invalid, Refusal
from app.domain.jobs import Progress
from app.factory import create_app
from app.intake import (
    CheckedRow,
    MappingError,
    PersonRow,
    Table,
    Unreadable,
    check_rows,
    match_columns,
    open_table,
    write_problems_csv,
)
from app.models import Job, JobState, Organisation
from app.sentences import say_n
from app.settings import Settings

LOOK_SECONDS = 0.2
STOP_SECONDS = 10.0
MOST_REPLACED = 10
STUCK_SECONDS = 10.0
LITTLE_ROOM = 64 << 20  # bytes; a chunk of cards that did not fit was cleared away, and left its room free
FILES = {
    "pdf": "cards.pdf",
    "zip": "cards.zip",
    "manifest": "manifest.json",
    "portal": "verification-portal.zip",
}


@dataclass(frozen=True)
class CampaignOptions:
    """What the command line says about the campaign."""

    name: str
    campaign_type: str
    prefix: str
    language: str
    dpi: int
    sheet: str | None
    organisation: str = ""


class Stopped(Exception):
    """Why no card was made, in one sentence."""


def run(settings: Settings, file: Path, out: Path, options: CampaignOptions) -> int:
    """Make the cards and return the exit code: 0 when a card was made, 1 after one sentence on stderr."""
    try:
        app = create_app(settings)
        with app.app_context():
            installation.migrate()
            made = _generate(app, file, out, options)
    except Invalid as refusal:
        return _say_no(" ".join(str(sentence) for sentence in refusal.fields.values()))
    except (Stopped, Refusal, Unreadable, MappingError) as reason:
        return _say_no(str(reason))
    except OSError as error:
        return _say_no(f"{error.strerror or error}: {error.filename or out}")
    return made


def _generate(app: Flask, file: Path, out: Path, options: CampaignOptions) -> int:
    if not file.is_file():
        raise Stopped(f"There is no file {file}.")
    out.mkdir(parents=True, exist_ok=True)
    organisation = local.organisation()
    rows, refused, columns = _read(file, organisation)
    _write_problems(out, refused, columns)
    if not rows:
        raise Stopped(f"None of the {len(refused)} rows can be used; the reasons are in {out / 'problems.csv'}.")
    for left_behind in local.unfinished(organisation.id, options.prefix):
        _draw(app, left_behind)  # its people wait for those very cards
    job_id = local.order(organisation.id, _wanted(options), rows, options.sheet, options.organisation)
    _draw(app, job_id)
    job = local.job(job_id)
    if job.state != JobState.completed:
        raise Stopped(str(jobs.problem_of(job) or "The cards could not be made."))
    for kind, name in FILES.items():
        _copy(job, kind, out / name)
    _report(job, out, len(refused))
    return 0


def _read(file: Path, organisation: Organisation) -> tuple[list[PersonRow], list[CheckedRow], tuple[str, ...]]:
    """Return the people of the file, the rows that were refused, and the names of the columns."""
    table: Table = open_table(file, file.name)
    mapping = {match.index: match.field for match in match_columns(table)}
    people_found, refused = [], []
    for row in check_rows(table, mapping, country=organisation.country, today=datetime.now(UTC).date()):
        if row.person:
            people_found.append(row.person)
        else:
            refused.append(row)
    return people_found, refused, table.columns


def _wanted(options: CampaignOptions) -> NewCampaign:
    return NewCampaign(
        name=options.name,
        campaign_type=options.campaign_type,
        prefix=options.prefix,
        language=options.language,
        template_id=options.campaign_type,
        dpi=options.dpi,
    )


def _draw(app: Flask, job_id: uuid.UUID) -> None:
    """Draw the job with one process per core and package it; stop the processes whatever happens here."""
    helpers = Helpers(app, job_id)
    try:
        helpers.start()
        _watch(job_id, helpers)
    finally:
        helpers.stop()


class Helpers:
    """The processes that draw one job, one per core; those that die are replaced, MOST_REPLACED times in all.

    They are no daemons in the words of `multiprocessing`, because a daemon may not have a child, and a chunk that
    has killed its process is drawn in one.
    """

    def __init__(self, app: Flask, job_id: uuid.UUID) -> None:
        self.app = app
        self.job_id = job_id
        self.processes: list[ForkProcess] = []
        self.replaced = 0

    def start(self) -> None:
        for number in range(os.cpu_count() or 1):
            self.processes.append(self._started(number))

    def tend(self) -> None:
        """Replace every process that died; raise Stopped when that does not help."""
        for number, process in enumerate(self.processes):
            if process.exitcode:  # neither at work (None) nor done (0)
                if self.replaced == MOST_REPLACED:
                    raise Stopped("Drawing stopped before the end. Run: fieldcard doctor")
                self.replaced += 1
                self.processes[number] = self._started(number)

    def stop(self) -> None:
        """Let every process hand back what it holds; kill those that do not end, with all that they started."""
        deadline = time.monotonic() + STOP_SECONDS
        try:
            for process in self.processes:
                process.terminate()
            for process in self.processes:
                process.join(max(0.0, deadline - time.monotonic()))
        finally:  # also at a second Ctrl-C
            for process in self.processes:
                if process.is_alive():
                    os.killpg(process.pid, signal.SIGKILL)
                    process.join()

    def _started(self, number: int) -> ForkProcess:
        local.let_go()  # children must not share our connections
        process = ForkProcess(target=_help, args=(self.app, self.job_id, number, os.getpid()), daemon=False)
        process.start()
        return process


def _help(app: Flask, job_id: uuid.UUID, number: int, parent: int) -> None:
    """Draw chunks of this job until none is left, then package it if nobody else does."""
    os.setsid()  # Ctrl-C at the terminal shall reach us through the parent only
    asked = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: asked.set())

    def stopping() -> bool:
        return asked.is_set() or os.getppid() != parent

    owner = f"generate:{os.getpid()}:{number}"
    with app.app_context():
        while not stopping():
            if chunk := claims.claim_chunk(owner, only=job_id):
                drawing.draw(chunk, stopping=stopping)
            elif packing := claims.claim_packaging(owner, only=job_id):
                packaging.finish(packing, stopping=stopping)
            elif local.look(job_id).finished:
                return
            else:
                time.sleep(LOOK_SECONDS)


def _watch(job_id: uuid.UUID, helpers: Helpers) -> None:
    """Follow the job to its end, on a terminal with a bar and the time left; raise Stopped when there is no end."""
    seen, moved_at = None, time.monotonic()
    with _bar(job_id) as show:
        while True:
            progress = local.look(job_id)
            show(progress)
            if progress.finished:
                return
            helpers.tend()
            if (progress.state, progress.left) != seen:
                seen, moved_at = (progress.state, progress.left), time.monotonic()
            elif time.monotonic() - moved_at > STUCK_SECONDS:
                _refuse_when_full()
            time.sleep(LOOK_SECONDS)


def _refuse_when_full() -> None:
    """Raise Stopped when the disk is full: what could not be written rests, and is tried again and again."""
    home = settings().home
    if shutil.disk_usage(home).free < LITTLE_ROOM:
        raise Stopped(f"The disk is full: make room where {home} lies, then give the same command again.")


@contextmanager
def _bar(job_id: uuid.UUID) -> Iterator[Callable[[Progress], None]]:
    if not sys.stderr.isatty():
        yield lambda progress: None
        return
    total = local.look(job_id).total
    with click.progressbar(length=total, label="Making cards", file=sys.stderr, show_pos=True) as bar:
        yield lambda progress: bar.update(progress.drawn + progress.failed - bar.pos)


def _copy(job: Job, kind: str, target: Path) -> None:
    """Copy one file out whole: a reader sees the old one or the new one."""
    draft = target.with_name(f".{target.name}-{new_id().hex}")
    try:
        with packaging.open_artifact(packaging.artifact_of(job, kind)) as stream, draft.open("wb") as copy:
            shutil.copyfileobj(stream, copy, 1 << 20)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def _write_problems(out: Path, refused: list[CheckedRow], columns: tuple[str, ...]) -> None:
    """Write problems.csv when rows were refused; one that lies there from an earlier run goes."""
    target = out / "problems.csv"
    target.unlink(missing_ok=True)
    if refused:
        with tempfile.NamedTemporaryFile(dir=out, delete=False) as draft:
            write_problems_csv(refused, columns, draft)
        Path(draft.name).chmod(0o644)
        Path(draft.name).replace(target)


def _report(job: Job, out: Path, refused: int) -> None:
    click.echo(say_n("%(n)s card is in %(out)s.", "%(n)s cards are in %(out)s.", job.cards_generated, out=out))
    if refused:
        reasons = out / "problems.csv"
        click.echo(
            say_n(
                "%(n)s row was refused; the reason is in %(reasons)s.",
                "%(n)s rows were refused; the reasons are in %(reasons)s.",
                refused,
                reasons=reasons,
            )
        )
    if job.cards_failed:
        click.echo(say_n("%(n)s card could not be drawn:", "%(n)s cards could not be drawn:", job.cards_failed))
        for failed in jobs.failed_prints(job, limit=20):
            click.echo(f"  {failed.code} ({failed.beneficiary_id}): {failed.reason}")


def _say_no(sentence: str) -> int:
    click.echo(sentence, err=True)
    return 1
