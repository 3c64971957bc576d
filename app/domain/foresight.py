"""Foresight: what making a campaign's cards would come to, and three of them drawn to look at. Nothing is made here."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from sqlalchemy import Select, func, select

from app import files
from app.database import db, settings, spell, utc_now
from app.domain import designs, orders, quotas, tokens
from app.domain.orders import StartOrder
from app.models import Beneficiary, Campaign, Enrolment, Job, JobState, Organisation
from app.rendering import chunk, sheet
from app.rendering.facts import CardFacts, JobFacts

SAMPLES = 3
SAMPLE_DPI = 150
SECONDS_PER_CARD = 0.16  # of one worker at 300 dpi, until this installation has made cards of its own
JOBS_MEASURED = 5
ENOUGH_TO_MEASURE = 20  # cards; a smaller job says more about its start than about its pace
TIGHT_BELOW = 2  # times the room that the files need


@dataclass(frozen=True)
class Foresight:
    """What an order comes to: cards, quota, seconds, bytes; `room` is None unless the disk is getting tight."""

    cards: int
    skipped: int
    cost: int
    left: int
    unlimited: bool
    most: int
    seconds: int
    room_needed: int
    room: int | None
    fits_on_sheets: bool
    address: str
    address_is_for_tests: bool

    @property
    def short(self) -> bool:
        """Return whether the quota does not reach."""
        return not self.unlimited and self.cost > self.left


@dataclass(frozen=True)
class Sample:
    """A person whose card can be looked at beforehand; `longest` when nobody's name is longer."""

    person_id: uuid.UUID
    name: str
    longest: bool


def of_order(campaign: Campaign, order: StartOrder) -> Foresight:
    """Return what the order would come to now."""
    estimate = orders.estimate(campaign, order)
    free = files.store().free_bytes()
    needed = estimate.bytes + orders.HEADROOM
    return Foresight(
        cards=estimate.total,
        skipped=estimate.skipped,
        cost=estimate.new,
        left=quotas.balance(campaign.organisation_id),
        unlimited=quotas.unlimited(campaign.organisation_id),
        most=settings().max_job_cards,
        seconds=_seconds(campaign.organisation_id, estimate.total, order.dpi),
        room_needed=needed,
        room=free if free is not None and free < TIGHT_BELOW * needed else None,
        fits_on_sheets=sheet.fits(designs.worn_by(campaign).size_mm),
        address=f"{settings().public_url}/V/…",
        address_is_for_tests=settings().makes_test_cards,
    )


def samples(campaign: Campaign) -> list[Sample]:
    """Return up to three people of the campaign who have no card yet: the longest name first, then first and last."""
    lacking = _lacking(campaign)
    length = func.length(Beneficiary.first_name) + func.length(Beneficiary.last_name)
    longest = db.session.scalar(lacking.order_by(length.desc(), Enrolment.id).limit(1))
    if longest is None:
        return []
    others = lacking.where(Beneficiary.id != longest.id)
    first = db.session.scalar(others.order_by(Enrolment.id).limit(1))
    last = db.session.scalar(others.order_by(Enrolment.id.desc()).limit(1))
    people = dict.fromkeys(person for person in (longest, first, last) if person is not None)
    return [Sample(person.id, f"{person.first_name} {person.last_name}", person is longest) for person in people]


def draw_sample(campaign: Campaign, person: Beneficiary, side: Literal["front", "back"]) -> bytes:
    """Return a side of the person's card as a PNG for the screen, marked as a sample. Raises CannotDraw.

    Its code and its QR code are nobody's: a picture on a screen must never pass for a card. It is not kept: it would
    outlive the person's erasure.
    """
    organisation = db.session.get(Organisation, campaign.organisation_id)
    job = JobFacts(
        job_id="",
        campaign_id=spell("camp", campaign.id),
        campaign_name="" if campaign.sensitive else campaign.name,
        campaign_type=campaign.campaign_type,
        prefix=campaign.prefix,
        programme="" if campaign.sensitive else organisation.name,
        language=campaign.language,
        dpi=SAMPLE_DPI,
        sheet=None,
        generated_at=datetime(2000, 1, 1, tzinfo=UTC),  # not drawn
        verify_address=f"{settings().public_url}/verify",
        sensitive=campaign.sensitive,
        test=not settings().production,
        logo=None if campaign.sensitive else organisation.logo,
    )
    return chunk.preview_side(job, designs.worn_by(campaign), _facts(campaign, person), side, SAMPLE_DPI)


def _facts(campaign: Campaign, person: Beneficiary) -> CardFacts:
    return CardFacts(
        code=f"{campaign.prefix}-00000000",
        first_name=person.first_name,
        last_name=person.last_name,
        beneficiary_id=person.beneficiary_id,
        address=tokens.address(settings().public_url, "A" * tokens.TOKEN_LENGTH),
        issued_on=utc_now().date(),
        date_of_birth=person.date_of_birth,
        enrollment_date=person.enrollment_date,
        gender=person.gender,
        health_center=person.health_center,
        org_unit=person.org_unit,
        zone=person.zone,
        mpi_id=person.mpi_id or "",
    )


def _lacking(campaign: Campaign) -> Select[tuple[Beneficiary]]:
    return (
        select(Beneficiary)
        .join(Enrolment, Enrolment.person_id == Beneficiary.id)
        .where(Enrolment.campaign_id == campaign.id, Beneficiary.erased_at.is_(None), ~orders.has_live_card())
    )


def _seconds(organisation_id: uuid.UUID, cards: int, dpi: int) -> int:
    """Return about how long the cards take: at the best pace of the last jobs, since one of them may have paused."""
    measured = (
        Job.organisation_id == organisation_id,
        Job.state == JobState.completed,
        Job.dpi == dpi,
        Job.cards_generated >= ENOUGH_TO_MEASURE,
        Job.started_at.is_not(None),
    )
    last = db.session.scalars(select(Job).where(*measured).order_by(Job.finished_at.desc()).limit(JOBS_MEASURED))
    paces = [(job.finished_at - job.started_at).total_seconds() / job.cards_generated for job in last]
    usual = SECONDS_PER_CARD * (dpi / 300) ** 2 / settings().workers
    return max(1, round(cards * min(paces, default=usual)))
