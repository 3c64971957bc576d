"""What workers do with an import: read the file, check its rows, add its people. Each step can be done again.

Rows are kept and people added in runs, each in one transaction that begins with the worker's fence. Checking that was
interrupted starts over, adding goes on where it stopped, and nobody is added twice.
"""

import logging
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import select, update

from app import files
from app.database import db, one_transaction, utc_now
from app.domain import import_rows, people
from app.domain.access import Actor
from app.domain.errors import NotFound, Refusal
from app.domain.import_rows import ROWS_AT_ONCE, Tally
from app.domain.imports import WORKING
from app.domain.leases import RELEASED, Checkpoint, Holder, LeaseLost, end_of_a_lease, free, taken
from app.domain.workshop import AWAY, Stopping, patiently, workbench
from app.intake import (
    FULL_NAME,
    REQUIRED,
    CheckedRow,
    MappingError,
    Match,
    Table,
    Unreadable,
    check_rows,
    forget,
    match_columns,
    open_table,
)
from app.intake.values import shown
from app.models import Campaign, ImportBatch, ImportState, Organisation, Role
from app.sentences import Sentence, say

log = logging.getLogger(__name__)
PEOPLE_AT_ONCE = 500
CLAIMS_TRIED = 20
MOST_ATTEMPTS = 5
SURE = 0.8  # from here on a column's name leaves nothing to ask
SAMPLE_ROWS = 10
SAMPLE_LENGTH = 80  # characters of a cell that are looked at
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
    waiting = select(ImportBatch.id).where(*_claimable()).order_by(ImportBatch.id).limit(CLAIMS_TRIED)
    for batch_id in list(db.session.scalars(waiting)):
        if claimed := _take(batch_id, owner):
            return claimed
    return None


def work_waits() -> bool:
    """Return whether a worker would find an import to claim now."""
    return db.session.execute(select(ImportBatch.id).where(*_claimable()).limit(1)).first() is not None


def go_on(claim: ImportClaim, *, stopping: Callable[[], bool]) -> bool:
    """Take the import one step further; return whether it is worth looking for more work at once.

    What the file is to blame for ends the import with a sentence; anything else is tried again, five times.
    """
    try:
        if claim.attempts > MOST_ATTEMPTS:
            _fail(claim, say("The list could not be worked through, although it was tried five times. Save it again."))
        else:
            with workbench(claim.holder, stopping) as (folder, checkpoint):
                STEPS[claim.state](claim, folder, checkpoint)
    except LeaseLost:
        log.info("Import %s belongs to another worker now.", claim.batch_id)
    except (Unreadable, Refusal) as refusal:
        _fail(claim, refusal.sentence)
    except MappingError as refusal:
        _fail(claim, refusal.sentences[0])
    except Stopping:
        _hand_back(claim, counts=False)
        return False
    except AWAY:
        # A full disk or an absent database is neither the list's fault nor that of the work behind it.
        log.exception("Import %s could not be read or written; it rests for a while.", claim.batch_id)
        patiently(lambda: _let_rest(claim), stopping)
    except Exception:
        log.exception("Import %s failed at attempt %s.", claim.batch_id, claim.attempts)
        _hand_back(claim, counts=True)
    finally:
        forget()
    return True


def _read(claim: ImportClaim, folder: Path, checkpoint: Checkpoint) -> None:
    """Look at the file: its columns and first rows. Go straight on when there is nothing to decide."""
    table = _open_upload(claim, folder)
    checkpoint()
    matches = match_columns(table)
    recognised = _recognised(matches)
    _end(
        claim,
        ImportState.matched if recognised else ImportState.matching,
        look=_look(table, matches) | {"recognised": recognised},
        columns={str(match.index): match.field for match in matches},
        rows_total=table.row_count,
    )


def _check(claim: ImportClaim, folder: Path, checkpoint: Checkpoint) -> None:
    """Check every row and keep it with its person or its problems."""
    table = _open_upload(claim, folder)
    checkpoint()
    batch = db.session.get_one(ImportBatch, claim.batch_id)
    columns, country = _columns(batch.columns), db.session.get_one(Organisation, batch.organisation_id).country
    checked = check_rows(table, columns, country=country, today=people.today_of(batch.organisation_id))
    db.session.remove()
    _forget_rows(claim)
    tally = Tally()
    for rows in _runs(checked, ROWS_AT_ONCE):
        known = _keep_rows(claim, rows, tally.read + len(rows))
        tally.count(rows, known)
        checkpoint()
    found = {"check_notes": [note.to_json() for note in checked.notes], "groups": tally.groups()}
    _end(claim, ImportState.checked, found, **tally.totals())


def _add(claim: ImportClaim, _folder: Path, checkpoint: Checkpoint) -> None:
    """Add the good rows to the campaign, on from where a former attempt stopped."""
    while _add_some(claim):
        checkpoint()
    _end(claim, ImportState.added, finished_at=utc_now())


STEPS = {ImportState.uploaded: _read, ImportState.matched: _check, ImportState.confirmed: _add}


def _open_upload(claim: ImportClaim, folder: Path) -> Table:
    """Return the uploaded table, read from a copy: a store need not be a folder of this machine."""
    batch = db.session.get_one(ImportBatch, claim.batch_id)
    file_name, key = batch.file_name, batch.file_key
    db.session.remove()
    copy = folder / "upload"
    gone = NotFound(say("The uploaded file is not there any more. Choose it once more."))
    if not key:  # it went when somebody on the list was erased
        raise gone
    try:
        with files.store().open(key) as stored, copy.open("wb") as out:
            shutil.copyfileobj(stored, out)
    except FileNotFoundError:
        raise gone from None
    return open_table(copy, file_name)


