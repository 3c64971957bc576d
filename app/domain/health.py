"""Health: whether the installation can work now, and what needs a look, in findings for machines and for people.

Each exam is quick and asks one thing. What must always be true is in `invariants`; here is the nightly check-up that
asks it, and what it found the last time.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import delete, func, select, text
from sqlalchemy.exc import SQLAlchemyError

from app import files
from app.database import db, one_transaction, utc_now
from app.domain import backups, installation, invariants, keys, leases, reaping, workers
from app.domain.invariants import Breach
from app.domain.leases import Checkpoint
from app.domain.work import LEAST_FREE_BYTES
from app.models import CheckUp, Chunk, ChunkState, ImportBatch, Job, JobState, SigningKey
from app.sentences import Sentence, say, say_n

log = logging.getLogger(__name__)
WAITING_TOO_LONG = timedelta(minutes=10)
LITTLE_ROOM = 5_000_000_000  # bytes
REGULAR = timedelta(days=2)  # a backup and a check-up are made every night
BACKUP_TOO_OLD = timedelta(days=7)
KEPT_CHECK_UPS = 30
UNDER_WAY = (JobState.waiting, JobState.generating, JobState.packaging)
MEGABYTE = 1_000_000


class Kind(StrEnum):
    """How it stands with something."""

    good = "good"
    attention = "attention"
    bad = "bad"


@dataclass(frozen=True)
class Finding:
    """What one exam found: how it stands, in a sentence, what to do, and the moment that the sentence is about.

    `stops` says that the installation cannot do its work until it is put right.
    """

    about: str
    kind: Kind
    sentence: Sentence
    advice: Sentence | None = None
    moment: datetime | None = None
    stops: bool = False


@dataclass(frozen=True)
class LastCheckUp:
    """The last check-up: when it ended, and what it found."""

    at: datetime
    breaches: Sequence[Breach]


def database() -> Finding:
    """Say whether the database answers, which it is and how large."""
    try:
        size = _database_size()
    except SQLAlchemyError as error:
        sentence = say("The database does not answer (%(kind)s).", kind=type(error).__name__)
        return _bad("database", sentence, say("Start the database, and look at its log."))
    engine = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}[db.engine.dialect.name]
    return _good("database", say("%(engine)s, %(megabytes)s MB.", engine=engine, megabytes=size // MEGABYTE))


def migrations() -> Finding:
    """Say whether the database has this version's tables."""
    if installation.is_migrated():
        return _good("migrations", say("The tables are those of this version."))
    return _bad("migrations", say("The tables are those of another version."), say("Run: fieldcard migrate"))


