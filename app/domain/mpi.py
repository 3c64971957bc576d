"""MPI ids: the number under which a person is known across programmes, `SN-DKR-26-9XQ7LM2A`.

Country (ISO 3166 alpha-2), region (three letters), year of registration, eight random Base36 characters.
"""

import secrets
import string
import uuid
from collections.abc import Sequence

from sqlalchemy import select

from app.database import db
from app.models import Beneficiary, Organisation

BASE36 = string.digits + string.ascii_uppercase
RANDOM_LENGTH = 8


def give_ids(organisation_id: uuid.UUID, people: Sequence[Beneficiary]) -> None:
    """Give an MPI id to those of the people who have none, inside the open transaction; others keep theirs."""
    organisation = db.session.get(Organisation, organisation_id)
    lacking = [person for person in people if not person.mpi_id]
    while lacking:
        for person in lacking:
            person.mpi_id = _draw(organisation, person)
        taken = _taken_by_others(lacking)
        lacking = [person for person in lacking if person.mpi_id in taken]
    db.session.flush()


def _draw(organisation: Organisation, person: Beneficiary) -> str:
    letters = "".join(secrets.choice(BASE36) for _ in range(RANDOM_LENGTH))
    return f"{organisation.country}-{organisation.region}-{person.created_at:%y}-{letters}"


def _taken_by_others(people: Sequence[Beneficiary]) -> set[str]:
    """Return the drawn ids that are somebody's already, in this organisation or another."""
    table = Beneficiary.__table__
    drawn = [person.mpi_id for person in people]
    with db.session.no_autoflush:
        return set(db.session.scalars(select(table.c.mpi_id).where(table.c.mpi_id.in_(drawn))))
