"""Claims: how a worker takes a chunk or a job's packaging, hands it back, or settles what it did.

A claim is one guarded UPDATE under a fresh fence. Every later transaction begins with that fence: whoever lost it
changes nothing.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Subquery, and_, bindparam, func, or_, select, update
from sqlalchemy.orm import aliased

from app.database import db, one_transaction, utc_now
from app.domain import jobs, leases
from app.domain.leases import RELEASED, Holder, LeaseLost
from app.models import Chunk, ChunkState, Job, JobState, Print, PrintState
from app.rendering.chunk import DrawnCard, FailedCard
from app.sentences import Sentence

CHILD_FROM_ATTEMPT = 3
MOST_ATTEMPTS = 7  # two in the worker itself, five in a child
MOST_PACKAGINGS = 20  # a packaging that kills its worker cannot be told from a worker that was killed
LOOK_AT = 20
CLAIMABLE_JOBS = (JobState.waiting, JobState.generating)


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

    The organisation with the fewest chunks in hand comes first, then the one served longest ago; of its jobs again
    the one with the fewest in hand, then the one served longest ago. So nothing waits behind a large job for longer
    than two chunks, not even where one worker is all there is.
    """
    for job_id in _jobs_with_chunks(only):
        if claim := _take_chunk(job_id, owner):
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
    charged = {
        ordinal: jobs.void_prints(job, PrintState.pending, card.reason, [ordinal])
        for ordinal, card in enumerate(results, claim.first_ordinal)
        if isinstance(card, FailedCard)
    }
    jobs.go_on(job)
    for ordinal, cards in charged.items():
        jobs.pay_back(job, cards, f"card:{ordinal}")


@one_transaction
def give_up(claim: ChunkClaim, problem: Sentence) -> None:
    """Void the whole chunk after too many attempts; its cards are refunded, its neighbours go on."""
    job = _count_down(claim, drawn=0, failed=claim.cards)
    _settle_chunk(claim, None, state=ChunkState.void)
    ordinals = range(claim.first_ordinal, claim.first_ordinal + claim.cards)
    charged = jobs.void_prints(job, PrintState.pending, problem, list(ordinals))
    jobs.go_on(job)
    jobs.pay_back(job, charged, f"chunk:{claim.number}")


@one_transaction
def hand_back(claim: ChunkClaim | PackagingClaim, *, counts: bool) -> None:
    """Let somebody else do it at once. `counts` says whether this was an attempt: a stopping worker's is not."""
    values = {"attempts": claim.attempts - (not counts), **RELEASED}
    if isinstance(claim, ChunkClaim):
        values["state"] = ChunkState.waiting
    _change_held(claim, values)


@one_transaction
def let_rest(claim: ChunkClaim | PackagingClaim) -> None:
    """Leave it alone for a lease, and count no attempt: a full or absent disk is not its fault, nor the others'.

    A lease without an owner is how `resting` knows it.
    """
    values = {"attempts": claim.attempts - 1, "lease_owner": None, "lease_expires": leases.end_of_a_lease()}
    _change_held(claim, values)


@one_transaction
def shield(claim: ChunkClaim) -> None:
    """Count no attempt yet: what is drawn in a child cannot kill its worker, so a worker's death says nothing."""
    _change_held(claim, {"attempts": claim.attempts - 1})


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


def resting(job_id: uuid.UUID) -> bool:
    """Return whether something of the job was left alone, because disk or file store were full or away."""
    rests = (Chunk.state == ChunkState.claimed, Chunk.lease_owner.is_(None), ~leases.free(Chunk))
    packs = (Job.lease_fence.is_not(None), Job.lease_owner.is_(None), ~leases.free(Job))
    chunk = select(Chunk.number).where(Chunk.job_id == job_id, *rests).limit(1)
    packaging = select(Job.id).where(Job.id == job_id, *packs)
    return db.session.execute(chunk).first() is not None or db.session.execute(packaging).first() is not None


def work_waits() -> bool:
    """Return whether a worker would find a chunk or a packaging to claim now."""
    open_chunks = (Job.state.in_(CLAIMABLE_JOBS), _open_chunk())
    chunk = select(Chunk.number).join(Job, Job.id == Chunk.job_id).where(*open_chunks).limit(1)
    packaging = select(Job.id).where(Job.state == JobState.packaging, leases.free(Job)).limit(1)
    return db.session.execute(chunk).first() is not None or db.session.execute(packaging).first() is not None


