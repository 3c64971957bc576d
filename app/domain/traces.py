"""Traces: where a person stands in the lists that were brought in, found by their ID and by their name.

A list is the file as it was handed in and, once it was checked, its rows; both are kept for some days only.
"""

import shutil
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from app import files
from app.database import db, settings
from app.intake import Unreadable, forget, open_table
from app.intake.values import shown, unaccented
from app.models import Beneficiary, Card, ImportBatch, ImportRow, ImportState, Print

ROWS_AT_ONCE = 1_000
UNCHECKED = (ImportState.uploaded, ImportState.matching, ImportState.matched)  # there are no rows yet, only the file


@dataclass(frozen=True)
class Trace:
    """A list that holds the person, as it was found: in these rows; in none while only its file does, or may."""

    batch_id: uuid.UUID
    state: str
    rows: tuple[int, ...]


@dataclass(frozen=True)
class Identity:
    """By what a list may know the person: every ID and name that they have, or had when a card was printed."""

    ids: frozenset[str]
    names: frozenset[frozenset[str]]

    def named_in(self, cells: Sequence[str]) -> bool:
        """Return whether all words of one of the person's names stand in the cells."""
        words = set(unaccented(" ".join(cells)).split())
        return any(name <= words for name in self.names)

    def has_id(self, text: str) -> bool:
        """Return whether the text is one of the person's IDs, however its letters are written."""
        return text.strip().casefold() in self.ids


def identity(person: Beneficiary) -> Identity:
    """Return by what lists may know the person, who is not erased."""
    known = [(person.beneficiary_id, person.first_name, person.last_name)]
    for facts in db.session.scalars(
        select(Print.facts)
        .join(Card, (Card.campaign_id == Print.campaign_id) & (Card.card_index == Print.card_index))
        .where(Card.person_id == person.id)
    ):
        known.append((facts["beneficiary_id"], facts["first_name"], facts["last_name"]))
    names = {frozenset(unaccented(f"{first} {last}").split()) for _id, first, last in known}
    return Identity(frozenset(one.casefold() for one, _first, _last in known if one), frozenset(names - {frozenset()}))


def in_lists(person: Beneficiary) -> list[Trace]:
    """Return every list that holds the person, newest first; reads rows and, of unchecked lists, the files.

    A list that failed counts when it has a file: what cannot be read cannot be searched, and is of no use to anybody.
    """
    who = identity(person)
    numbers: dict[uuid.UUID, list[int]] = {}
    for row in rows_of(person):
        numbers.setdefault(row.batch_id, []).append(row.number)
    mine = select(ImportBatch).where(ImportBatch.organisation_id == person.organisation_id)
    batches = list(db.session.scalars(mine.order_by(ImportBatch.id.desc())))
    return [
        Trace(batch.id, batch.state, tuple(numbers.get(batch.id, ())))
        for batch in batches
        if batch.id in numbers or _alone(batch, who)
    ]


def rows_of(person: Beneficiary) -> Iterator[ImportRow]:
    """Yield the rows of checked lists that hold the person, list by list."""
    who = identity(person)
    mine = ImportRow.organisation_id == person.organisation_id
    ours = ImportBatch.organisation_id == person.organisation_id
    columns = dict(db.session.execute(select(ImportBatch.id, ImportBatch.columns).where(ours)).all())
    in_order = select(ImportRow).where(mine).order_by(ImportRow.batch_id, ImportRow.number)
    for row in db.session.scalars(in_order.execution_options(yield_per=ROWS_AT_ONCE)):
        if _holds(row, columns.get(row.batch_id) or {}, who, person):
            yield row


def _holds(row: ImportRow, columns: dict[str, str | None], who: Identity, person: Beneficiary) -> bool:
    """Return whether the row is the person's: by its ID, or by name when nobody else has the ID it tells."""
    told = row.person["beneficiary_id"] if row.person else _told(row, columns)
    if who.has_id(told):
        return True
    return who.named_in(row.original) and not (told and _somebody_else(told, person))


def _told(row: ImportRow, columns: dict[str, str | None]) -> str:
    """Return what stands in the column of the IDs of a row that was refused."""
    at = next((int(index) for index, field in columns.items() if field == "beneficiary_id"), None)
    return row.original[at] if at is not None and at < len(row.original) else ""


def _somebody_else(beneficiary_id: str, person: Beneficiary) -> bool:
    others = (Beneficiary.organisation_id == person.organisation_id, Beneficiary.id != person.id)
    return (
        db.session.scalar(select(Beneficiary.id).where(*others, Beneficiary.beneficiary_id == beneficiary_id))
        is not None
    )


def _alone(batch: ImportBatch, who: Identity) -> bool:
    """Return whether a list without rows may hold the person in its file."""
    if not _has_file(batch):
        return False
    return batch.state == ImportState.failed or (batch.state in UNCHECKED and _file_holds(batch, who))


def _has_file(batch: ImportBatch) -> bool:
    try:
        return files.store().size(batch.file_key) > 0 if batch.file_key else False
    except FileNotFoundError:
        return False


def _file_holds(batch: ImportBatch, who: Identity) -> bool:
    """Return whether a cell of the file is the person's ID, or a row has their name; True when it cannot be read."""
    home = settings().home / "work"
    home.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home) as folder:
        copy = Path(folder) / "upload"
        with files.store().open(batch.file_key) as stored, copy.open("wb") as out:
            shutil.copyfileobj(stored, out)
        try:
            rows = ([shown(cell) for cell in cells] for _number, cells in open_table(copy, batch.file_name).rows())
            return any(who.named_in(cells) or any(who.has_id(cell) for cell in cells) for cells in rows)
        except Unreadable:
            return True
        finally:
            forget()
