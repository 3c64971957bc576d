"""Orders that come with their people, and the answer whether a request came for the first time."""

from collections.abc import Sequence
from dataclasses import replace

from app.database import db, one_transaction
from app.domain import campaigns, jobs, people, repeats
from app.domain.access import Actor, require
from app.domain.campaigns import NewCampaign
from app.domain.errors import NotFound
from app.domain.orders import StartOrder
from app.domain.repeats import Repeat
from app.intake import PersonRow
from app.models import Campaign, Job
from app.sentences import say


@one_transaction
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
    require(by, "generate cards")
    if found := repeats.answered(repeat, "job", by=by):
        return db.session.get(Job, found), True
    if campaign.archived_at is not None:
        raise NotFound(say("This campaign is archived. Restore it before you make cards."))
    enrolled = people.enrol(campaign, rows, by=by)
    job = jobs.open_job(campaign, replace(order, people=enrolled.ids), by=by)
    repeats.remember(repeat, "job", job.id, by=by)
    return job, False


@one_transaction
def open_campaign(wanted: NewCampaign, *, by: Actor, repeat: Repeat | None = None) -> tuple[Campaign, bool]:
    """Return the new campaign, and whether `repeat` had made it before; refusals as in `campaigns.create`."""
    if found := repeats.answered(repeat, "campaign", by=by):
        return db.session.get(Campaign, found), True
    campaign = campaigns.open_campaign(wanted, by=by)
    repeats.remember(repeat, "campaign", campaign.id, by=by)
    return campaign, False
