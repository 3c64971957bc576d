"""The invariants of people who were erased: nothing of them is left, and no backup has brought them back.

Rows of spreadsheets that were brought in name people by words that an erasure has removed here, so nothing can tell
whose they were; they go with their import, a few days later.
"""

import uuid
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta

from sqlalchemy import String, cast, or_, select

from app import files
from app.database import db, spell
from app.domain import tombstones
from app.domain.bulk import batches
from app.domain.invariants.breach import Breach, Breaches
from app.models import Artifact, Beneficiary, Card, Print, Tombstone
from app.sentences import say

YOUNG = timedelta(hours=1)


def erased_people_are_gone() -> Breaches:
    """Of a person who was erased no table holds a name, a birthday or a phone, and no file a card."""
    yield from _still_named()
    yield from _still_printed()
    yield from _still_in_files()


def tombstones_are_kept() -> Breaches:
    """Nobody who has a tombstone, in the database or beside it, is there with a name."""
    buried = set(db.session.scalars(select(Tombstone.person_id))) | set(_buried_beside())
    alive = select(Beneficiary.id, Beneficiary.organisation_id).where(Beneficiary.erased_at.is_(None))
    back = [
        row for some in batches(sorted(buried)) for row in db.session.execute(alive.where(Beneficiary.id.in_(some)))
    ]
    for person_id, owner in back:
        yield Breach(
            say("Person %(person)s was erased and is back. Erase the person again.", person=str(person_id)), owner
        )


def _buried_beside() -> Iterator[uuid.UUID]:
    """Yield those with a tombstone in the file store; a young one may be of an erasure that goes on just now."""
    for person_id in tombstones.people():
        with suppress(FileNotFoundError):
            if files.store().age(f"{tombstones.FOLDER}{person_id}") > YOUNG.total_seconds():
                yield person_id


def _still_named() -> Breaches:
    person = Beneficiary
    left = or_(
        person.beneficiary_id.not_like("erased-%"),
        person.search_text != "",
        person.first_name != "",
        person.last_name != "",
        person.date_of_birth.is_not(None),
        person.phone_number.is_not(None),
        person.mpi_id.is_not(None),
        cast(person.custom_fields, String).not_in(("{}", "null")),
    )
    rows = select(person.id, person.organisation_id).where(person.erased_at.is_not(None), left)
    for person_id, owner in db.session.execute(rows):
        yield Breach(
            say("Person %(person)s was erased, but is still described. Erase the person again.", person=str(person_id)),
            owner,
        )


def _still_printed() -> Breaches:
    prints = (
        select(Card.person_id, Card.organisation_id, Print.facts)
        .join(Card, (Card.campaign_id == Print.campaign_id) & (Card.card_index == Print.card_index))
        .join(Beneficiary, Beneficiary.id == Card.person_id)
        .where(Beneficiary.erased_at.is_not(None))
    )
    named = {row.person_id: row.organisation_id for row in db.session.execute(prints) if any(row.facts.values())}
    for person_id, owner in named.items():
        yield Breach(
            say(
                "Person %(person)s was erased, but still stands in what was printed on a card. Erase the person again.",
                person=str(person_id),
            ),
            owner,
        )


def _still_in_files() -> Breaches:
    """A file that was made before the erasure and is still there shows the person."""
    rows = db.session.execute(
        select(Artifact.job_id, Artifact.organisation_id)
        .join(Print, Print.job_id == Artifact.job_id)
        .join(Card, (Card.campaign_id == Print.campaign_id) & (Card.card_index == Print.card_index))
        .join(Beneficiary, Beneficiary.id == Card.person_id)
        .where(Artifact.removed_at.is_(None), Beneficiary.erased_at >= Artifact.created_at)
        .distinct()
    )
    for job_id, owner in rows:
        yield Breach(
            say(
                "The files of job %(job)s hold a person who was erased since. Erase the person again.",
                job=spell("job", job_id),
            ),
            owner,
        )