def disk() -> Finding:
    """Say how much room is left where files and database lie; workers rest below half a gigabyte."""
    free = files.store().free_bytes()
    if free is None:
        return _good("disk", say("The file store has no limit that is known."))
    sentence = say("%(megabytes)s MB are free.", megabytes=free // MEGABYTE)
    advice = say("Make room, or move the data to a larger disk. Workers rest below 500 MB and go on by themselves.")
    if free < LEAST_FREE_BYTES:
        return _bad("disk", sentence, advice)
    return Finding("disk", Kind.attention, sentence, advice) if free < LITTLE_ROOM else _good("disk", sentence)


def store() -> Finding:
    """Say whether the file store is there."""
    if files.store().problem():
        return _bad("store", say("The file store does not answer."), say("Look at the log: it says why."))
    return _good("store", say("The file store answers."))


def signing_keys() -> Finding:
    """Say whether the secret opens every signing key."""
    table = SigningKey.__table__
    rows = db.session.execute(select(table.c.key_id, table.c.public_key, table.c.private_key)).all()
    closed = sum(not keys.opens(row) for row in rows)
    if closed:
        sentence = say_n(
            "The secret of this installation does not open %(n)s signing key.",
            "The secret of this installation does not open %(n)s signing keys.",
            closed,
        )
        return _bad("keys", sentence, say("Set FIELDCARD_SECRET to what it was when the keys were made."))
    return _good("keys", say_n("%(n)s signing key, and it opens.", "%(n)s signing keys, and all open.", len(rows)))


def working() -> Finding:
    """Say whether workers are heard of."""
    seen = workers.seen()
    alive = [worker for worker in seen if not worker.silent]
    if not alive:
        sentence = say("No worker has been heard of for a minute: cards are ordered, but not made.")
        last = max((worker.seen_at for worker in seen), default=None)
        advice = say("Start one: fieldcard serve --worker 2. If one should be running, look at its log.")
        return Finding("workers", Kind.bad, sentence, advice, last, stops=True)
    latest = max(worker.seen_at for worker in alive)
    sentence = say_n("%(n)s worker is at work or ready.", "%(n)s workers are at work or ready.", len(alive))
    if len(alive) == len(seen):
        return _good("workers", sentence, latest)
    fell_silent = say_n(
        "%(n)s worker fell silent in the last day without saying that it ends.",
        "%(n)s workers fell silent in the last day without saying that they end.",
        len(seen) - len(alive),
    )
    advice = say("What it held was taken up by others. If this happens again, look at the log and the memory.")
    return Finding("workers", Kind.attention, fell_silent, advice, latest)


def waiting() -> Finding:
    """Say how much work there is, and whether some of it waits although workers live and have nothing in hand.

    A job that waits while workers are busy with others is in order, however long it takes.
    """
    table = Job.__table__
    live = table.c.state.in_(UNDER_WAY)
    count = db.session.scalar(select(func.count()).select_from(table).where(live))
    oldest = db.session.scalar(select(func.min(table.c.created_at)).where(table.c.state == JobState.waiting))
    if oldest is None:
        return _good("waiting", say_n("%(n)s job is under way.", "%(n)s jobs are under way.", count))
    sentence = say_n("%(n)s job is under way or waits.", "%(n)s jobs are under way or wait.", count)
    late = utc_now() - oldest > WAITING_TOO_LONG and not _something_in_hand()
    if late and workers.one_lives():
        stuck = say("A job has been waiting for long, although workers live and have nothing else to do.")
        advice = say("Run: fieldcard doctor --reap. If it goes on waiting, look at the workers' log.")
        return Finding("waiting", Kind.bad, stuck, advice, oldest, stops=True)
    return Finding("waiting", Kind.attention if late else Kind.good, sentence, None, oldest)


def taken_up() -> Finding:
    """Say what was put back into the queue because its worker was lost."""
    reaped = reaping.last_reaped()
    if reaped is None:
        return _good("taken up", say("No work ever had to be taken up from a worker that was lost."))
    sentence = say(
        "Taken up from workers that were lost: %(last)s the last time, %(total)s in all. Nothing was lost with them.",
        last=reaped.last,
        total=reaped.total,
    )
    recent = utc_now() - reaped.at < timedelta(days=1)
    advice = say("If this happens again and again, look at the log and the memory of the machine.") if recent else None
    return Finding("taken up", Kind.attention if recent else Kind.good, sentence, advice, reaped.at)


def backup() -> Finding:
    """Say when the last backup was made."""
    made = backups.made_last()
    advice = say("Make one every night and keep it elsewhere: fieldcard backup")
    if made is None:
        return Finding("backup", Kind.attention, say("No backup has been made with Fieldcard's own command."), advice)
    age = utc_now() - made
    if age > REGULAR:
        kind = Kind.bad if age > BACKUP_TOO_OLD else Kind.attention
        return Finding("backup", kind, say("The last backup is old."), advice, made)
    return _good("backup", say("The last backup is fresh."), made)


def checked() -> Finding:
    """Say what the last check-up found."""
    last = last_check_up()
    if last is None:
        sentence = say("There has been no check-up yet. The workers make one every night.")
        return Finding("check-up", Kind.attention, sentence, say("To make one now: fieldcard doctor"))
    if last.breaches:
        n = len(last.breaches)
        sentence = say_n("The last check-up found %(n)s thing amiss.", "The last check-up found %(n)s things amiss.", n)
        return Finding("check-up", Kind.bad, sentence, say("To see all of them: fieldcard doctor"), last.at)
    if utc_now() - last.at > REGULAR:
        sentence, advice = say("The last check-up is old."), say("To make one now: fieldcard doctor")
        return Finding("check-up", Kind.attention, sentence, advice, last.at)
    return _good("check-up", say("Everything that must always be true is true."), last.at)


def unknown(about: str, kind: str) -> Finding:
    """Return the finding of an exam that ended with this kind of error, or with no answer in time."""
    sentence = say("There was no answer (%(kind)s).", kind=kind)
    return _bad(about, sentence, say("See whether the database, the queue and the disk are there; the log says more."))


def queue(problem: str | None) -> Finding:
    """Say whether the queue is there; without it work starts up to a quarter of a minute later, and is not lost."""
    if problem is None:
        return _good("queue", say("The queue answers."))
    sentence = say("The queue does not answer (%(kind)s).", kind=problem)
    return _bad("queue", sentence, say("Start it again. No work is lost: workers find it in the database."))


def last_check_up() -> LastCheckUp | None:
    """Return the last check-up, None when there has been none."""
    row = db.session.scalar(select(CheckUp).order_by(CheckUp.created_at.desc()).limit(1))
    return row and LastCheckUp(row.created_at, [Breach.from_json(plain) for plain in row.breaches])


def check_up(checkpoint: Checkpoint) -> None:
    """Ask everything that must always be true, read every file again, and keep what was found."""
    began = time.monotonic()
    found = [breach.to_json() for breach in invariants.breaches(step=lambda _progress: checkpoint())]
    _keep(found, time.monotonic() - began)
    if found:
        log.warning("The check-up found %s things amiss; fieldcard doctor says which.", len(found))


@one_transaction
def _keep(found: list[dict], seconds: float) -> None:
    db.session.add(CheckUp(breaches=found, seconds=seconds))
    db.session.flush()
    last = select(CheckUp.id).order_by(CheckUp.created_at.desc()).limit(KEPT_CHECK_UPS)
    db.session.execute(delete(CheckUp).where(CheckUp.id.not_in(last)).execution_options(synchronize_session=False))


def _good(about: str, sentence: Sentence, moment: datetime | None = None) -> Finding:
    return Finding(about, Kind.good, sentence, moment=moment)


def _bad(about: str, sentence: Sentence, advice: Sentence) -> Finding:
    return Finding(about, Kind.bad, sentence, advice, stops=True)


def _database_size() -> int:
    if db.engine.dialect.name == "postgresql":
        return db.session.scalar(text("SELECT pg_database_size(current_database())"))
    return db.session.scalar(text("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"))


def _something_in_hand() -> bool:
    """Return whether any worker holds any work under a lease that has not run out."""
    held = (
        select(Chunk.job_id).where(Chunk.state == ChunkState.claimed, ~leases.free(Chunk)),
        select(Job.id).where(Job.lease_fence.is_not(None), ~leases.free(Job)),
        select(ImportBatch.id).where(ImportBatch.lease_fence.is_not(None), ~leases.free(ImportBatch)),
    )
    return any(db.session.execute(one.limit(1)).first() is not None for one in held)


Exam = Callable[[], Finding]
OF_ONE_PROCESS: dict[str, Exam] = {"database": database, "migrations": migrations}
# In the order in which they are asked: first what can be told without the database.
EXAMS: dict[str, Exam] = {
    "disk": disk,
    "store": store,
    **OF_ONE_PROCESS,
    "keys": signing_keys,
    "workers": working,
    "waiting": waiting,
    "taken up": taken_up,
    "backup": backup,
    "check-up": checked,
}
FIRST_OF_ALL = frozenset(OF_ONE_PROCESS)  # without these there is no asking on
