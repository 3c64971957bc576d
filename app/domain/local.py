"""The organisation of this computer, and the jobs that the command line makes for it without a portal."""

import uuid
from collections.abc import Sequence

from sqlalchemy import select

from app.database import added_first, db, one_transaction
from app.domain import campaigns, jobs, people
from app.domain.access import Actor
from app.domain.campaigns import NewCampaign
from app.domain.jobs import Progress
from app.domain.orders import StartOrder
from app.intake import PersonRow
from app.models import FINISHED, Campaign, Job, Organisation

NAME = "This computer"


@one_transaction
def organisation() -> Organisation:
    """Return the organisation of this computer, made without a limit the first time."""
    mine = select(Organisation).where(Organisation.name == NAME)
    found = db.session.scalar(mine)
    if found is None:
        made = Organisation(name=NAME, unlimited=True, monthly_quota=0)
        found = made if added_first(made) else db.session.scalar(mine)
    return found


@one_transaction
def order(
    owner: uuid.UUID, wanted: NewCampaign, rows: Sequence[PersonRow], sheet: str | None, programme: str
) -> uuid.UUID:
    """Return the id of the job for these people: campaign, people and job are saved together or not at all.

    `programme` is who hands the cards out, as it stands on them; empty leaves it out.
    A campaign of the same prefix and type is used again, and who has a card in it gets the same card again.
    """
    actor = Actor.portal(owner)
    campaign = campaigns.named(owner, wanted.prefix, wanted, by=actor)
    enrolled = people.enrol(campaign, rows, by=actor)
    start = StartOrder(people=enrolled.ids, dpi=wanted.dpi, sheet=sheet, programme=programme)
    return jobs.open_job(campaign, start, by=actor).id


def unfinished(owner: uuid.UUID, prefix: str) -> list[uuid.UUID]:
    """Return the jobs that an interrupted run for the campaign left behind, oldest first."""
    mine = (Job.organisation_id == owner, Campaign.prefix == prefix, Job.state.not_in(FINISHED))
    return list(db.session.scalars(select(Job.id).join(Campaign).where(*mine).order_by(Job.id)))


def job(job_id: uuid.UUID) -> Job:
    """Return the job as it is now."""
    return db.session.get(Job, job_id, populate_existing=True)


def look(job_id: uuid.UUID) -> Progress:
    """Return where the job stands now, and let go of the database."""
    progress = jobs.progress(job(job_id))
    db.session.remove()
    return progress


def let_go() -> None:
    """Close every connection, as a process must before it forks."""
    db.session.remove()
    db.engine.dispose()
