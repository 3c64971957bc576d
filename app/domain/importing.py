"""What workers do with an import: read the file, check its rows, add its people. Each step can be done again.

Rows are kept and people added in batches, each in one transaction that begins with the worker's fence, so that a
step that was interrupted goes on where it stopped or starts over, and never adds anybody twice.
"""

import logging
import shutil
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from sqlalchemy import delete, insert, select, update

from app import files
from app.database import db, one_transaction, utc_now
from app.domain import people
from app.domain.access import Actor
from app.domain.errors import Refusal
from app.domain.imports import WORKING
from app.domain.leases import RELEASED, Holder, LeaseLost, free, taken
from app.domain.orders import batches
from app.domain.workshop import Stopping, workbench
from app.intake import (
    FULL_NAME,
    REQUIRED,
    CheckedRow,
    CheckedRows,
    MappingError,
    Match,
    PersonRow,
    Table,
    Unreadable,
    check_rows,
    match_columns,
    open_table,
)
from app.models import Beneficiary, Campaign, ImportBatch, ImportRow, ImportState, Organisation, Role
from app.sentences import Sentence, say

log = logging.getLogger(__name__)
ROWS_AT_ONCE = 1_000
PEOPLE_AT_ONCE = 500
SAMPLE_ROWS = 10
MOST_ATTEMPTS = 5
MOST_GROUPS = 50
SURE = 0.8
Item = TypeVar("Item")


@dataclass(frozen=True)
class ImportClaim:
    """An import in hand, at the state it was claimed in."""

    batch_id: uuid.UUID
    state: str
    attempts: int
    holder: Holder


def claim(owner: str) -> ImportClaim | None:
    """Return an import for `owner` to take one step further, None when none waits."""
    waits = (ImportBatch.state.in_(WORKING), free(ImportBatch))
    for batch_id in list(db.session.scalars(select(ImportBatch.id).where(*waits).order_by(ImportBatch.id).limit(20))):
        if claimed := _take(batch_id, owner):
            return claimed
    return None


def work_waits() -> bool:
    """Return whether a worker would find an import to claim now."""
    waits = (ImportBatch.state.in_(WORKING), free(ImportBatch))
    return db.session.execute(select(ImportBatch.id).where(*waits).limit(1)).first() is not None


def go_on(claim: ImportClaim, *, stopping: Callable[[], bool]) -> bool:
    """Take the import one step further; return whether the claim led anywhere."""
    try:
        if claim.attempts > MOST_ATTEMPTS:
            _end(claim, ImportState.failed, problem=_gave_up().to_json())
            return True
        with workbench(claim.holder, stopping) as (folder, checkpoint):
            STEPS[claim.state](claim, folder, checkpoint)
    except LeaseLost:
        log.info("Import %s belongs to another worker now.", claim.batch_id)
    except (Unreadable, MappingError, Refusal) as error:
        sentence = error.sentences[0] if isinstance(error, MappingError) else error.sentence
        _end(claim, ImportState.failed, problem=sentence.to_json())
    except (Stopping, OSError) as stop:
        if isinstance(stop, OSError):
            log.exception("Import %s could not be read or written; it goes back.", claim.batch_id)
        _hand_back(claim, counts=isinstance(stop, FileNotFoundError))
        return False
    except Exception:
        log.exception("Import %s failed at attempt %s.", claim.batch_id, claim.attempts)
        _hand_back(claim, counts=True)
    return True


def _read(claim: ImportClaim, folder: Path, checkpoint: Callable[[], None]) -> None:
    """Look at the file: its columns and first rows. Go straight on when there is nothing to decide."""
    table = _table(claim, folder)
    checkpoint()
    matches = match_columns(table)
    chosen = {str(match.index): match.field for match in matches}
    state = ImportState.matched if _obvious(matches) else ImportState.matching
    _end(claim, state, look=_look(table, matches), columns=chosen, rows_total=table.row_count, rows_read=0)


def _check(claim: ImportClaim, folder: Path, checkpoint: Callable[[], None]) -> None:
    """Check every row and keep it with its person or its problems."""
    table = _table(claim, folder)
    batch = db.session.get(ImportBatch, claim.batch_id)
    organisation = db.session.get(Organisation, batch.organisation_id)
    look, total = dict(batch.look), batch.rows_total
    mapping = {int(index): field for index, field in batch.columns.items()}
    checked = check_rows(table, mapping, country=organisation.country, today=_today(organisation))
    db.session.remove()
    _forget_rows(claim)
    tally = _Tally()
    for rows in _runs(checked, ROWS_AT_ONCE):
        _keep_rows(claim, rows, tally.count(rows))
        checkpoint()
    look |= {"check_notes": _plain(checked), "groups": tally.groups()}
    _end(claim, ImportState.checked, look=look, rows_total=max(total, tally.read), **tally.totals())


