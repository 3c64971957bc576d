"""Claims: how a worker takes a chunk or a job's packaging, hands it back, or settles what it did.

A claim is one guarded UPDATE under a fresh fence. Every later transaction begins with that fence: whoever lost it
changes nothing.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, bindparam, func, or_, select, update

from app.database import db, one_transaction, utc_now
from app.domain import jobs, leases
from app.domain.leases import RELEASED, Holder, LeaseLost
from app.models import Chunk, ChunkState, Job, JobState, Print, PrintState
from app.rendering.chunk import DrawnCard, FailedCard
from app.sentences import Sentence, say

CHILD_FROM_ATTEMPT = 3
MOST_ATTEMPTS = 5
LOOK_AT = 20


@dataclass(frozen=True)
class ChunkClaim:
    """A chunk in hand: which prints it holds, how often it was tried, and the hold itself."""

    organisation_id: uuid.UUID
    job_id: uuid.UUID
    number: int
    first_ordinal: int
    cards: int
    attempts: int
    holder: Holder


@dataclass(frozen=True)
class PackagingClaim:
    """A job whose cards are drawn, to be packaged."""

    organisation_id: uuid.UUID
    job_id: uuid.UUID
    attempts: int
    holder: Holder


@dataclass(frozen=True)
class Pieces:
    """What a chunk put into the file store: keys, lengths and SHA-256 of its ZIP run and its pages."""

    zip_key: str
    zip_length: int
    zip_sha256: str
    pages_key: str
    pages_length: int
    pages_sha256: str


def claim_chunk(owner: str, *, only: uuid.UUID | None = None) -> ChunkClaim | None:
    """Return a chunk for `owner` (of the job `only`, when given), None when none waits.

    The organisation with the fewest chunks in hand comes first, then the oldest job, so that a small job does
    not wait behind a large one.
    """
    for job_id, number in _waiting_chunks(only):
        if claim := _take_chunk(job_id, number, owner):
            return claim
    return None


def claim_packaging(owner: str, *, only: uuid.UUID | None = None) -> PackagingClaim | None:
    """Return a job to package for `owner` (the job `only`, when given), None when none waits."""
    waits = [Job.state == JobState.packaging, leases.free(Job)]
    if only is not None:
        waits.append(Job.id == only)
    for job_id in list(db.session.scalars(select(Job.id).where(*waits).order_by(Job.created_at).limit(LOOK_AT))):
        if claim := _take_packaging(job_id, owner):
            return claim
    return None


@one_transaction
def settle(claim: ChunkClaim, pieces: Pieces, results: Sequence[DrawnCard | FailedCard]) -> None:
    """Keep what was drawn, refund what could not be, and let the job go on; LeaseLost when it is not ours.

    One commit holds the chunk, its cards, its pieces and the job's counters.
    """
    drawn = [n for n, card in enumerate(results, claim.first_ordinal) if isinstance(card, DrawnCard)]
    job = _count_down(claim, drawn=len(drawn), failed=len(results) - len(drawn))
    _settle_chunk(claim, vars(pieces))
    _keep_drawn(claim, results)
    for ordinal, card in enumerate(results, claim.first_ordinal):
        if isinstance(card, FailedCard):
            jobs.void_prints(job, PrintState.pending, card.reason, f"card:{ordinal}", [ordinal])
    _go_on(job)


@one_transaction
def give_up(claim: ChunkClaim, problem: Sentence) -> None:
    """Void the whole chunk after too many attempts; its cards are refunded, its neighbours go on."""
    job = _count_down(claim, drawn=0, failed=claim.cards)
    _settle_chunk(claim, None, state=ChunkState.void)
    ordinals = range(claim.first_ordinal, claim.first_ordinal + claim.cards)
    jobs.void_prints(job, PrintState.pending, problem, f"chunk:{claim.number}", list(ordinals))
    _go_on(job)


@one_transaction
def hand_back(claim: ChunkClaim | PackagingClaim, *, counts: bool) -> None:
    """Let somebody else do it. `counts` says whether this was an attempt: a stopping worker's is not."""
    table, values = claim.holder.table, dict(RELEASED)
    if isinstance(claim, ChunkClaim):
        values["state"] = ChunkState.waiting
    if not counts:
        values["attempts"] = table.attempts - 1
    db.session.execute(
        update(table)
        .where(*claim.holder.row, table.lease_fence == claim.holder.fence)
        .values(**values)
        .execution_options(synchronize_session=False)
    )


@one_transaction
def count_death(claim: ChunkClaim, ordinal: int) -> int:
    """Return how many times drawing this card has now killed a process."""
    _check_fence(claim)
    return db.session.scalar(
        update(Print)
        .where(Print.job_id == claim.job_id, Print.ordinal == ordinal)
        .values(deaths=Print.deaths + 1)
        .returning(Print.deaths)
        .execution_options(synchronize_session=False)
    )


def work_waits() -> bool:
    """Return whether a worker would find a chunk or a packaging to claim now."""
    chunk = select(Chunk.number).join(Job, Job.id == Chunk.job_id).where(*_claimable()).limit(1)
    packaging = select(Job.id).where(Job.state == JobState.packaging, leases.free(Job)).limit(1)
    return db.session.execute(chunk).first() is not None or db.session.execute(packaging).first() is not None


@one_transaction
def unstick() -> None:
    """Send jobs on whose chunks are all settled; harmless when nothing is stuck, which is always."""
    left = select(Chunk.number).where(Chunk.job_id == Job.id, Chunk.state.in_([ChunkState.waiting, ChunkState.claimed]))
    stuck = select(Job).where(Job.state == JobState.generating, ~left.exists())
    for job in list(db.session.scalars(stuck)):
        db.session.execute(update(Job).where(Job.id == job.id).values(chunks_left=0))
        _go_on(job)


