"""`fieldcard generate`: the whole main job from a spreadsheet to four files, with no server, account or browser.

It keeps everything in the data folder like the portal does, for a local organisation without a limit, and draws with
one process per core. Refused rows go to problems.csv; it ends with 0 as long as one card was made.
"""

import multiprocessing
import os
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click
from flask import Flask

from app.database import new_id
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
    job_id = local.order(organisation.id, _wanted(options), rows, options.sheet)
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
    local.let_go()  # children must not share our connections
    context = multiprocessing.get_context("fork")
    helpers = [
        context.Process(target=_help, args=(app, job_id, number), daemon=True) for number in range(os.cpu_count() or 1)
    ]
    for helper in helpers:
        helper.start()
    try:
        _watch(job_id, lambda: any(helper.is_alive() for helper in helpers))
    finally:
        for helper in helpers:
            helper.terminate()
            helper.join()


def _help(app: Flask, job_id: uuid.UUID, number: int) -> None:
    """Draw chunks of this job until none is left, then package it if nobody else does."""
    owner = f"generate:{os.getpid()}:{number}"
    with app.app_context():
        while True:
            if chunk := claims.claim_chunk(owner, only=job_id):
                drawing.draw(chunk, stopping=lambda: False)
            elif packing := claims.claim_packaging(owner, only=job_id):
                packaging.finish(packing, stopping=lambda: False)
            elif local.look(job_id).finished:
                return
            else:
                time.sleep(LOOK_SECONDS)


def _watch(job_id: uuid.UUID, alive: Callable[[], bool]) -> None:
    """Follow the job to its end, on a terminal with a bar and the time left."""
    with _bar(job_id) as show:
        while True:
            progress = local.look(job_id)
            show(progress)
            if progress.finished:
                return
            if not alive():
                raise Stopped("Drawing stopped before the end. Run: fieldcard doctor")
            time.sleep(LOOK_SECONDS)


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
        for code, reason in jobs.failed_prints(job, limit=20):
            click.echo(f"  {code}: {reason}")


def _say_no(sentence: str) -> int:
    click.echo(sentence, err=True)
    return 1