@one_transaction
def unstick() -> None:
    """Send jobs on whose chunks are all settled; harmless when nothing is stuck, which is always."""
    left = select(Chunk.number).where(Chunk.job_id == Job.id, Chunk.state.in_([ChunkState.waiting, ChunkState.claimed]))
    stuck = select(Job).where(Job.state == JobState.generating, ~left.exists())
    for job in list(db.session.scalars(stuck)):
        db.session.execute(update(Job).where(Job.id == job.id).values(chunks_left=0))
        jobs.go_on(job)


def _open_chunk() -> ColumnElement[bool]:
    """Return the condition that a chunk waits, or that whoever claimed it has lost it."""
    return or_(*_open_chunks())


def _open_chunks() -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """Return both of its halves: asked one by one, each is found in an index, however many chunks are settled."""
    return Chunk.state == ChunkState.waiting, and_(Chunk.state == ChunkState.claimed, leases.free(Chunk))


def _change_held(claim: ChunkClaim | PackagingClaim, values: dict[str, Any]) -> None:
    """Change the claimed row if it is still ours; nothing happens when it is not."""
    table = claim.holder.table
    db.session.execute(
        update(table)
        .where(*claim.holder.row, table.lease_fence == claim.holder.fence)
        .values(**values)
        .execution_options(synchronize_session=False)
    )


def _jobs_with_chunks(only: uuid.UUID | None) -> list[uuid.UUID]:
    """Return jobs that have a chunk to claim, those first whose turn it is; a job never served comes before others.

    An organisation's turn is counted over all its jobs, finished ones too: many small ones are no way past others.
    """
    others = aliased(Job)
    last_served = select(func.max(others.served)).where(others.organisation_id == Job.organisation_id).scalar_subquery()
    by_organisation, by_job = _in_hand(Chunk.organisation_id), _in_hand(Chunk.job_id)
    waiting, lost = (
        select(Chunk.number).where(Chunk.job_id == Job.id, open_one).exists() for open_one in _open_chunks()
    )
    wanted = [Job.state.in_(CLAIMABLE_JOBS), or_(waiting, lost)]
    if only is not None:
        wanted.append(Job.id == only)
    turn = (
        func.coalesce(by_organisation.c.held, 0),
        last_served,
        func.coalesce(by_job.c.held, 0),
        Job.served,
        Job.created_at,
        Job.id,
    )
    return list(
        db.session.scalars(
            select(Job.id)
            .outerjoin(by_organisation, by_organisation.c.whose == Job.organisation_id)
            .outerjoin(by_job, by_job.c.whose == Job.id)
            .where(*wanted)
            .order_by(*turn)
            .limit(LOOK_AT)
        )
    )


def _in_hand(whose: Any) -> Subquery:
    """Return how many chunks workers hold now, for each organisation or job."""
    held = (Chunk.state == ChunkState.claimed, ~leases.free(Chunk))
    return select(whose.label("whose"), func.count().label("held")).where(*held).group_by(whose).subquery()


@one_transaction
def _take_chunk(job_id: uuid.UUID, owner: str) -> ChunkClaim | None:
    """Take the job's next chunk. The job's row is locked first, so that workers woken together take one each.

    Two claims of one moment may get the same turn; harmless, because then it does not matter who came first.
    """
    next_turn = select(func.coalesce(func.max(aliased(Job).served), 0) + 1).scalar_subquery()
    organisation_id = db.session.scalar(
        update(Job)
        .where(Job.id == job_id, Job.state.in_(CLAIMABLE_JOBS))
        .values(state=JobState.generating, started_at=func.coalesce(Job.started_at, utc_now()), served=next_turn)
        .returning(Job.organisation_id)
        .execution_options(synchronize_session=False)
    )
    if organisation_id is None:
        return None
    first = (select(func.min(Chunk.number)).where(Chunk.job_id == job_id, each) for each in _open_chunks())
    number = min((found for question in first if (found := db.session.scalar(question)) is not None), default=None)
    row = (Chunk.job_id == job_id, Chunk.number == number)
    values = leases.taken(owner)
    taken = db.session.execute(
        update(Chunk)
        .where(*row, _open_chunk())
        .values(state=ChunkState.claimed, attempts=Chunk.attempts + 1, **values)
        .returning(Chunk.first_ordinal, Chunk.cards, Chunk.attempts)
        .execution_options(synchronize_session=False)
    ).first()
    if taken is None:
        return None
    holder = Holder(Chunk, row, values["lease_fence"])
    return ChunkClaim(organisation_id, job_id, number, taken.first_ordinal, taken.cards, taken.attempts, holder)


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


def _check_fence(claim: ChunkClaim) -> None:
    held = select(Chunk.number).where(*claim.holder.row, Chunk.lease_fence == claim.holder.fence)
    if db.session.execute(held).first() is None:
        raise LeaseLost
