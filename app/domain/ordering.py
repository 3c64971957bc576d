"""Orders that come with their people, and requests that come more than once."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from app.database import TRIES, db, one_transaction, utc_now
from app.domain import audit, campaigns, orders, people, quotas, repeats
from app.domain.access import Actor, require
from app.domain.campaigns import NewCampaign
from app.domain.errors import NotFound
from app.domain.orders import StartOrder
from app.domain.repeats import Repeat
from app.intake import PersonRow
from app.models import Campaign, Job, RequestKey
from app.sentences import say

Row = TypeVar("Row")


def start_for(
    campaign: Campaign,
    rows: Sequence[PersonRow],
    order: StartOrder,
    *,
    by: Actor,
    repeat: Repeat | None = None,
) -> tuple[Job, bool]:
    """Return the job for these people, saved, paid for and waiting, and whether `repeat` had made it before.

    People and job are saved together or not at all; cards come in the order of `rows`. Raises InvalidPeople,
    QuotaExceeded, NotFound when the campaign is archived, Conflict when nothing is left to make, NoRoom.
    """
    return _once(lambda: _start(campaign, rows, order, by, repeat), repeat, "job", by)


def open_campaign(wanted: NewCampaign, *, by: Actor, repeat: Repeat | None = None) -> tuple[Campaign, bool]:
    """Return the new campaign, and whether `repeat` had made it before; refusals as in `campaigns.create`."""
    return _once(lambda: campaigns.create(wanted, by=by, repeat=repeat), repeat, "campaign", by)


def _once(verb: Callable[[], Row], repeat: Repeat | None, operation: str, by: Actor) -> tuple[Row, bool]:
    """Return what the verb makes and whether it was there before; do it again when a twin was saved just now.

    PostgreSQL lets two requests for the same thing run until a unique key stops the second: asked again, it
    finds what the first has made. Two twins of the same moment may both be told that they were first; harmless,
    because their answers are the same.
    """
    for turn in range(1, TRIES + 1):
        before = _answered_before(repeat, operation, by)
        try:
            return verb(), before
        except IntegrityError:
            if turn == TRIES:
                raise
    raise AssertionError("unreachable")


def _answered_before(repeat: Repeat | None, operation: str, by: Actor) -> bool:
    if repeat is None:
        return False
    mine = (
        RequestKey.organisation_id == by.organisation_id,
        RequestKey.actor == str(by.user_id),
        RequestKey.operation == operation,
        RequestKey.key == repeat.key,
        RequestKey.created_at >= utc_now() - repeats.KEPT,
    )
    return db.session.scalar(select(RequestKey.id).where(*mine)) is not None


@one_transaction
def _start(
    campaign: Campaign, rows: Sequence[PersonRow], order: StartOrder, by: Actor, repeat: Repeat | None
) -> Job:
    require(by, "generate cards")
    # The campaign's row is held from here on, so that twins of one request take turns instead of colliding.
    db.session.refresh(campaign, with_for_update=True)
    if found := repeats.answered(repeat, "job", by=by):
        return _job(found)
    if campaign.archived_at is not None:
        raise NotFound(say("This campaign is archived. Restore it before you make cards."))
    enrolled = people.enrol(campaign, rows, by=by)
    job = orders.place(campaign, replace(order, people=enrolled.ids), by=by)
    quotas.reserve(job.organisation_id, job.id, job.quota_consumed)
    repeats.remember(repeat, "job", job.id, by=by)
    campaigns.refresh_status(campaign.id)
    audit.note(by, "job.started", "job", job.id, cards=job.total_cards, dpi=job.dpi, sheet=job.sheet)
    return job


def _job(job_id: uuid.UUID) -> Job:
    return db.session.scalars(select(Job).where(Job.id == job_id)).one()