def _add(claim: ImportClaim, _folder: Path, checkpoint: Callable[[], None]) -> None:
    """Add the good rows to the campaign, on from where a former attempt stopped."""
    while _add_some(claim):
        checkpoint()
    _end(claim, ImportState.added, finished_at=utc_now())


STEPS = {ImportState.uploaded: _read, ImportState.matched: _check, ImportState.confirmed: _add}


class _Tally:
    """Counts rows as they are checked, and the kinds of problems in them."""

    def __init__(self) -> None:
        self.read = self.good = self.refused = self.known = 0
        self.kinds: Counter[tuple[str, str]] = Counter()
        self.first: dict[tuple[str, str], dict[str, Any]] = {}

    def count(self, rows: list[CheckedRow]) -> int:
        """Take the rows in, and return how many were read by now."""
        self.read += len(rows)
        people = [row.person.beneficiary_id for row in rows if row.person]
        self.good += len(people)
        self.refused += len(rows) - len(people)
        self.known += _known(people)
        for row in rows:
            for problem in row.problems:
                kind = (problem.header, problem.sentence.template)
                self.kinds[kind] += 1
                self.first.setdefault(kind, {"row": row.number, "sentence": problem.sentence.to_json()})
        return self.read

    def totals(self) -> dict[str, int]:
        return {
            "rows_read": self.read,
            "rows_good": self.good,
            "rows_refused": self.refused,
            "rows_new": self.good - self.known,
            "rows_updated": self.known,
        }

    def groups(self) -> list[dict[str, Any]]:
        """Return the kinds of problems, the most frequent first, each with its count and an example."""
        return [
            {"header": kind[0], "count": count, **self.first[kind]}
            for kind, count in self.kinds.most_common(MOST_GROUPS)
        ]


def _table(claim: ImportClaim, folder: Path) -> Table:
    """Return the uploaded table, read from a copy: a store need not be a folder of this machine."""
    batch = db.session.get(ImportBatch, claim.batch_id)
    file_name, key = batch.file_name, batch.file_key
    db.session.remove()
    copy = folder / "upload"
    with files.store().open(key) as stored, copy.open("wb") as out:
        shutil.copyfileobj(stored, out)
    return open_table(copy, file_name)


def _obvious(matches: Iterable[Match]) -> bool:
    """Whether every required field was recognised beyond doubt, so that nobody needs to be asked."""
    found = {match.field: match.confidence for match in matches if match.field}
    if FULL_NAME in found:
        return False
    return all(found.get(field, 0) >= SURE for field in REQUIRED)


def _look(table: Table, matches: Iterable[Match]) -> dict[str, Any]:
    sample = [
        [str(cell) if cell is not None else "" for cell in cells] for _, cells in islice(table.rows(), SAMPLE_ROWS)
    ]
    return {
        "kind": table.kind,
        "sheet": table.sheet,
        "sheets": list(table.sheets),
        "encoding": table.encoding,
        "delimiter": table.delimiter,
        "header_row": table.header_row,
        "columns": list(table.columns),
        "notes": [note.to_json() for note in table.notes],
        "matches": [asdict(match) for match in matches],
        "sample": sample,
    }


def _plain(checked: CheckedRows) -> list[dict[str, Any]]:
    return [note.to_json() for note in checked.notes]


def _runs(rows: Iterable[Item], size: int) -> Iterator[list[Item]]:
    walk = iter(rows)
    while run := list(islice(walk, size)):
        yield run


def _known(beneficiary_ids: list[str]) -> int:
    """Return how many of the ids belong to people of the organisation already."""
    known = 0
    for some in batches(beneficiary_ids):
        known += len(db.session.scalars(select(Beneficiary.id).where(Beneficiary.beneficiary_id.in_(some))).all())
    db.session.rollback()
    return known


@one_transaction
def _forget_rows(claim: ImportClaim) -> None:
    _hold(claim)
    db.session.execute(delete(ImportRow).where(ImportRow.batch_id == claim.batch_id))


@one_transaction
def _keep_rows(claim: ImportClaim, rows: list[CheckedRow], read: int) -> None:
    organisation_id = _hold(claim, rows_read=read)
    db.session.execute(insert(ImportRow), [_row(organisation_id, claim.batch_id, row) for row in rows])