def _claimable() -> tuple[Any, ...]:
    return (
        Job.state.in_([JobState.waiting, JobState.generating]),
        or_(
            Chunk.state == ChunkState.waiting,
            and_(Chunk.state == ChunkState.claimed, leases.free(Chunk)),
        ),
    )


def _waiting_chunks(only: uuid.UUID | None) -> list[tuple[uuid.UUID, int]]:
    wanted = _claimable() if only is None else (*_claimable(), Job.id == only)
    in_hand = (
        select(Chunk.organisation_id, func.count().label("held"))
        .where(Chunk.state == ChunkState.claimed, ~leases.free(Chunk))
        .group_by(Chunk.organisation_id)
        .subquery()
    )
    first = (
        select(Chunk.job_id, func.min(Chunk.number).label("number"))
        .join(Job, Job.id == Chunk.job_id)
        .where(*wanted)
        .group_by(Chunk.job_id)
        .subquery()
    )
    rows = db.session.execute(
        select(first.c.job_id, first.c.number)
        .join(Job, Job.id == first.c.job_id)
        .outerjoin(in_hand, in_hand.c.organisation_id == Job.organisation_id)
        .order_by(func.coalesce(in_hand.c.held, 0), Job.created_at, Job.id)
        .limit(LOOK_AT)
    )
    return [(row.job_id, row.number) for row in rows]


@one_transaction
def _take_chunk(job_id: uuid.UUID, number: int, owner: str) -> ChunkClaim | None:
    started = db.session.scalar(
        update(Job)
        .where(Job.id == job_id, Job.state.in_([JobState.waiting, JobState.generating]))
        .values(state=JobState.generating, started_at=func.coalesce(Job.started_at, utc_now()))
        .returning(Job.organisation_id)
        .execution_options(synchronize_session=False)
    )
    if started is None:
        return None
    row = (Chunk.job_id == job_id, Chunk.number == number)
    values = leases.taken(owner)
    open_state = or_(Chunk.state == ChunkState.waiting, and_(Chunk.state == ChunkState.claimed, leases.free(Chunk)))
    taken = db.session.execute(
        update(Chunk)
        .where(*row, open_state)
        .values(state=ChunkState.claimed, attempts=Chunk.attempts + 1, **values)
        .returning(Chunk.first_ordinal, Chunk.cards, Chunk.attempts)
        .execution_options(synchronize_session=False)
    ).first()
    if taken is None:
        return None
    holder = Holder(Chunk, row, values["lease_fence"])
    return ChunkClaim(started, job_id, number, taken.first_ordinal, taken.cards, taken.attempts, holder)


@one_transaction
def _take_packaging(job_id: uuid.UUID, owner: str) -> PackagingClaim | None:
    values = leases.taken(owner)
    taken = db.session.execute(
        update(Job)
        .where(Job.id == job_id, Job.state == JobState.packaging, leases.free(Job))
        .values(attempts=Job.attempts + 1, **values)
        .returning(Job.organisation_id, Job.attempts)
        .execution_options(synchronize_session=False)
    ).first()
    if taken is None:
        return None
    holder = Holder(Job, (Job.id == job_id,), values["lease_fence"])
    return PackagingClaim(taken.organisation_id, job_id, taken.attempts, holder)


def _count_down(claim: ChunkClaim, *, drawn: int, failed: int) -> Job:
    """Count the chunk off its job and return the job; the job's row is locked first, as everywhere."""
    db.session.execute(
        update(Job)
        .where(Job.id == claim.job_id)
        .values(
            chunks_left=Job.chunks_left - 1,
            cards_drawn=Job.cards_drawn + drawn,
            cards_failed=Job.cards_failed + failed,
        )
        .execution_options(synchronize_session=False)
    )
    return db.session.get(Job, claim.job_id, populate_existing=True)


def _settle_chunk(claim: ChunkClaim, pieces: dict[str, Any] | None, state: ChunkState = ChunkState.settled) -> None:
    changed = db.session.execute(
        update(Chunk)
        .where(*claim.holder.row, Chunk.state == ChunkState.claimed, Chunk.lease_fence == claim.holder.fence)
        .values(state=state, pieces=pieces, **RELEASED)
        .execution_options(synchronize_session=False)
    )
    if changed.rowcount != 1:
        raise LeaseLost


def _keep_drawn(claim: ChunkClaim, results: Sequence[DrawnCard | FailedCard]) -> None:
    rows = [
        {"job": claim.job_id, "at": ordinal, "members": card.to_json()["members"]}
        for ordinal, card in enumerate(results, claim.first_ordinal)
        if isinstance(card, DrawnCard)
    ]
    if rows:
        table = Print.__table__
        db.session.connection().execute(
            update(table)
            .where(table.c.job_id == bindparam("job"), table.c.ordinal == bindparam("at"))
            .values(state=PrintState.drawn, files=bindparam("members")),
            rows,
        )


def _go_on(job: Job) -> None:
    """Send the job to packaging when its last chunk is counted off; fail it when no card could be drawn."""
    db.session.refresh(job)
    if job.chunks_left > 0 or job.state != JobState.generating:
        return
    if job.cards_drawn == 0:
        jobs.fail(job, say("None of the cards could be drawn. Look at the reason given for each card."))
        return
    db.session.execute(
        update(Job)
        .where(Job.id == job.id, Job.state == JobState.generating, Job.chunks_left == 0)
        .values(state=JobState.packaging)
    )


def _check_fence(claim: ChunkClaim) -> None:
    held = select(Chunk.number).where(*claim.holder.row, Chunk.lease_fence == claim.holder.fence)
    if db.session.execute(held).first() is None:
        raise LeaseLost
