"""Reorders: cards of an earlier job ordered once more, because its files are gone or some could not be made."""

import uuid
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, exists, func, or_, select

from app.database import db
from app.domain import jobs
from app.domain.access import Actor
from app.domain.orders import StartOrder
from app.domain.repeats import Repeat
from app.models import LIVE, Beneficiary, Campaign, Card, CardState, Job, Print, PrintState

IN_HANDS = frozenset({CardState.valid, CardState.suspended})


@dataclass(frozen=True)
class Again:
    """What can be ordered again of a finished job: cards to print once more, those that are out, cards to retry."""

    printable: int
    out: int
    failed: int


NOTHING = Again(0, 0, 0)


def of_job(job: Job) -> Again:
    """Return how many cards of the job can be printed again, how many not, and how many could be tried again."""
    issued = _count(job, Print.state == PrintState.issued)
    printable = _count(job, *_printable())
    return Again(printable, issued - printable, _count(job, *_failed()))


def files_again(job: Job, *, by: Actor, repeat: Repeat | None = None) -> Job:
    """Return a new job that prints the cards of `job` once more; it costs nothing.

    Cards that were revoked or replaced meanwhile, and those of people who were erased, are left out. Raises Conflict
    when none is left, and what `jobs.start` raises.
    """
    return jobs.start(_campaign(job), _order(job, _people(job, *_printable()), reprint=True), by=by, repeat=repeat)


def try_again(job: Job, *, by: Actor, repeat: Repeat | None = None) -> Job:
    """Return a new job for the people whose cards `job` could not make; it costs what is made.

    Raises Conflict when nobody is left, and what `jobs.start` raises.
    """
    return jobs.start(_campaign(job), _order(job, _people(job, *_failed())), by=by, repeat=repeat)


def _campaign(job: Job) -> Campaign:
    return db.session.get_one(Campaign, job.campaign_id)


def _order(job: Job, people: list[uuid.UUID], *, reprint: bool = False) -> StartOrder:
    return StartOrder(
        people=people,
        dpi=job.dpi,
        sheet=job.sheet,
        include_mpi_id=job.include_mpi_id,
        programme=job.programme,
        reprint=reprint,
    )


def _printable() -> tuple[ColumnElement[bool], ...]:
    return Print.state == PrintState.issued, Card.state.in_(IN_HANDS), Beneficiary.erased_at.is_(None)


def _failed() -> tuple[ColumnElement[bool], ...]:
    """Return the conditions of a card that was not made, and that nothing made since."""
    other = Card.__table__.alias("other")
    has_one = exists(
        select(other.c.card_index).where(
            other.c.campaign_id == Card.campaign_id,
            other.c.person_id == Card.person_id,
            other.c.state.in_(LIVE),
        )
    )
    lacks = and_(Print.new_card, ~has_one)
    unprinted = and_(~Print.new_card, Card.state.in_(IN_HANDS))
    return Print.state == PrintState.void, or_(lacks, unprinted), Beneficiary.erased_at.is_(None)


def _people(job: Job, *wanted: ColumnElement[bool]) -> list[uuid.UUID]:
    return list(db.session.scalars(_prints(select(Card.person_id), job, *wanted).order_by(Print.ordinal)))


def _count(job: Job, *wanted: ColumnElement[bool]) -> int:
    return db.session.scalar(_prints(select(func.count()), job, *wanted)) or 0


def _prints(question, job: Job, *wanted: ColumnElement[bool]):
    return (
        question.select_from(Print)
        .join(Card, (Card.campaign_id == Print.campaign_id) & (Card.card_index == Print.card_index))
        .join(Beneficiary, Beneficiary.id == Card.person_id)
        .where(Print.job_id == job.id, *wanted)
    )
