"""Orders: from a campaign's people to a job with its cards, codes, prints and chunks, all in one transaction."""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, insert, select, update

from app import files
from app.database import db, new_id, settings, utc_now
from app.domain import designs, keys, mpi
from app.domain.access import Actor
from app.domain.codes import new_codes
from app.domain.errors import Conflict, Invalid, NoRoom
from app.models import (
    LIVE,
    Beneficiary,
    Campaign,
    Card,
    CardState,
    Chunk,
    ChunkState,
    Enrolment,
    Job,
    Organisation,
    Print,
    PrintState,
)
from app.sentences import say

DPIS = (300, 450, 600)
SHEETS = (None, "a4")
LARGEST_CHUNK = 10
SMALLEST_CHUNK = 5
SHARE_OF_JOB = 20
BATCH = 500
BYTES_PER_CARD_AT_300 = 150_000
HEADROOM = 1_000_000_000

Item = TypeVar("Item")


@dataclass(frozen=True)
class StartOrder:
    """What is wanted: for whom (ids of people; None = everybody in the campaign without a card), and how."""

    people: Sequence[uuid.UUID] | None = None
    dpi: int = 300
    sheet: str | None = None
    include_mpi_id: bool = True
    programme: str | None = None  # who hands the cards out, where it is not the organisation's name


@dataclass(frozen=True)
class Estimate:
    """What an order comes to: new cards to pay for, reprints that are free, people skipped, bytes it may need."""

    new: int
    again: int
    skipped: int
    bytes: int

    @property
    def total(self) -> int:
        return self.new + self.again


def estimate(campaign: Campaign, order: StartOrder) -> Estimate:
    """Return what the order would make, without making anything."""
    people = _people(campaign, order)
    held = _cards_of(campaign.id, people)
    pending = sum(card.state == CardState.pending for card in held.values())
    total = len(people) - pending
    return Estimate(len(people) - len(held), len(held) - pending, pending, _bytes(total, order.dpi))


def place(campaign: Campaign, order: StartOrder, *, by: Actor) -> Job:
    """Return the new job, inside the open transaction: everything the workers need is frozen in it.

    Raises Invalid for a dpi or sheet that does not exist, Conflict when nobody is left to make a card for,
    NoRoom when the disk is too small.
    """
    _check(order)
    people = _people(campaign, order)
    held = _cards_of(campaign.id, people)
    skipped = [person for person in people if person in held and held[person].state == CardState.pending]
    wanted = [person for person in people if person not in held or held[person].state != CardState.pending]
    if not wanted:
        raise Conflict(_nothing_to_make(order, len(skipped)))
    if len(wanted) > settings().max_job_cards:
        raise Invalid({"people": say("One job makes at most %(most)s cards.", most=settings().max_job_cards)})
    _refuse_when_full(len(wanted), order.dpi)
    new = [person for person in wanted if person not in held]
    job = _job(campaign, order, by, total=len(wanted), charged=len(new), skipped=skipped)
    db.session.add(job)
    db.session.flush()
    born = _make_cards(campaign, job, new)
    _make_prints(campaign, job, wanted, {person: card.card_index for person, card in held.items()} | born, set(new))
    _make_chunks(job)
    return job


def _check(order: StartOrder) -> None:
    if order.dpi not in DPIS:
        raise Invalid({"dpi": say("The resolution is 300, 450 or 600 dpi.")})
    if order.sheet not in SHEETS:
        raise Invalid({"sheet": say("The sheet is a4, or nothing for one card side a page.")})


def _people(campaign: Campaign, order: StartOrder) -> list[uuid.UUID]:
    """Return ids of the people wanted, in the order of their enrolment (or of the request)."""
    if order.people is not None:
        return list(dict.fromkeys(order.people))
    return list(
        db.session.scalars(
            select(Enrolment.person_id)
            .where(Enrolment.campaign_id == campaign.id, ~has_live_card())
            .order_by(Enrolment.id)
        )
    )


def has_live_card() -> ColumnElement[bool]:
    """Return the condition that the person of an enrolment has a live card in its campaign.

    EXISTS, because PostgreSQL answers NOT IN by looking through the whole list for every person.
    """
    card = (Card.campaign_id == Enrolment.campaign_id, Card.person_id == Enrolment.person_id, Card.state.in_(LIVE))
    return select(Card.card_index).where(*card).exists()


def _cards_of(campaign_id: uuid.UUID, people: Sequence[uuid.UUID]) -> dict[uuid.UUID, Card]:
    """Return the live card of each of the people who have one in the campaign."""
    held = {}
    for some in batches(people):
        living = (Card.campaign_id == campaign_id, Card.state.in_(LIVE), Card.person_id.in_(some))
        held.update({card.person_id: card for card in db.session.scalars(select(Card).where(*living))})
    return held


def _nothing_to_make(order: StartOrder, skipped: int):
    if skipped:
        return say("These cards are just being made by another job. Wait until it has finished.")
    if order.people is None:
        return say("Everybody in this campaign has a card already. Bring in more people first.")
    return say("Choose at least one person to make a card for.")


def _bytes(cards: int, dpi: int) -> int:
    return int(cards * BYTES_PER_CARD_AT_300 * (dpi / 300) ** 2)


def _refuse_when_full(cards: int, dpi: int) -> None:
    free = files.store().free_bytes()
    needed = int(1.2 * _bytes(cards, dpi)) + HEADROOM
    if free is not None and free < needed:
        raise NoRoom(
            say(
                "These cards need %(needed)s MB on the server's disk, and %(free)s MB are free. "
                "Free some space or make fewer cards.",
                needed=needed // 1_000_000,
                free=free // 1_000_000,
            )
        )


