"""Overviews: the numbers, histories and lists behind the portal's pages, counted from rows and never kept apart."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Select, and_, func, or_, select

from app.database import db, one_transaction, utc_now
from app.domain import access, audit, campaigns, demo
from app.domain.access import Actor, require
from app.domain.errors import NotFound
from app.domain.jobs import LIVE_STATES
from app.models import (
    AuditEntry,
    Beneficiary,
    Campaign,
    CampaignDraft,
    Card,
    CardState,
    Enrolment,
    ImportBatch,
    Job,
    JobState,
)

IN_HAND = (CardState.valid, CardState.suspended)
FRESH = timedelta(days=7)  # how long files that are ready stand among the things to do
LONGEST_EXPORT = 10_000


@dataclass(frozen=True)
class Overview:
    """What a campaign has: people (`erased` of them have no name any more), their cards, the job that makes more."""

    people: int = 0
    erased: int = 0
    pending: int = 0
    valid: int = 0
    suspended: int = 0
    revoked: int = 0
    replaced: int = 0
    void: int = 0
    live_job: uuid.UUID | None = None
    archived: bool = False

    @property
    def with_card(self) -> int:
        """Return how many people hold a card; nobody has two that count."""
        return self.valid + self.suspended

    @property
    def without_card(self) -> int:
        return max(0, self.people - self.erased - self.with_card - self.pending)

    @property
    def issued(self) -> int:
        """Return how many cards were ever finished, whatever became of them."""
        return self.with_card + self.revoked + self.replaced

    @property
    def next_step(self) -> str:
        """Return what to do now: restore, watch, bring in people, make cards, or use the files."""
        if self.archived:
            return "restore"
        if self.live_job:
            return "watch"
        if not self.people and not self.issued:
            return "people"
        return "cards" if self.without_card else "files"


def of_campaign(campaign: Campaign) -> Overview:
    """Return what the campaign has."""
    return of_campaigns([campaign])[campaign.id]


def of_campaigns(some: Sequence[Campaign]) -> dict[uuid.UUID, Overview]:
    """Return what each of the campaigns has, counted in four questions however many they are."""
    ids = [campaign.id for campaign in some]
    numbers: dict[uuid.UUID, dict[str, int]] = {identifier: {} for identifier in ids}
    for identifier, people in db.session.execute(_grouped(Enrolment.campaign_id).where(Enrolment.campaign_id.in_(ids))):
        numbers[identifier]["people"] = people
    gone = _grouped(Enrolment.campaign_id).join(Beneficiary, Beneficiary.id == Enrolment.person_id)
    gone = gone.where(Enrolment.campaign_id.in_(ids), Beneficiary.erased_at.is_not(None))
    for identifier, erased in db.session.execute(gone):
        numbers[identifier]["erased"] = erased
    cards = select(Card.campaign_id, Card.state, func.count()).group_by(Card.campaign_id, Card.state)
    for identifier, state, count in db.session.execute(cards.where(Card.campaign_id.in_(ids))):
        numbers[identifier][state] = count
    live = select(Job.campaign_id, Job.id).where(Job.campaign_id.in_(ids), Job.state.in_(LIVE_STATES)).order_by(Job.id)
    jobs = dict(db.session.execute(live).all())
    return {
        campaign.id: Overview(
            **numbers[campaign.id],
            live_job=jobs.get(campaign.id),
            archived=campaign.archived_at is not None,
        )
        for campaign in some
    }


def demo_campaign(actor: Actor) -> Campaign | None:
    """Return the demo's campaign when the person works in the demo's organisation, None elsewhere."""
    try:
        return access.find(Campaign, actor, demo.CAMPAIGN.prefix, to="see", by="prefix")
    except NotFound:
        return None


def types_in_use(organisation_id: uuid.UUID) -> list[str]:
    """Return the types of campaign that the organisation has, by name."""
    mine = Campaign.organisation_id == organisation_id
    return list(
        db.session.scalars(select(Campaign.campaign_type).where(mine).distinct().order_by(Campaign.campaign_type))
    )


def drafts_of(actor: Actor) -> list[CampaignDraft]:
    """Return the campaigns that the person began to describe and did not finish, newest first."""
    own = (CampaignDraft.organisation_id == actor.organisation_id, CampaignDraft.user_id == actor.user_id)
    return list(db.session.scalars(select(CampaignDraft).where(*own).order_by(CampaignDraft.created_at.desc())))


def fresh_files(organisation_id: uuid.UUID, limit: int = 3) -> list[tuple[Job, Campaign]]:
    """Return the jobs that ended well in the last seven days with their campaigns, newest first."""
    ended = (
        Job.organisation_id == organisation_id,
        Job.state == JobState.completed,
        Job.finished_at >= utc_now() - FRESH,
        Campaign.archived_at.is_(None),
    )
    joined = select(Job, Campaign).join(Campaign, Campaign.id == Job.campaign_id)
    rows = db.session.execute(joined.where(*ended).order_by(Job.finished_at.desc()).limit(limit))
    return [(job, campaign) for job, campaign in rows]


def names_of(organisation_id: uuid.UUID, campaign_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, str]:
    """Return the names of these campaigns."""
    belongs = (Campaign.organisation_id == organisation_id, Campaign.id.in_(campaign_ids))
    return dict(db.session.execute(select(Campaign.id, Campaign.name).where(*belongs)).all())


def history(campaign: Campaign, *, limit: int, offset: int) -> tuple[int, list[AuditEntry]]:
    """Return how many acts concern the campaign, its jobs or its imports, and one page of them, newest first."""
    mine = (AuditEntry.organisation_id == campaign.organisation_id, or_(*_subjects(campaign)))
    total = db.session.scalar(select(func.count()).select_from(AuditEntry).where(*mine)) or 0
    newest = select(AuditEntry).where(*mine).order_by(AuditEntry.created_at.desc(), AuditEntry.id.desc())
    return total, list(db.session.scalars(newest.limit(limit).offset(offset)))


def export_campaigns(*, by: Actor, status: str | None, campaign_type: str | None, words: str) -> list[Campaign]:
    """Return every campaign that matches, for a file to take away; the audit log says who took it."""
    require(by, "see")
    wanted = {"status": status, "campaign_type": campaign_type, "words": words}
    total, _none = campaigns.search(by.organisation_id, **wanted, limit=0)
    _note_export(min(total, LONGEST_EXPORT), by)
    return campaigns.search(by.organisation_id, **wanted, limit=LONGEST_EXPORT)[1]


@one_transaction
def _note_export(rows: int, by: Actor) -> None:
    audit.note(by, "campaigns.exported", "organisation", by.organisation_id, rows=rows)


def _grouped(column) -> Select:
    return select(column, func.count()).group_by(column)


def _subjects(campaign: Campaign):
    """Yield the conditions under which an entry tells of the campaign."""
    yield and_(AuditEntry.subject_type == "campaign", AuditEntry.subject_id == str(campaign.id))
    for kind, table in (("job", Job), ("import", ImportBatch)):
        ids = [
            str(identifier)
            for identifier in db.session.scalars(select(table.id).where(table.campaign_id == campaign.id))
        ]
        yield and_(AuditEntry.subject_type == kind, AuditEntry.subject_id.in_(ids))
