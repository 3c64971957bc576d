"""The jobs' invariants: paid for exactly, settled when they ended, and never standing still unseen."""

import uuid

from sqlalchemy import ColumnElement, and_, func, or_, select

from app.database import db, spell
from app.domain import leases
from app.domain.invariants.breach import Breach, Breaches
from app.models import (
    FINISHED,
    Card,
    CardState,
    Chunk,
    ChunkState,
    ImportBatch,
    Job,
    JobState,
    LedgerEntry,
    LedgerKind,
    Print,
    PrintState,
)
from app.sentences import N_, Sentence, say

COUNTED = (PrintState.pending, PrintState.drawn, PrintState.issued)
MOVED = (LedgerKind.debit, LedgerKind.refund)


def jobs_are_paid_for() -> Breaches:
    """What a job was debited and not refunded is what its charged cards come to that are not void."""
    paid = (
        select(LedgerEntry.job_id, (-func.sum(LedgerEntry.amount)).label("paid"))
        .where(LedgerEntry.kind.in_(MOVED), LedgerEntry.job_id.is_not(None))
        .group_by(LedgerEntry.job_id)
        .subquery()
    )
    owed = (
        select(Print.job_id, func.sum(Print.charged).label("owed"))
        .where(Print.state.in_(COUNTED))
        .group_by(Print.job_id)
        .subquery()
    )
    has_paid, owes = func.coalesce(paid.c.paid, 0), func.coalesce(owed.c.owed, 0)
    rows = db.session.execute(
        select(Job.id, Job.organisation_id, has_paid.label("paid"), owes.label("owes"))
        .outerjoin(paid, paid.c.job_id == Job.id)
        .outerjoin(owed, owed.c.job_id == Job.id)
        .where(has_paid != owes)
    )
    for row in rows:
        sentence = say(
            "Job %(job)s has paid for %(paid)s cards, but %(owed)s of its cards are charged. Compare its ledger "
            "entries with a backup.",
            job=spell("job", row.id),
            paid=int(row.paid),
            owed=int(row.owes),
        )
        yield Breach(sentence, row.organisation_id)


def ended_jobs_are_settled() -> Breaches:
    """A job that ended has no card left pending or drawn, and issued exactly those it counts."""
    states = (
        select(
            Print.job_id,
            func.count().filter(Print.state.in_([PrintState.pending, PrintState.drawn])).label("open"),
            func.count().filter(Print.state == PrintState.issued).label("issued"),
        )
        .group_by(Print.job_id)
        .subquery()
    )
    rows = db.session.execute(
        select(Job.id, Job.organisation_id, Job.cards_generated, states.c.open, states.c.issued)
        .join(states, states.c.job_id == Job.id)
        .where(Job.state.in_(FINISHED), (states.c.open > 0) | (states.c.issued != Job.cards_generated))
    )
    for row in rows:
        if row.open:
            yield _about(
                row,
                N_("Job %(job)s has ended, but %(open)s of its cards are neither issued nor void. Order them again."),
                open=row.open,
            )
        if row.issued != row.cards_generated:
            yield _about(
                row,
                N_("Job %(job)s counts %(counted)s cards, but %(issued)s are issued. Compare with a backup."),
                counted=row.cards_generated,
                issued=row.issued,
            )
    waiting = (Card.state == CardState.pending, Job.state.in_(FINISHED))
    for code, owner in db.session.execute(
        select(Card.code, Card.organisation_id).join(Job, Job.id == Card.job_id).where(*waiting)
    ):
        yield Breach(
            say("Card %(code)s waits for a job that has ended. Order it again in its campaign.", code=code), owner
        )


def nothing_is_stuck() -> Breaches:
    """What is not finished has a place in the queue, or a holder who was heard of within two leases.

    Waiting chunks, packagings and imports are the queue. Taking up what dead workers left puts right what is held.
    """
    is_open = Chunk.state.in_([ChunkState.waiting, ChunkState.claimed])
    still = select(func.count()).where(Chunk.job_id == Job.id, is_open).scalar_subquery()
    rows = select(Job.id, Job.organisation_id, Job.chunks_left, still.label("open")).where(Job.chunks_left != still)
    for row in db.session.execute(rows):
        yield _about(
            row,
            N_("Job %(job)s counts %(left)s parts to do, but %(open)s are open. Cancel it and order its cards again."),
            left=row.chunks_left,
            open=row.open,
        )
    drawn = (Job.state == JobState.generating, Job.chunks_left == 0)
    for row in db.session.execute(select(Job.id, Job.organisation_id).where(*drawn)):
        yield _about(row, N_("Job %(job)s is drawn and was not sent on. Run: fieldcard doctor --reap"))
    held = select(Chunk.job_id.label("id"), Chunk.organisation_id, func.count().label("n")).group_by(
        Chunk.job_id, Chunk.organisation_id
    )
    for row in db.session.execute(held.where(Chunk.state == ChunkState.claimed, _abandoned(Chunk))):
        yield _about(
            row,
            N_(
                "Parts of job %(job)s are held by a worker that has not been heard of for two leases: %(parts)s. "
                "Run: fieldcard doctor --reap"
            ),
            parts=row.n,
        )
    packing = (Job.lease_fence.is_not(None), leases.overdue(Job))
    for row in db.session.execute(select(Job.id, Job.organisation_id).where(*packing)):
        yield _about(
            row,
            N_(
                "The files of job %(job)s are held by a worker that has not been heard of for two leases. "
                "Run: fieldcard doctor --reap"
            ),
        )
    reading = (ImportBatch.lease_fence.is_not(None), leases.overdue(ImportBatch))
    for batch_id, owner in db.session.execute(select(ImportBatch.id, ImportBatch.organisation_id).where(*reading)):
        yield Breach(
            say(
                "Import %(batch)s is held by a worker that has not been heard of for two leases. "
                "Run: fieldcard doctor --reap",
                batch=str(batch_id),
            ),
            owner,
        )


def _abandoned(table: type[Chunk]) -> ColumnElement[bool]:
    """Return the condition that a claimed row has a silent holder, or none at all."""
    return or_(table.lease_fence.is_(None), and_(table.lease_fence.is_not(None), leases.overdue(table)))


def _about(row: object, template: str, **facts: int) -> Breach:
    job_id: uuid.UUID = row.id  # type: ignore[attr-defined]
    return Breach(Sentence(template, {"job": spell("job", job_id)} | facts), row.organisation_id)  # type: ignore