def _job(campaign: Campaign, order: StartOrder, by: Actor, *, total: int, charged: int, skipped: list) -> Job:
    organisation = db.session.get(Organisation, campaign.organisation_id)
    key = keys.active_key(organisation)
    design = designs.frozen(campaign)
    size = max(SMALLEST_CHUNK, min(LARGEST_CHUNK, total // SHARE_OF_JOB))
    return Job(
        id=new_id(),
        organisation_id=campaign.organisation_id,
        campaign_id=campaign.id,
        created_by=by.user_id,
        created_at=utc_now().replace(microsecond=0),
        design_id=design.id,
        dpi=order.dpi,
        sheet=order.sheet,
        language=campaign.language,
        campaign_name="" if campaign.sensitive else campaign.name,
        programme="" if campaign.sensitive else organisation.name if order.programme is None else order.programme,
        logo=None if campaign.sensitive else organisation.logo,
        include_mpi_id=order.include_mpi_id,
        key_id=key.key_id,
        issuer=key.issuer,
        public_url=settings().public_url,
        test_cards=settings().makes_test_cards,
        issued_on=_today(organisation),
        total_cards=total,
        quota_consumed=charged,
        chunk_size=size,
        chunks_left=-(-total // size),
        skipped=[str(person) for person in skipped],
    )


def _today(organisation: Organisation):
    """Return the day it is where the organisation works."""
    return datetime.now(UTC).astimezone(ZoneInfo(organisation.time_zone)).date()


def _make_cards(campaign: Campaign, job: Job, people: Sequence[uuid.UUID]) -> dict[uuid.UUID, int]:
    """Give each of the people a card with the next index and a code of its own; return their indexes."""
    if not people:
        return {}
    last = db.session.scalar(
        update(Campaign)
        .where(Campaign.id == campaign.id)
        .values(cards_made=Campaign.cards_made + len(people))
        .returning(Campaign.cards_made)
        .execution_options(synchronize_session=False)
    )
    indexes = dict(zip(people, range(last - len(people) + 1, last + 1), strict=True))
    codes = _unused_codes(campaign.prefix, len(people))
    for some in batches(list(zip(people, codes, strict=True))):
        db.session.execute(insert(Card), [_card(job, person, indexes[person], code) for person, code in some])
    return indexes


def _card(job: Job, person: uuid.UUID, index: int, code: str) -> dict[str, Any]:
    return {
        "organisation_id": job.organisation_id,
        "campaign_id": job.campaign_id,
        "card_index": index,
        "job_id": job.id,
        "person_id": person,
        "code": code,
        "key_id": job.key_id,
        "public_url": job.public_url,
        "issued_on": job.issued_on,
        "state": CardState.pending,
    }


def _unused_codes(prefix: str, count: int) -> list[str]:
    """Return codes nobody has. A code drawn elsewhere in this very moment is stopped by the unique index."""
    codes: set[str] = set()
    while len(codes) < count:
        fresh = set(new_codes(prefix, count - len(codes))) - codes
        for some in batches(sorted(fresh)):
            # Codes are unique in the whole installation, so this looks beyond the organisation on purpose.
            fresh -= set(db.session.scalars(select(Card.__table__.c.code).where(Card.__table__.c.code.in_(some))))
        codes |= fresh
    return list(codes)


def _make_prints(
    campaign: Campaign, job: Job, people: Sequence[uuid.UUID], indexes: dict[uuid.UUID, int], new: set[uuid.UUID]
) -> None:
    ordinal = 0
    for some in batches(people):
        facts = _facts(campaign, some, with_mpi_id=job.include_mpi_id)
        rows = []
        for person in some:
            rows.append(
                {
                    "organisation_id": job.organisation_id,
                    "job_id": job.id,
                    "ordinal": ordinal,
                    "campaign_id": job.campaign_id,
                    "card_index": indexes[person],
                    "new_card": person in new,
                    "charged": int(person in new),
                    "facts": facts[person],
                    "state": PrintState.pending,
                }
            )
            ordinal += 1
        db.session.execute(insert(Print), rows)


def _facts(campaign: Campaign, people: Sequence[uuid.UUID], *, with_mpi_id: bool) -> dict[uuid.UUID, dict[str, Any]]:
    """Return what stands on each person's card today, as JSON values."""
    found = list(db.session.scalars(select(Beneficiary).where(Beneficiary.id.in_(people))))
    if with_mpi_id:
        mpi.give_ids(campaign.organisation_id, found)
    return {
        person.id: {
            "first_name": person.first_name,
            "last_name": person.last_name,
            "beneficiary_id": person.beneficiary_id,
            "date_of_birth": person.date_of_birth and person.date_of_birth.isoformat(),
            "enrollment_date": person.enrollment_date and person.enrollment_date.isoformat(),
            "gender": person.gender,
            "health_center": person.health_center,
            "org_unit": person.org_unit,
            "zone": person.zone,
            "mpi_id": (person.mpi_id or "") if with_mpi_id else "",
        }
        for person in found
    }


def _make_chunks(job: Job) -> None:
    rows = [
        {
            "organisation_id": job.organisation_id,
            "job_id": job.id,
            "number": number,
            "first_ordinal": first,
            "cards": min(job.chunk_size, job.total_cards - first),
            "state": ChunkState.waiting,
        }
        for number, first in enumerate(range(0, job.total_cards, job.chunk_size))
    ]
    for some in batches(rows):
        db.session.execute(insert(Chunk), some)


def batches(items: Sequence[Item], size: int = BATCH) -> Iterator[Sequence[Item]]:
    """Yield `items` in runs of at most `size`, so that no statement carries too many values."""
    for first in range(0, len(items), size):
        yield items[first : first + size]
