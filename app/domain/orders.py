"""Orders: from a campaign's people to a job with its cards, codes, prints and chunks, all in one transaction."""

import itertools
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, select, update

from app import files
from app.database import db, new_id, settings, utc_now
from app.domain import blanks, bulk, designs, keys, sizes
from app.domain.access import Actor
from app.domain.blanks import Blanks, Known
from app.domain.bulk import batches
from app.domain.errors import Conflict, Invalid, NoRoom
from app.models import (
    LIVE,
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
HEADROOM = 1_000_000_000


@dataclass(frozen=True)
class StartOrder:
    """What is wanted: for whom (ids of people; None = everybody in the campaign without a card), and how."""

    people: Sequence[uuid.UUID] | None = None
    dpi: int = 300
    sheet: str | None = None
    include_mpi_id: bool = True
    programme: str | None = None  # who hands the cards out, where it is not the organisation's name
    reprint: bool = False  # only cards that exist, so that nothing is charged


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
    chosen = _choose(campaign, order)
    total, new = len(chosen.wanted), len(chosen.new)
    return Estimate(new, total - new, len(chosen.skipped), sizes.guess(campaign, total, order.dpi))


def make_ready(campaign: Campaign, order: StartOrder) -> Blanks:
    """Return everything of the order that can be looked up and drawn before its transaction; half a second or more.

    Raises Invalid for what no order may ask, such as more cards than one job makes, before anything is made ready.
    """
    _check(order)
    wanted = _choose(campaign, order, most=settings().max_job_cards + 1).wanted
    _refuse_too_many(wanted)
    ready = blanks.prepare(campaign, wanted, with_mpi_id=order.include_mpi_id)
    ready.bytes = sizes.measure(campaign, ready.people, order.dpi, files.store().free_bytes())
    return ready


def place(campaign: Campaign, order: StartOrder, *, by: Actor, ready: Blanks | None = None) -> Job:
    """Return the new job, inside the open transaction: everything the workers need is frozen in it.

    What is frozen is what is true now, whatever is in the blanks that are `ready`. Raises Invalid for a dpi or sheet
    that does not exist, Conflict when nobody is left to make a card for, NoRoom when the disk is too small.
    """
    _check(order)
    chosen = _choose(campaign, order, most=settings().max_job_cards + 1)
    if not chosen.wanted:
        raise Conflict(_nothing_to_make(order, len(chosen.skipped)))
    _refuse_too_many(chosen.wanted)
    _refuse_when_full(_bytes(campaign, order, len(chosen.wanted), ready))
    job = _job(campaign, order, by, chosen)
    db.session.add(job)
    db.session.flush()
    ready = ready or Blanks(order.include_mpi_id, made_before=blanks.made_under(campaign.prefix))
    indexes = chosen.indexes | _make_cards(campaign, job, chosen.new, ready)
    _make_prints(campaign, job, chosen, indexes, ready)
    _make_chunks(job)
    return job


@dataclass(frozen=True)
class Chosen:
    """Whom an order makes cards for, in their order, by the ids as they are kept; `new` have none yet."""

    wanted: list[Known]
    new: list[Known]
    skipped: list[Known]
    indexes: dict[Any, int]


def _choose(campaign: Campaign, order: StartOrder, most: int | None = None) -> Chosen:
    """Return who gets a card, who gets theirs again, and who is skipped because a job is just making it.

    Of everybody in the campaign `most` are read: whoever makes no more cards than that needs to know no more.
    """
    if order.people is None:
        people = blanks.everybody(campaign, most)
        return Chosen(people, people, [], {})
    people = blanks.named(campaign, order.people)
    held = blanks.live_cards(campaign, people)
    skipped = {person for person, card in held.items() if card.state == CardState.pending}
    if order.reprint:
        people = [person for person in people if person.id in held]
    return Chosen(
        wanted=[person for person in people if person.id not in skipped],
        new=[person for person in people if person.id not in held],
        skipped=[person for person in people if person.id in skipped],
        indexes={person: card.card_index for person, card in held.items()},
    )


def _check(order: StartOrder) -> None:
    if order.dpi not in DPIS:
        raise Invalid({"dpi": say("The resolution is 300, 450 or 600 dpi.")})
    if order.sheet not in SHEETS:
        raise Invalid({"sheet": say("The sheet is a4, or nothing for one card side a page.")})


def has_live_card() -> ColumnElement[bool]:
    """Return the condition that the person of an enrolment has a live card in its campaign.

    EXISTS, because PostgreSQL answers NOT IN by looking through the whole list for every person.
    """
    card = (Card.campaign_id == Enrolment.campaign_id, Card.person_id == Enrolment.person_id, Card.state.in_(LIVE))
    return select(Card.card_index).where(*card).exists()


def _nothing_to_make(order: StartOrder, skipped: int):
    if skipped:
        return say("These cards are just being made by another job. Wait until it has finished.")
    if order.reprint:
        return say("None of these cards is in anybody's hands any more, so there is nothing to print again.")
    if order.people is None:
        return say("Everybody in this campaign has a card already. Bring in more people first.")
    return say("Choose at least one person to make a card for.")


def _refuse_too_many(wanted: Sequence[Known]) -> None:
    if len(wanted) > settings().max_job_cards:
        raise Invalid({"people": say("One job makes at most %(most)s cards.", most=settings().max_job_cards)})


def _bytes(campaign: Campaign, order: StartOrder, cards: int, ready: Blanks | None) -> int:
    """Return what the cards may need, as it was measured for those who were there when they were made ready."""
    if ready and ready.bytes:
        return ready.bytes * cards // ready.people
    return sizes.guess(campaign, cards, order.dpi)


def _refuse_when_full(bytes_of_cards: int) -> None:
    free = files.store().free_bytes()
    needed = int(1.2 * bytes_of_cards) + HEADROOM
    if free is not None and free < needed:
        raise NoRoom(
            say(
                "These cards need %(needed)s MB on the server's disk, and %(free)s MB are free. "
                "Free some space or make fewer cards.",
                needed=needed // 1_000_000,
                free=free // 1_000_000,
            )
        )


def _job(campaign: Campaign, order: StartOrder, by: Actor, chosen: Chosen) -> Job:
    total = len(chosen.wanted)
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
        quota_consumed=len(chosen.new),
        chunk_size=size,
        chunks_left=-(-total // size),
        skipped=[str(uuid.UUID(str(person.id))) for person in chosen.skipped],
    )


def _today(organisation: Organisation):
    """Return the day it is where the organisation works."""
    return datetime.now(UTC).astimezone(ZoneInfo(organisation.time_zone)).date()


def _make_cards(campaign: Campaign, job: Job, people: Sequence[Known], ready: Blanks) -> dict[Any, int]:
    """Give each of the people a card with the next index and a code of its own; return their indexes."""
    if not people:
        return {}
    codes = blanks.take_codes(ready, campaign, len(people))
    last = db.session.scalar(
        update(Campaign)
        .where(Campaign.id == campaign.id)
        .values(cards_made=Campaign.cards_made + len(people))
        .returning(Campaign.cards_made)
        .execution_options(synchronize_session=False)
    )
    indexes = {person.id: index for index, person in enumerate(people, last - len(people) + 1)}
    same = {
        "organisation_id": job.organisation_id,
        "campaign_id": job.campaign_id,
        "job_id": job.id,
        "key_id": job.key_id,
        "public_url": job.public_url,
        "issued_on": job.issued_on,
        "state": CardState.pending,
    }
    rows = ((person, index, code) for (person, index), code in zip(indexes.items(), codes, strict=True))
    bulk.put(Card, ("person_id", "card_index", "code"), rows, same)
    return indexes


def _make_prints(campaign: Campaign, job: Job, chosen: Chosen, indexes: dict[Any, int], ready: Blanks) -> None:
    same = {
        "organisation_id": job.organisation_id,
        "job_id": job.id,
        "campaign_id": job.campaign_id,
        "state": PrintState.pending,
        "deaths": 0,
    }
    new = {person.id for person in chosen.new}
    places = itertools.count()
    for some in batches(chosen.wanted, bulk.ROWS_AT_ONCE):
        blanks.fill(ready, campaign, some)
        blanks.keep_mpi_ids(ready, some)
        rows = (
            (next(places), indexes[id], id in new, int(id in new), ready.of.pop(id).facts)
            for id in (person.id for person in some)
        )
        bulk.put(Print, ("ordinal", "card_index", "new_card", "charged", "facts"), rows, same)


def _make_chunks(job: Job) -> None:
    rows = (
        (number, first, min(job.chunk_size, job.total_cards - first))
        for number, first in enumerate(range(0, job.total_cards, job.chunk_size))
    )
    same = {"organisation_id": job.organisation_id, "job_id": job.id, "state": ChunkState.waiting, "attempts": 0}
    bulk.put(Chunk, ("number", "first_ordinal", "cards"), rows, same)
