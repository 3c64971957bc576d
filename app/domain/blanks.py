"""Blanks: cards made ready before an order takes the database for itself: what stands on them, codes, MPI ids.

An order of a hundred thousand cards must not keep others from writing while it looks things up. So everything is read
and drawn beforehand, and the order compares: who was changed in between is read again, inside its transaction.
"""

import json
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row, and_, exists, func, select, update
from sqlalchemy import bindparam as bind

from app.database import db
from app.domain import mpi
from app.domain.bulk import as_kept, bare, batches
from app.domain.codes import new_codes
from app.models import LIVE, Beneficiary, Campaign, Card, Enrolment, Organisation

AT_MOST = 200_000  # people made ready beforehand, so that memory stays small; the others are read with the order
PLAIN = ("first_name", "last_name", "beneficiary_id", "gender", "health_center", "org_unit", "zone")
DATES = ("date_of_birth", "enrollment_date")
PEOPLE, CARDS, ENROLMENTS = bare(Beneficiary), bare(Card), bare(Enrolment)


@dataclass(frozen=True)
class Known:
    """A person as the order finds them: the id as it is kept, and what says whether they are still the same."""

    id: Any
    version: tuple[Any, ...]


@dataclass(frozen=True)
class Blank:
    """What stands on a person's card, as JSON text; of which version of the person; and the MPI id drawn for them."""

    version: tuple[Any, ...]
    facts: str
    new_mpi_id: str | None


@dataclass
class Blanks:
    """What was made ready for an order: a blank for each person, by id, and codes nobody had under the prefix.

    `people` counts all whom the order is for; `bytes` is what their files will take, None when nobody has asked.
    """

    with_mpi_id: bool
    of: dict[Any, Blank] = field(default_factory=dict)
    codes: list[str] = field(default_factory=list)
    made_before: int = 0
    bytes: int | None = None
    people: int = 0


def prepare(campaign: Campaign, people: Sequence[Known], *, with_mpi_id: bool) -> Blanks:
    """Return blanks for the people, reading only."""
    blanks = Blanks(with_mpi_id, made_before=made_under(campaign.prefix), people=len(people))
    fill(blanks, campaign, people[:AT_MOST])
    blanks.codes = _unused(new_codes(campaign.prefix, len(people[:AT_MOST])))
    return blanks


def fill(blanks: Blanks, campaign: Campaign, people: Sequence[Known]) -> None:
    """Make ready whoever of the people has no blank, or was changed since theirs was made."""
    stale = [person.id for person in people if not _is_fresh(blanks, person)]
    if not stale:
        return
    organisation = db.session.get_one(Organisation, campaign.organisation_id)
    rows = [row for some in batches(stale) for row in _read(some)]
    lacking = [row for row in rows if blanks.with_mpi_id and not row.mpi_id]
    drawn = mpi.draw(organisation, [str(row.created_at)[2:4] for row in lacking])
    new = {row.id: mpi_id for row, mpi_id in zip(lacking, drawn, strict=True)}
    for row in rows:
        mpi_id = (row.mpi_id or new[row.id]) if blanks.with_mpi_id else ""
        blanks.of[row.id] = Blank(_version(row), json.dumps(_facts(row, mpi_id)), new.get(row.id))


def take_codes(blanks: Blanks, campaign: Campaign, count: int) -> list[str]:
    """Return so many codes that nobody has, inside the open transaction.

    Those made ready are looked up again only when a card was made under their prefix meanwhile, in whatever
    organisation. A code that is drawn elsewhere in this very moment is stopped by the unique index.
    """
    if blanks.made_before != made_under(campaign.prefix):
        blanks.codes = _unused(blanks.codes)
    while len(blanks.codes) < count:
        blanks.codes = _unused([*blanks.codes, *new_codes(campaign.prefix, count - len(blanks.codes))])
    return blanks.codes[:count]


def keep_mpi_ids(blanks: Blanks, people: Iterable[Known]) -> None:
    """Give the people the MPI ids that stand on their blanks, inside the open transaction."""
    given = ((person.id, blanks.of[person.id].new_mpi_id) for person in people)
    give = update(PEOPLE).where(PEOPLE.c.id == bind("person")).values(mpi_id=bind("drawn"))
    if some := [{"person": person, "drawn": drawn} for person, drawn in given if drawn]:
        db.session.connection().execute(give, some)


