"""Sizes: how many bytes of the disk a card takes, as earlier jobs tell, or else three sample cards."""

import io
from datetime import UTC, date, datetime
from functools import lru_cache

from sqlalchemy import func, select

from app.database import db, settings
from app.domain import designs, tokens
from app.models import Artifact, Campaign, DesignVersion, Job, JobState, Organisation
from app.rendering.chunk import draw_chunk
from app.rendering.design import Design
from app.rendering.facts import CardFacts, JobFacts

USUAL_AT_300 = 150_000  # bytes a card, for a first guess before anything was made
PLENTY_AT_300 = 1_000_000  # bytes a card that no design comes near; where so much fits, nothing needs to be drawn
JOBS_MEASURED = 5
ENOUGH_TO_MEASURE = 20  # cards; in a smaller job the portal's fonts and scripts outweigh them
KEPT = 64
SAMPLES = (
    ("Aminata", "Diallo", "F", date(1990, 12, 31)),
    ("Mamadou Lamine", "Ndiaye Diop", "M", date(1975, 1, 1)),
    ("Ndèye Aïssatou Mariama", "Cissé Thiam Guèye", "F", date(2019, 6, 15)),
)


def guess(campaign: Campaign, cards: int, dpi: int) -> int:
    """Return about how many bytes the cards will take; nothing is drawn for it."""
    return int(cards * (_of_earlier_jobs(campaign, dpi) or USUAL_AT_300 * _area(dpi)))


def measure(campaign: Campaign, cards: int, dpi: int, free: int | None) -> int:
    """Return how many bytes the cards will take, from earlier jobs of the design or three cards drawn for it.

    Where `free` bytes hold any design's cards nothing is drawn. Draw outside of a transaction: it takes half a second.
    """
    plenty = int(cards * PLENTY_AT_300 * _area(dpi))
    if free is None or plenty <= free:
        return guess(campaign, cards, dpi)
    known = _of_earlier_jobs(campaign, dpi)
    return int(cards * (known or _of_samples(_job_facts(campaign, dpi), designs.worn_by(campaign))))


def _area(dpi: int) -> float:
    return (dpi / 300) ** 2


def _of_earlier_jobs(campaign: Campaign, dpi: int) -> float | None:
    """Return the bytes a card of the last jobs with this very design, in whatever organisation; None without one.

    The PDF counts twice: its pages stay beside it, as the chunks drew them.
    """
    job, version, artifact = Job.__table__, DesignVersion.__table__, Artifact.__table__
    last = (
        select(job.c.id, job.c.cards_generated)
        .join(version, version.c.id == job.c.design_id)
        .where(
            version.c.sha256 == designs.worn_by(campaign).sha256,
            job.c.dpi == dpi,
            job.c.state == JobState.completed,
            job.c.cards_generated >= ENOUGH_TO_MEASURE,
        )
        .order_by(job.c.finished_at.desc())
        .limit(JOBS_MEASURED)
    )
    cards = {row.id: row.cards_generated for row in db.session.execute(last)}
    if not cards:
        return None
    lengths = select(artifact.c.kind, func.sum(artifact.c.length).label("bytes")).where(artifact.c.job_id.in_(cards))
    written = sum(int(row.bytes) * (2 if row.kind == "pdf" else 1) for row in _grouped(lengths, artifact))
    return written / sum(cards.values())


def _grouped(lengths, artifact):
    return db.session.execute(lengths.group_by(artifact.c.kind))


@lru_cache(maxsize=KEPT)
def _of_samples(job: JobFacts, design: Design) -> float:
    """Return the bytes a card of three samples, none of them anybody's: pictures, and pages twice."""
    zip_out, pages_out = io.BytesIO(), io.BytesIO()
    cards = [_sample(*person) for person in SAMPLES]
    draw_chunk(job, design, cards, zip_out, pages_out, lambda: None)
    return (zip_out.tell() + 2 * pages_out.tell()) / len(cards)


def _job_facts(campaign: Campaign, dpi: int) -> JobFacts:
    organisation = db.session.get_one(Organisation, campaign.organisation_id)
    return JobFacts(
        job_id="",
        campaign_id="",
        campaign_name="" if campaign.sensitive else campaign.name,
        campaign_type=campaign.campaign_type,
        prefix=campaign.prefix,
        programme="" if campaign.sensitive else organisation.name,
        language=campaign.language,
        dpi=dpi,
        sheet=None,
        generated_at=datetime(2000, 1, 1, tzinfo=UTC),  # not drawn; always the same, so that the drawing is kept
        verify_address=f"{settings().public_url}/verify",
        sensitive=campaign.sensitive,
        test=settings().makes_test_cards,
        logo=None if campaign.sensitive else organisation.logo,
    )


def _sample(first_name: str, last_name: str, gender: str, date_of_birth: date) -> CardFacts:
    return CardFacts(
        code="SAMPLE-00000000",
        first_name=first_name,
        last_name=last_name,
        beneficiary_id="SAMPLE-0000001",
        address=tokens.address(settings().public_url, "A" * tokens.TOKEN_LENGTH),
        issued_on=date(2026, 1, 1),
        date_of_birth=date_of_birth,
        gender=gender,
        health_center="Centre de santé de démonstration",
        zone="Grand Yoff",
        mpi_id="SN-DKR-26-00000000",
    )
