"""Imports: a spreadsheet handed in, its columns agreed on, its good rows confirmed; `importing` does the work."""

import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

from sqlalchemy import func, select, update

from app import files
from app.database import db, new_id, one_transaction
from app.domain import audit
from app.domain.access import Actor, require
from app.domain.errors import Conflict, Invalid, TooLarge
from app.domain.workshop import sha256_of
from app.intake import FIELDS, FULL_NAME, LEFT_OUT, MAX_BYTES, REQUIRED, CheckedRow, Problem
from app.models import Campaign, ImportBatch, ImportRow, ImportState
from app.sentences import Sentence, say

WORKING = frozenset({ImportState.uploaded, ImportState.matched, ImportState.confirmed})
BATCH = 1_000


def upload(campaign: Campaign, file_name: str, path: Path, *, by: Actor) -> ImportBatch:
    """Return the import that begins with the file at `path`, which is moved into the store; a worker reads it next.

    Raises TooLarge above 10 MB, Invalid for an empty file.
    """
    require(by, "bring in people")
    campaign_id, size = campaign.id, path.stat().st_size
    if size > MAX_BYTES:
        raise TooLarge(say("The file is larger than %(most)s MB. Split it into several files.", most=MAX_BYTES >> 20))
    if not size:
        raise Invalid({"file": say("The file is empty. Choose the spreadsheet that holds your list.")})
    batch_id, sha256 = new_id(), sha256_of(path)
    key = f"imports/{batch_id}"
    files.store().put(key, path)
    return _open(campaign_id, batch_id, file_name[:255] or "list", key, sha256, size, by)


@one_transaction
def _open(
    campaign_id: uuid.UUID, batch_id: uuid.UUID, file_name: str, key: str, sha256: str, size: int, by: Actor
) -> ImportBatch:
    batch = ImportBatch(
        id=batch_id,
        organisation_id=by.organisation_id,
        campaign_id=campaign_id,
        created_by=by.user_id,
        file_name=file_name,
        file_key=key,
        file_sha256=sha256,
        file_size=size,
    )
    db.session.add(batch)
    audit.note(by, "import.uploaded", "import", batch_id, campaign=str(campaign_id), bytes=size)
    return batch


@one_transaction
def choose_columns(batch: ImportBatch, columns: Mapping[int, str | None], *, by: Actor) -> None:
    """Agree on what each column holds, and let a worker check the rows; may be done again until people are added.

    Raises Invalid when the choice cannot make a person.
    """
    require(by, "bring in people")
    refuse_bad_choice(batch, columns)
    _move(
        batch,
        {ImportState.matching, ImportState.checked},
        ImportState.matched,
        columns={str(index): chosen for index, chosen in columns.items()},
        rows_read=0,
        attempts=0,
    )
    audit.note(by, "import.columns_chosen", "import", batch.id)


@one_transaction
def confirm(batch: ImportBatch, *, by: Actor) -> None:
    """Let a worker add the good rows to the campaign; the refused ones stay in the problem file."""
    require(by, "bring in people")
    if not batch.rows_good:
        raise Conflict(say("There is no row that could be added. Mend the file and bring it in again."))
    _move(batch, {ImportState.checked}, ImportState.confirmed, rows_read=0, attempts=0)
    audit.note(by, "import.confirmed", "import", batch.id, rows=batch.rows_good, refused=batch.rows_refused)


def refuse_bad_choice(batch: ImportBatch, columns: Mapping[int, str | None]) -> None:
    """Raise Invalid when a required field has no column, or a field has two."""
    names = batch.look.get("columns", [])
    known = {*FIELDS, FULL_NAME, LEFT_OUT, None}
    if any(index not in range(len(names)) or chosen not in known for index, chosen in columns.items()):
        raise Invalid({"": say("These columns are not those of the file. Choose the columns again.")})
    chosen = [field for field in columns.values() if field not in (None, LEFT_OUT)]
    covered = set(chosen) | ({"first_name", "last_name"} if FULL_NAME in chosen else set())
    problems: dict[str, Sentence] = {
        field: say("Choose the column for this.") for field in REQUIRED if field not in covered
    }
    twice = {field for field in chosen if chosen.count(field) > 1}
    if FULL_NAME in chosen:
        twice |= {"first_name", "last_name"} & set(chosen)
    problems |= {field: say("Two columns were chosen for this. Keep one of them.") for field in sorted(twice)}
    if problems:
        raise Invalid(problems)


def of_campaign(campaign: Campaign) -> list[ImportBatch]:
    """Return the campaign's imports, newest first."""
    mine = select(ImportBatch).where(ImportBatch.campaign_id == campaign.id)
    return list(db.session.scalars(mine.order_by(ImportBatch.created_at.desc())))


def waiting_for(actor: Actor) -> list[ImportBatch]:
    """Return the imports of the organisation that wait for a person's decision, newest first."""
    open_states = [ImportState.matching, ImportState.checked]
    mine = (ImportBatch.organisation_id == actor.organisation_id, ImportBatch.state.in_(open_states))
    return list(db.session.scalars(select(ImportBatch).where(*mine).order_by(ImportBatch.created_at.desc())))


def refused_rows(batch: ImportBatch, *, limit: int | None = None, offset: int = 0) -> Iterator[CheckedRow]:
    """Yield the rows that were refused, in the file's order, with all that is wrong with each."""
    wanted = (
        select(ImportRow)
        .where(ImportRow.batch_id == batch.id, ImportRow.refused)
        .order_by(ImportRow.number)
        .offset(offset)
        .execution_options(yield_per=BATCH)
    )
    for row in db.session.scalars(wanted if limit is None else wanted.limit(limit)):
        problems = tuple(
            Problem(plain["index"], plain["header"], plain["field"], Sentence.from_json(plain["sentence"]))
            for plain in row.problems
        )
        yield CheckedRow(row.number, tuple(row.original), None, problems)


def good_rows(batch: ImportBatch, limit: int) -> list[ImportRow]:
    """Return the first good rows, to be looked at before they are added."""
    wanted = select(ImportRow).where(ImportRow.batch_id == batch.id, ~ImportRow.refused)
    return list(db.session.scalars(wanted.order_by(ImportRow.number).limit(limit)))


def note_download(batch: ImportBatch, *, by: Actor) -> None:
    """Write down that somebody took the refused rows out of the portal."""
    _note_download(batch.id, by)


@one_transaction
def _note_download(batch_id: uuid.UUID, by: Actor) -> None:
    audit.note(by, "import.problems_downloaded", "import", batch_id)


def _move(batch: ImportBatch, allowed: set[ImportState], to: ImportState, **values: object) -> None:
    changed = db.session.execute(
        update(ImportBatch)
        .where(ImportBatch.id == batch.id, ImportBatch.state.in_(allowed))
        .values(state=to, **values)
        .execution_options(synchronize_session=False)
    )
    if not changed.rowcount:
        raise Conflict(say("This list has moved on in the meantime. Load the page again."))
    db.session.expire(batch)


def count_in_campaign(campaign: Campaign) -> int:
    """Return how many imports the campaign has had."""
    return db.session.scalar(select(func.count()).where(ImportBatch.campaign_id == campaign.id)) or 0