def _recognised(matches: Iterable[Match]) -> bool:
    """Return whether every column was recognised or is nobody's beyond doubt, so that nobody needs to be asked."""
    sure = {match.field: match.confidence >= SURE for match in matches if match.field}
    return all(sure.values()) and FULL_NAME not in sure and all(field in sure for field in REQUIRED)


def _look(table: Table, matches: Iterable[Match]) -> dict[str, Any]:
    """Return what a person needs to see to tell whether the file was read right."""
    return {
        "kind": table.kind,
        "sheet": table.sheet,
        "encoding": table.encoding,
        "delimiter": table.delimiter,
        "header_row": table.header_row,
        "columns": list(table.columns),
        "notes": [note.to_json() for note in table.notes],
        "matches": [
            asdict(match) | {"samples": [sample[:SAMPLE_LENGTH] for sample in match.samples]} for match in matches
        ],
        "sample": [
            {"row": number, "cells": [shown(cell)[:SAMPLE_LENGTH] for cell in cells]}
            for number, cells in islice(table.rows(), SAMPLE_ROWS)
        ],
    }


def _columns(plain: Mapping[str, str | None]) -> dict[int, str | None]:
    return {int(index): field for index, field in plain.items()}


def _runs(rows: Iterable[Item], size: int) -> Iterator[list[Item]]:
    walk = iter(rows)
    while run := list(islice(walk, size)):
        yield run


@one_transaction
def _forget_rows(claim: ImportClaim) -> None:
    import_rows.forget(_held(claim))


@one_transaction
def _keep_rows(claim: ImportClaim, rows: list[CheckedRow], read: int) -> int:
    """Keep the next rows and return how many of their people were known before; `read` rows are through then."""
    batch = _held(claim)
    import_rows.keep(batch, rows)
    batch.rows_read = max(batch.rows_read, read)  # progress does not go back when checking starts over
    return import_rows.count_known(batch.organisation_id, rows)


@one_transaction
def _add_some(claim: ImportClaim) -> bool:
    """Add the next people and remember how far we are; False when there are none left."""
    batch = _held(claim)
    rows = import_rows.good(batch, after=batch.rows_read, limit=PEOPLE_AT_ONCE)
    if not rows:
        return False
    actor = Actor(batch.organisation_id, Role.editor, batch.created_by, "Import")
    campaign = db.session.get_one(Campaign, batch.campaign_id)
    enrolled = people.enrol(campaign, [person for _, person in rows], by=actor)
    batch.rows_read = rows[-1][0]
    batch.rows_new += enrolled.new
    batch.rows_updated += enrolled.updated
    batch.rows_same += enrolled.same
    batch.attempts = 1  # whoever gets on is not counted out
    return True


def _held(claim: ImportClaim) -> ImportBatch:
    """Begin a worker's transaction: return the import, locked until its end; LeaseLost when it is not ours any more."""
    ours = (*claim.holder.row, ImportBatch.state == claim.state, ImportBatch.lease_fence == claim.holder.fence)
    changed = db.session.execute(
        update(ImportBatch)
        .where(*ours)
        .values(lease_fence=claim.holder.fence)
        .execution_options(synchronize_session=False)
    )
    if not changed.rowcount:
        raise LeaseLost
    return db.session.get_one(ImportBatch, claim.batch_id, populate_existing=True)


def _claimable() -> tuple[Any, ...]:
    return ImportBatch.state.in_(WORKING), free(ImportBatch)


@one_transaction
def _take(batch_id: uuid.UUID, owner: str) -> ImportClaim | None:
    values = taken(owner)
    row = db.session.execute(
        update(ImportBatch)
        .where(ImportBatch.id == batch_id, *_claimable())
        .values(attempts=ImportBatch.attempts + 1, **values)
        .returning(ImportBatch.state, ImportBatch.attempts)
        .execution_options(synchronize_session=False)
    ).first()
    if row is None:
        return None
    holder = Holder(ImportBatch, (ImportBatch.id == batch_id,), values["lease_fence"])
    return ImportClaim(batch_id, row.state, row.attempts, holder)


def _fail(claim: ImportClaim, problem: Sentence) -> None:
    try:
        _end(claim, ImportState.failed, problem=problem.to_json())
    except LeaseLost:
        log.info("Import %s belongs to another worker now.", claim.batch_id)


@one_transaction
def _end(claim: ImportClaim, state: ImportState, found: Mapping[str, Any] | None = None, **values: Any) -> None:
    """Finish the step: the next state, what was found, and the lease given back, in one commit."""
    batch = _held(claim)
    for name, value in (values | RELEASED | {"state": state, "attempts": 0}).items():
        setattr(batch, name, value)
    if found:
        batch.look = batch.look | found


@one_transaction
def _hand_back(claim: ImportClaim, *, counts: bool) -> None:
    """Let somebody else do it. `counts` says whether this was an attempt: a stopping worker's is not."""
    _change_held(claim, {"attempts": ImportBatch.attempts if counts else ImportBatch.attempts - 1, **RELEASED})


@one_transaction
def _let_rest(claim: ImportClaim) -> None:
    """Leave it alone for a lease, and count no attempt; a lease without an owner rests, and was not lost."""
    rests = {"lease_owner": None, "lease_expires": end_of_a_lease()}
    _change_held(claim, {"attempts": ImportBatch.attempts - 1, **rests})


def _change_held(claim: ImportClaim, values: dict[str, Any]) -> None:
    db.session.execute(
        update(ImportBatch)
        .where(*claim.holder.row, ImportBatch.lease_fence == claim.holder.fence)
        .values(**values)
        .execution_options(synchronize_session=False)
    )
