"""MPI ids: the number under which a person is known across programmes, `SN-DKR-26-9XQ7LM2A`.

Country (ISO 3166 alpha-2), region (three letters), year of registration, eight random Base36 characters.
"""

import string
from collections.abc import Sequence
from random import SystemRandom

from sqlalchemy import select

from app.database import db
from app.domain.bulk import bare, batches
from app.models import Beneficiary, Organisation

BASE36 = string.digits + string.ascii_uppercase
RANDOM_LENGTH = 8


def draw(organisation: Organisation, years: Sequence[str]) -> list[str]:
    """Return an MPI id for each of the years (two digits), all different and nobody's in the installation yet."""
    beginnings = [f"{organisation.country}-{organisation.region}-{year}-" for year in years]
    ids = _drawn(beginnings)
    while again := _not_new(ids):
        for place, fresh in zip(again, _drawn([beginnings[place] for place in again]), strict=True):
            ids[place] = fresh
    return ids


def _drawn(beginnings: Sequence[str]) -> list[str]:
    letters = "".join(SystemRandom().choices(BASE36, k=RANDOM_LENGTH * len(beginnings)))
    starts = range(0, len(letters), RANDOM_LENGTH)
    return [first + letters[start : start + RANDOM_LENGTH] for first, start in zip(beginnings, starts, strict=True)]


def _not_new(ids: Sequence[str]) -> list[int]:
    """Return the places of the ids that are somebody's already, or stand twice."""
    people = bare(Beneficiary).c
    taken: set[str] = set()
    for some in batches(ids):
        taken |= set(db.session.scalars(select(people.mpi_id).where(people.mpi_id.in_(some))))
    places = []
    for place, mpi_id in enumerate(ids):
        if mpi_id in taken:
            places.append(place)
        taken.add(mpi_id)
    return places