def everybody(campaign: Campaign, most: int | None = None) -> list[Known]:
    """Return those of the campaign who have no live card, `most` of them, in the order of their enrolment."""
    mine = ENROLMENTS.c.campaign_id == as_kept(campaign.id, Enrolment.campaign_id)
    holds = and_(
        CARDS.c.campaign_id == ENROLMENTS.c.campaign_id,
        CARDS.c.person_id == ENROLMENTS.c.person_id,
        CARDS.c.state.in_(LIVE),
    )
    lacking = (
        _versions()
        .join(ENROLMENTS, ENROLMENTS.c.person_id == PEOPLE.c.id)
        .where(mine, ~exists(select(CARDS.c.card_index).where(holds)), PEOPLE.c.erased_at.is_(None))
        .order_by(ENROLMENTS.c.id)
        .limit(most)
    )
    return [_known(row) for row in db.session.execute(lacking)]


def named(campaign: Campaign, people: Sequence[uuid.UUID]) -> list[Known]:
    """Return the organisation's people of these ids who are still there, each once, in the order of the ids."""
    ours = PEOPLE.c.organisation_id == as_kept(campaign.organisation_id, Beneficiary.organisation_id)
    found: dict[Any, Known] = {}
    ids = [as_kept(person, Beneficiary.id) for person in dict.fromkeys(people)]
    for some in batches(ids):
        wanted = _versions().where(ours, PEOPLE.c.id.in_(some), PEOPLE.c.erased_at.is_(None))
        found |= {row.id: _known(row) for row in db.session.execute(wanted)}
    return [found[person] for person in ids if person in found]


def live_cards(campaign: Campaign, people: Sequence[Known]) -> dict[Any, Row[Any]]:
    """Return index and state of the live card of each of the people who have one in the campaign."""
    held: dict[Any, Row[Any]] = {}
    mine = CARDS.c.campaign_id == as_kept(campaign.id, Card.campaign_id)
    cards = select(CARDS.c.person_id, CARDS.c.card_index, CARDS.c.state).where(mine, CARDS.c.state.in_(LIVE))
    for some in batches(person.id for person in people):
        held |= {row.person_id: row for row in db.session.execute(cards.where(CARDS.c.person_id.in_(some)))}
    return held


def made_under(prefix: str) -> int:
    """Return how many cards all campaigns of this prefix have made, in the whole installation."""
    campaigns = Campaign.__table__.c
    made = select(func.coalesce(func.sum(campaigns.cards_made), 0)).where(campaigns.prefix == prefix)
    return int(db.session.scalar(made) or 0)


def _versions() -> Any:
    """Return the question for people, locked against changes on PostgreSQL; SQLite's writer is alone anyway."""
    people = select(PEOPLE.c.id, PEOPLE.c.updated_at, PEOPLE.c.mpi_id)
    if db.session.info.get("writing"):
        people = people.with_for_update(of=PEOPLE, key_share=True)
    return people


def _known(row: Any) -> Known:
    return Known(row.id, _version(row))


def _version(row: Any) -> tuple[Any, ...]:
    """Return what changes whenever what stands on the person's card does; an MPI id comes without a new date."""
    return row.updated_at, row.mpi_id


def _is_fresh(blanks: Blanks, person: Known) -> bool:
    blank = blanks.of.get(person.id)
    return blank is not None and blank.version == person.version


def _read(ids: Sequence[Any]) -> Sequence[Row[Any]]:
    return db.session.execute(select(PEOPLE).where(PEOPLE.c.id.in_(ids))).all()


def _facts(row: Any, mpi_id: str) -> dict[str, str | None]:
    """Return what stands on the person's card, as JSON values."""
    dates = {name: None if (day := getattr(row, name)) is None else str(day) for name in DATES}
    return {name: getattr(row, name) for name in PLAIN} | dates | {"mpi_id": mpi_id}


def _unused(codes: Sequence[str]) -> list[str]:
    """Return those of the codes that nobody has, each once.

    Codes are unique in the whole installation, so this looks beyond the organisation on purpose.
    """
    fresh = dict.fromkeys(codes)
    for some in batches(codes):
        for taken in db.session.scalars(select(CARDS.c.code).where(CARDS.c.code.in_(some))):
            fresh.pop(taken, None)
    return list(fresh)
