"""Jobs: asking for cards, watching them being made, pausing, continuing, cancelling.

What workers do with a job is in `claims`, `drawing` and `packaging`; how cards are chosen and numbered in `orders`.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, update

from app.database import db, one_transaction, utc_now
from app.domain import audit, campaigns, orders, quotas, repeats
from app.domain.access import Actor, require
from app.domain.blanks import Blanks
from app.domain.errors import Conflict
from app.domain.leases import RELEASED
from app.domain.orders import StartOrder
from app.models import (
    FINISHED,
    Beneficiary,
    Campaign,
    Card,
    CardState,
    Chunk,
    ChunkState,
    Job,
    JobState,
    Print,
    PrintState,
)
from app.sentences import Sentence, say

LIVE_STATES = frozenset(JobState) - FINISHED
NEARLY = 99


@dataclass(frozen=True)
class Progress:
    """Where a job stands, in plain values; what every page, stream and answer is drawn from.

    `percent` never reaches 100 before the files are there. `rate` is in cards a second and `eta_seconds` what is
    left at that rate; both are None until cards have been drawn.
    """

    state: str
    ends_as: str
    total: int
    drawn: int
    failed: int
    generated: int
    percent: int
    rate: float | None
    eta_seconds: int | None

    @property
    def finished(self) -> bool:
        return self.state in FINISHED

    @property
    def left(self) -> int:
        return self.total - self.drawn - self.failed


@dataclass(frozen=True)
class FailedPrint:
    """A card that could not be made, whose it would have been, and why."""

    code: str
    beneficiary_id: str
    reason: Sentence


def start(campaign: Campaign, order: StartOrder, *, by: Actor, repeat: repeats.Repeat | None = None) -> Job:
    """Return the job, saved, paid for and waiting for a worker.

    The same `repeat` again returns the job it made the first time. Raises QuotaExceeded, Conflict when there is
    nothing to make, NoRoom when the disk could not hold the files. What takes time is made ready beforehand, so that
    others wait only for the writing.
    """
    require(by, "generate cards")
    if found := repeats.made_before(repeat, "job", by=by):
        return db.session.get_one(Job, found)
    campaigns.refuse_archived(campaign)
    ready = orders.make_ready(campaign, order)
    return _start(campaign, order, ready, by=by, repeat=repeat)


@one_transaction
def _start(campaign: Campaign, order: StartOrder, ready: Blanks, *, by: Actor, repeat: repeats.Repeat | None) -> Job:
    if found := repeats.answered(repeat, "job", by=by):
        return db.session.get(Job, found)
    job = open_job(campaign, order, by=by, ready=ready)
    repeats.remember(repeat, "job", job.id, by=by)
    return job


def open_job(campaign: Campaign, order: StartOrder, *, by: Actor, ready: Blanks | None = None) -> Job:
    """Do what `start` does, inside the open transaction of a verb that does more."""
    require(by, "generate cards")
    campaigns.refuse_archived(campaign)
    job = orders.place(campaign, order, by=by, ready=ready)
    campaigns.refresh_status(campaign.id)
    quotas.reserve(job.organisation_id, job.id, job.quota_consumed, by=by.user_id)
    audit.note(by, "job.started", "job", job.id, cards=job.total_cards, dpi=job.dpi, sheet=job.sheet)
    return job


@one_transaction
def pause(job: Job, *, by: Actor) -> None:
    """Stop claiming new chunks; those in hand are finished and kept."""
    require(by, "generate cards")
    _move(job, {JobState.waiting, JobState.generating}, JobState.paused)
    audit.note(by, "job.paused", "job", job.id)


@one_transaction
def resume(job: Job, *, by: Actor) -> None:
    """Go on where the job was paused."""
    require(by, "generate cards")
    _move(job, {JobState.paused}, JobState.generating)
    go_on(job)
    audit.note(by, "job.resumed", "job", job.id)


@one_transaction
def cancel(job: Job, *, by: Actor) -> None:
    """Make no further cards: what is not drawn is void and refunded, what is drawn is packaged and stays valid."""
    require(by, "generate cards")
    _move(job, {JobState.waiting, JobState.generating, JobState.paused}, JobState.packaging)
    _void_chunks(job, ChunkState.waiting, ChunkState.claimed)
    charged = void_prints(job, PrintState.pending, say("The job was cancelled before this card was drawn."))
    drawn = _count(job, PrintState.drawn)
    db.session.execute(
        update(Job)
        .where(Job.id == job.id)
        .values(
            chunks_left=0,
            ends_as=JobState.cancelled,
            state=JobState.packaging if drawn else JobState.cancelled,
            finished_at=None if drawn else utc_now(),
        )
    )
    campaigns.refresh_status(job.campaign_id)
    pay_back(job, charged, "cancel")
    audit.note(by, "job.cancelled", "job", job.id, refunded=charged, kept=drawn)


def go_on(job: Job) -> None:
    """Send the job to packaging when its last chunk is counted off; fail it when no card could be drawn.

    Inside the open transaction; a job that is paused, or has chunks left, stays as it is.
    """
    db.session.refresh(job)
    if job.chunks_left > 0 or job.state != JobState.generating:
        return
    if job.cards_drawn == 0:
        fail(job, say("None of the cards could be drawn. Look at the reason given for each card."))
        return
    db.session.execute(
        update(Job)
        .where(Job.id == job.id, Job.state == JobState.generating, Job.chunks_left == 0)
        .values(state=JobState.packaging)
        .execution_options(synchronize_session=False)
    )


def fail(job: Job, problem: Sentence) -> None:
    """End the job as failed inside the open transaction: every card void, every unit refunded.

    Nothing happens to a job that has ended, perhaps in this very moment.
    """
    ended = db.session.execute(
        update(Job)
        .where(Job.id == job.id, Job.state.in_(LIVE_STATES))
        .values(
            state=JobState.failed,
            ends_as=JobState.failed,
            chunks_left=0,
            problem=problem.to_json(),
            finished_at=utc_now(),
            **RELEASED,
        )
    )
    if not ended.rowcount:
        return
    _void_chunks(job, ChunkState.waiting, ChunkState.claimed, ChunkState.settled)
    charged = {state: void_prints(job, state, problem) for state in (PrintState.pending, PrintState.drawn)}
    campaigns.refresh_status(job.campaign_id)
    for state, cards in charged.items():
        pay_back(job, cards, f"failed:{state}")
    audit.note(Actor.portal(job.organisation_id), "job.failed", "job", job.id, reason=str(problem))


def void_prints(job: Job, state: PrintState, problem: Sentence, ordinals: Sequence[int] | None = None) -> int:
    """Void the job's prints in `state` (only `ordinals`, when given) and return the units to `pay_back` for them.

    Inside the open transaction. A card that was being made for the first time is void too; a card printed again
    stays what it was.
    """
    mine = [Print.job_id == job.id, Print.state == state]
    if ordinals is not None:
        mine.append(Print.ordinal.in_(ordinals))
    cards = select(Print.card_index).where(*mine, Print.new_card)
    db.session.execute(
        update(Card)
        .where(Card.campaign_id == job.campaign_id, Card.card_index.in_(cards), Card.state == CardState.pending)
        .values(state=CardState.void)
        .execution_options(synchronize_session=False)
    )
    charged = db.session.scalar(select(func.coalesce(func.sum(Print.charged), 0)).where(*mine))
    db.session.execute(
        update(Print)
        .where(*mine)
        .values(state=PrintState.void, problem=problem.to_json())
        .execution_options(synchronize_session=False)
    )
    return int(charged or 0)


def pay_back(job: Job, charged: int, cause: str) -> None:
    """Refund what was charged for cards that are void now, at the end of the open transaction.

    The organisation is what all its jobs meet at: it is locked last, after job, chunk, card and campaign.
    """
    if charged:
        db.session.execute(update(Job).where(Job.id == job.id).values(quota_refunded=Job.quota_refunded + charged))
        # The ledger can never be changed, and a card's problem may name a person: so it is not repeated there.
        quotas.refund(job.organisation_id, job.id, charged, "Cards that were not made", cause)


def progress(job: Job, now: datetime | None = None) -> Progress:
    """Return where the job stands."""
    done = job.cards_drawn + job.cards_failed
    rate = _rate(job, done, now or utc_now())
    finished = job.state in FINISHED
    return Progress(
        state=job.state,
        ends_as=job.ends_as,
        total=job.total_cards,
        drawn=job.cards_drawn,
        failed=job.cards_failed,
        generated=job.cards_generated,
        percent=100 if job.state == JobState.completed else min(NEARLY, 100 * done // max(1, job.total_cards)),
        rate=rate,
        eta_seconds=None if finished or not rate else max(1, round((job.total_cards - done) / rate)),
    )


def problem_of(job: Job) -> Sentence | None:
    """Return why the job failed, None when it did not."""
    return Sentence.from_json(job.problem) if job.problem else None


def failed_prints(job: Job, limit: int = 200) -> list[FailedPrint]:
    """Return the cards that could not be made, in card order, each with its person's beneficiary ID."""
    rows = db.session.execute(
        select(Card.code, Beneficiary.beneficiary_id, Print.problem)
        .join(Card, (Card.campaign_id == Print.campaign_id) & (Card.card_index == Print.card_index))
        .join(Beneficiary, Beneficiary.id == Card.person_id)
        .where(Print.job_id == job.id, Print.state == PrintState.void, Print.problem.is_not(None))
        .order_by(Print.ordinal)
        .limit(limit)
    )
    return [FailedPrint(row.code, row.beneficiary_id, Sentence.from_json(row.problem)) for row in rows]