def _row(organisation_id: uuid.UUID, batch_id: uuid.UUID, row: CheckedRow) -> dict[str, Any]:
    return {
        "organisation_id": organisation_id,
        "batch_id": batch_id,
        "number": row.number,
        "refused": row.person is None,
        "original": list(row.original),
        "person": _person_to_json(row.person),
        "problems": [
            {
                "index": problem.index,
                "header": problem.header,
                "field": problem.field,
                "sentence": problem.sentence.to_json(),
            }
            for problem in row.problems
        ],
    }


@one_transaction
def _add_some(claim: ImportClaim) -> bool:
    """Add the next people and remember how far we are; False when there are none left."""
    batch = db.session.get(ImportBatch, claim.batch_id, populate_existing=True)
    if batch.rows_read == 0:
        batch.rows_new = batch.rows_updated = batch.rows_same = 0
    wanted = (ImportRow.batch_id == batch.id, ~ImportRow.refused, ImportRow.number > batch.rows_read)
    rows = list(db.session.scalars(select(ImportRow).where(*wanted).order_by(ImportRow.number).limit(PEOPLE_AT_ONCE)))
    if not rows:
        return False
    campaign = db.session.get(Campaign, batch.campaign_id)
    actor = Actor(batch.organisation_id, Role.editor, batch.created_by, "Import")
    outcome = people.enrol(campaign, [_person_from_json(row.person) for row in rows], by=actor)
    _hold(
        claim,
        rows_read=rows[-1].number,
        rows_new=batch.rows_new + outcome.new,
        rows_updated=batch.rows_updated + outcome.updated,
        rows_same=batch.rows_same + outcome.same,
    )
    return True


def _hold(claim: ImportClaim, **values: Any) -> uuid.UUID:
    """Begin a worker's transaction with its fence; LeaseLost when the import is not ours any more."""
    organisation_id = db.session.scalar(
        update(ImportBatch)
        .where(*claim.holder.row, ImportBatch.state == claim.state, ImportBatch.lease_fence == claim.holder.fence)
        .values(lease_fence=claim.holder.fence, **values)
        .returning(ImportBatch.organisation_id)
        .execution_options(synchronize_session=False)
    )
    if organisation_id is None:
        raise LeaseLost
    return organisation_id


@one_transaction
def _take(batch_id: uuid.UUID, owner: str) -> ImportClaim | None:
    values = taken(owner)
    row = db.session.execute(
        update(ImportBatch)
        .where(ImportBatch.id == batch_id, ImportBatch.state.in_(WORKING), free(ImportBatch))
        .values(attempts=ImportBatch.attempts + 1, **values)
        .returning(ImportBatch.state, ImportBatch.attempts)
        .execution_options(synchronize_session=False)
    ).first()
    if row is None:
        return None
    holder = Holder(ImportBatch, (ImportBatch.id == batch_id,), values["lease_fence"])
    return ImportClaim(batch_id, row.state, row.attempts, holder)


@one_transaction
def _end(claim: ImportClaim, state: ImportState, **values: Any) -> None:
    """Finish the step: the next state, what was found, and the lease given back, in one commit."""
    _hold(claim, state=state, attempts=0, **values)
    db.session.execute(
        update(ImportBatch).where(*claim.holder.row).values(**RELEASED).execution_options(synchronize_session=False)
    )


@one_transaction
def _hand_back(claim: ImportClaim, *, counts: bool) -> None:
    attempts = ImportBatch.attempts if counts else ImportBatch.attempts - 1
    db.session.execute(
        update(ImportBatch)
        .where(*claim.holder.row, ImportBatch.lease_fence == claim.holder.fence)
        .values(attempts=attempts, **RELEASED)
        .execution_options(synchronize_session=False)
    )


def _gave_up() -> Sentence:
    return say("This list could not be worked through, although it was tried five times. Save it again as XLSX.")


def _today(organisation: Organisation) -> date:
    return datetime.now(UTC).astimezone(ZoneInfo(organisation.time_zone)).date()


def _person_to_json(person: PersonRow | None) -> dict[str, Any] | None:
    if person is None:
        return None
    plain = asdict(person)
    for name in ("date_of_birth", "enrollment_date"):
        plain[name] = plain[name] and plain[name].isoformat()
    return plain


def _person_from_json(plain: dict[str, Any]) -> PersonRow:
    dates = {name: plain[name] and date.fromisoformat(plain[name]) for name in ("date_of_birth", "enrollment_date")}
    return PersonRow(**plain | dates)
