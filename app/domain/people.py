"""People: bringing beneficiaries into a campaign, correcting them. Finding them again is in `rosters.py`."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import insert, select

from app.database import db, new_id, one_transaction, utc_now
from app.domain import audit, repeats
from app.domain.access import Actor, require
from app.domain.bulk import batches
from app.domain.errors import Conflict, Invalid, InvalidPeople
from app.domain.people_checks import MOST_NAMED, twice
from app.domain.repeats import Repeat
from app.intake import PersonRow
from app.intake.values import unaccented
from app.models import Beneficiary, Campaign, Enrolment, Organisation
from app.sentences import say

SEARCH_LENGTH = 500  # characters, as the column has them


@dataclass(frozen=True)
class Enrolled:
    """Who is in the campaign now: ids in the order asked for, and what was new, changed or known already."""

    ids: tuple[uuid.UUID, ...]
    new: int
    updated: int
    same: int


def enrol(campaign: Campaign, rows: Sequence[PersonRow], *, by: Actor) -> Enrolled:
    """Return the people, saved and in the campaign, inside the open transaction.

    The same beneficiary_id in one organisation is the same person: what the row tells replaces what was
    known, what it leaves out stays. Raises InvalidPeople when two rows are the same person.
    """
    require(by, "bring in people")
    _refuse_repeated(rows)
    ids: list[uuid.UUID] = []
    new = updated = 0
    for some in batches(rows):
        people = _known(campaign.organisation_id, [row.beneficiary_id for row in some])
        for row in some:
            person = people.get(row.beneficiary_id)
            if person is None:
                people[row.beneficiary_id] = _add(campaign.organisation_id, row)
                new += 1
            else:
                updated += _learn(person, row)
        db.session.flush()
        in_order = [people[row.beneficiary_id].id for row in some]
        _put_in(campaign, in_order)
        ids += in_order
    enrolled = Enrolled(tuple(ids), new, updated, len(ids) - new - updated)
    facts = {"new": new, "updated": updated, "same": enrolled.same}
    audit.note(by, "people.enrolled", "campaign", campaign.id, **facts)
    return enrolled


@one_transaction
def add_person(campaign: Campaign, row: PersonRow, *, by: Actor, repeat: Repeat | None = None) -> uuid.UUID:
    """Return the id of the person, now in the campaign; Invalid when somebody there has this ID already.

    The same `repeat` again returns the person it brought in the first time.
    """
    require(by, "bring in people")
    if found := repeats.answered(repeat, "person", by=by):
        return found
    present = select(Enrolment.id).join(Beneficiary, Beneficiary.id == Enrolment.person_id)
    taken = present.where(Enrolment.campaign_id == campaign.id, Beneficiary.beneficiary_id == row.beneficiary_id)
    if db.session.scalar(taken):
        raise Invalid({"beneficiary_id": say("Somebody in this campaign has this beneficiary ID already.")})
    [person_id] = enrol(campaign, [row], by=by).ids
    repeats.remember(repeat, "person", person_id, by=by)
    return person_id


@one_transaction
def correct_person(person: Beneficiary, row: PersonRow, *, by: Actor) -> None:
    """Make everything known about the person what `row` says; cards that exist keep what is printed on them.

    Raises Invalid when another person of the organisation has the new ID, Conflict when this one was erased.
    """
    require(by, "bring in people")
    db.session.refresh(person, with_for_update={"read": True, "key_share": True})
    if person.erased_at is not None:
        raise Conflict(say("This person was erased. There is nothing left to change."))
    others = _known(person.organisation_id, [row.beneficiary_id])
    if any(other.id != person.id for other in others.values()):
        raise Invalid({"beneficiary_id": say("Another person has this beneficiary ID.")})
    if changed := _change(person, _values(row)):
        audit.note(by, "person.corrected", "person", person.id, fields=changed)


def today_of(organisation_id: uuid.UUID) -> date:
    """Return the day it is where the organisation works: nobody was born after it."""
    zone = db.session.scalar(select(Organisation.time_zone).where(Organisation.id == organisation_id))
    return datetime.now(UTC).astimezone(ZoneInfo(zone or "UTC")).date()


def _refuse_repeated(rows: Sequence[PersonRow]) -> None:
    first_with: dict[str, int] = {}
    firsts = [first_with.setdefault(row.beneficiary_id, index) for index, row in enumerate(rows)]
    problems = [(index, "beneficiary_id", twice(first)) for index, first in enumerate(firsts) if first != index]
    if problems:
        raise InvalidPeople(problems[:MOST_NAMED], len(problems))


def _known(organisation_id: uuid.UUID, beneficiary_ids: Sequence[str]) -> dict[str, Beneficiary]:
    mine = (Beneficiary.organisation_id == organisation_id, Beneficiary.beneficiary_id.in_(beneficiary_ids))
    # On PostgreSQL the rows are held: who is erased meanwhile must not be written back, and becomes somebody new.
    held = select(Beneficiary).where(*mine).with_for_update(read=True, key_share=True)
    return {person.beneficiary_id: person for person in db.session.scalars(held)}


def _add(organisation_id: uuid.UUID, row: PersonRow) -> Beneficiary:
    person = Beneficiary(id=new_id(), organisation_id=organisation_id, custom_fields={})
    _change(person, _values(row))
    db.session.add(person)
    return person


def _learn(person: Beneficiary, row: PersonRow) -> bool:
    """Take over what the row tells and leave the rest; return whether anything is different now."""
    told = {name: value for name, value in _values(row).items() if value}
    told["custom_fields"] = person.custom_fields | row.custom
    return bool(_change(person, told))


def _values(row: PersonRow) -> dict[str, Any]:
    """Return the row as the table has it, where a text that is not known is empty."""
    return {
        "first_name": row.first_name,
        "last_name": row.last_name,
        "beneficiary_id": row.beneficiary_id,
        "date_of_birth": row.date_of_birth,
        "phone_number": row.phone_number,
        "gender": "" if row.gender == "U" else row.gender,
        "health_center": row.health_center or "",
        "org_unit": row.org_unit or "",
        "zone": row.zone or "",
        "enrollment_date": row.enrollment_date,
        "custom_fields": dict(row.custom),
    }


def _change(person: Beneficiary, values: dict[str, Any]) -> list[str]:
    """Set what is different and return the names of those fields."""
    changed = [name for name, value in values.items() if getattr(person, name) != value]
    for name in changed:
        setattr(person, name, values[name])
    if changed:
        known = (person.first_name, person.last_name, person.beneficiary_id, person.phone_number or "")
        person.search_text = unaccented(" ".join(known))[:SEARCH_LENGTH]
        person.updated_at = utc_now()
    return changed


def _put_in(campaign: Campaign, people: Sequence[uuid.UUID]) -> None:
    """Enrol those who are not in the campaign yet."""
    mine = (Enrolment.campaign_id == campaign.id, Enrolment.person_id.in_(people))
    inside = set(db.session.scalars(select(Enrolment.person_id).where(*mine)))
    outside = [person for person in people if person not in inside]
    if not outside:
        return
    # Ids of one millisecond are in no order; sorted, the campaign keeps people as they came.
    ids = sorted(new_id() for _ in outside)
    same = {"organisation_id": campaign.organisation_id, "campaign_id": campaign.id}
    pairs = zip(ids, outside, strict=True)
    db.session.execute(insert(Enrolment), [{"id": key, "person_id": person, **same} for key, person in pairs])