def live_jobs(organisation_id: uuid.UUID) -> list[Job]:
    """Return the organisation's jobs that are not finished, newest first."""
    belongs = (Job.organisation_id == organisation_id, Job.state.in_(LIVE_STATES))
    return list(db.session.scalars(select(Job).where(*belongs).order_by(Job.created_at.desc())))


def of_campaign(campaign: Campaign) -> list[Job]:
    """Return the campaign's jobs, newest first."""
    mine = select(Job).where(Job.campaign_id == campaign.id).order_by(Job.created_at.desc(), Job.id.desc())
    return list(db.session.scalars(mine))


def _move(job: Job, allowed: set[JobState], to: JobState) -> None:
    """Change the state in one guarded step; Conflict, with the present state, when it is not one of `allowed`."""
    changed = db.session.execute(
        update(Job)
        .where(Job.id == job.id, Job.state.in_(allowed))
        .values(state=to)
        .execution_options(synchronize_session=False)
    )
    if changed.rowcount:
        return
    db.session.refresh(job)
    raise Conflict(say("This job is %(state)s, so that cannot be done now.", state=job.state))


def _void_chunks(job: Job, *states: ChunkState) -> None:
    """Void the job's chunks in these states; whoever holds one has lost it."""
    db.session.execute(
        update(Chunk)
        .where(Chunk.job_id == job.id, Chunk.state.in_(states))
        .values(state=ChunkState.void, pieces=None, **RELEASED)
        .execution_options(synchronize_session=False)
    )


def _count(job: Job, state: PrintState) -> int:
    return db.session.scalar(select(func.count()).where(Print.job_id == job.id, Print.state == state)) or 0


def _rate(job: Job, done: int, now: datetime) -> float | None:
    if not job.started_at or not done or job.state not in (JobState.generating, JobState.packaging):
        return None
    return done / max(0.5, (now - job.started_at).total_seconds())
