"""Imports: a spreadsheet handed in, its columns agreed on, its good rows confirmed; `importing` does the work."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select, update

from app import files
from app.database import db, new_id, one_transaction
from app.domain import audit, repeats
from app.domain.access import Actor, require
from app.domain.errors import Conflict, Invalid, TooLarge
from app.domain.workshop import sha256_of
from app.intake import FIELDS, FULL_NAME, LEFT_OUT, MAX_BYTES, REQUIRED
from app.intake.values import printable
from app.models import Campaign, ImportBatch, ImportState
from app.sentences import Sentence, say

WORKING = frozenset({ImportState.uploaded, ImportState.matched, ImportState.confirmed})
WAITING = frozenset({ImportState.matching, ImportState.checked})
NAME_LENGTH = 255  # characters, as the table has them
UNCOUNTED = {"rows_read": 0, "rows_good": 0, "rows_refused": 0, "rows_new": 0, "rows_updated": 0, "rows_same": 0}


@dataclass(frozen=True)
class Progress:
    """How far the step that is being done has come: `done` rows of `total`, 0 while nobody knows how many."""

    state: str
    taken_up: bool
    done: int
    total: int

    @property
    def working(self) -> bool:
        """Whether a worker has something to do; otherwise a person has, or nobody."""
        return self.state in WORKING

    @property
    def percent(self) -> int:
        """Return the share that is done, rounded down."""
        return min(100 * self.done // self.total, 99) if self.total else 0


def upload(
    campaign: Campaign, file_name: str, path: Path, *, by: Actor, repeat: repeats.Repeat | None = None
) -> ImportBatch:
    """Return the import that begins with the file at `path`, which is moved into the store; a worker reads it next.

    The same file again leads to its import while that one is open, the same `repeat` also afterwards. Raises TooLarge
    above 10 MB, Invalid for an empty file, Conflict for an archived campaign.
    """
    require(by, "bring in people")
    _refuse_archived(campaign)
    campaign_id, size = campaign.id, path.stat().st_size
    if size > MAX_BYTES:
        raise TooLarge(say("The file is larger than %(most)s MB. Split it into several files.", most=MAX_BYTES >> 20))
    if not size:
        raise Invalid({"file": say("The file is empty. Choose the spreadsheet that holds your list.")})
    batch_id, sha256 = new_id(), sha256_of(path)
    key = f"imports/{batch_id}"
    files.store().put(key, path)
    batch = _open(campaign_id, batch_id, _plain_name(file_name), key, sha256, size, by, repeat)
    if batch.file_key != key:
        files.store().delete(key)
    return batch


@one_transaction
def choose_columns(batch: ImportBatch, columns: Mapping[int, str | None], *, by: Actor) -> None:
    """Agree on what each column holds, and let a worker check the rows; may be done again until people are added.

    Raises Invalid when the choice cannot make a person, Conflict when it comes too late.
    """
    require(by, "bring in people")
    _refuse_bad_choice(batch, columns)
    chosen = {str(index): field for index, field in columns.items()}
    if batch.state == ImportState.matched and batch.columns == chosen:
        return
    look = batch.look | {"recognised": False}
    _move(batch, WAITING, ImportState.matched, columns=chosen, look=look, attempts=0, **UNCOUNTED)
    audit.note(by, "import.columns_chosen", "import", batch.id)


@one_transaction
def confirm(batch: ImportBatch, *, people: int, by: Actor) -> None:
    """Let a worker add the good rows to the campaign, `people` of them; the refused ones stay in the problem file.

    Raises Conflict when the numbers are not those that the person saw any more, or there is nobody to add.
    """
    require(by, "bring in people")
    if batch.state in (ImportState.confirmed, ImportState.added):
        return
    _refuse_archived(db.session.get_one(Campaign, batch.campaign_id))
    if not batch.rows_good:
        raise Conflict(say("There is no row that could be added. Mend the file and bring it in again."))
    if batch.rows_good != people:
        raise Conflict(say("The list was checked again in the meantime. Look at the new numbers before you add it."))
    facts = {"rows": batch.rows_good, "refused": batch.rows_refused}
    counted_anew = {"rows_read": 0, "rows_new": 0, "rows_updated": 0, "rows_same": 0}
    _move(batch, {ImportState.checked}, ImportState.confirmed, attempts=0, **counted_anew)
    audit.note(by, "import.confirmed", "import", batch.id, **facts)


def progress(batch: ImportBatch) -> Progress:
    """Return how far the import's step has come."""
    taken_up = batch.lease_fence is not None
    if batch.state == ImportState.confirmed:
        added = batch.rows_new + batch.rows_updated + batch.rows_same
        return Progress(batch.state, taken_up, added, batch.rows_good)
    return Progress(batch.state, taken_up, batch.rows_read, batch.rows_total)


def of_campaign(campaign: Campaign) -> list[ImportBatch]:
    """Return the campaign's imports, newest first."""
    mine = select(ImportBatch).where(ImportBatch.campaign_id == campaign.id)
    return list(db.session.scalars(mine.order_by(ImportBatch.id.desc())))


def waiting_for(actor: Actor) -> list[ImportBatch]:
    """Return the imports of the organisation that wait for a person's decision, newest first."""
    mine = (ImportBatch.organisation_id == actor.organisation_id, ImportBatch.state.in_(WAITING))
    return list(db.session.scalars(select(ImportBatch).where(*mine).order_by(ImportBatch.id.desc())))


def added_before(batch: ImportBatch) -> ImportBatch | None:
    """Return the newest other import that added this very file to the campaign, None when there is none."""
    same_file = (
        ImportBatch.campaign_id == batch.campaign_id,
        ImportBatch.file_sha256 == batch.file_sha256,
        ImportBatch.state == ImportState.added,
        ImportBatch.id != batch.id,
    )
    return db.session.scalar(select(ImportBatch).where(*same_file).order_by(ImportBatch.id.desc()).limit(1))


def note_download(batch: ImportBatch, *, by: Actor) -> None:
    """Write down that somebody took the refused rows out of the portal."""
    _note_download(batch.id, batch.rows_refused, by)


@one_transaction
def _note_download(batch_id: uuid.UUID, rows: int, by: Actor) -> None:
    audit.note(by, "import.problems_downloaded", "import", batch_id, rows=rows)


def _refuse_archived(campaign: Campaign) -> None:
    if campaign.archived_at is not None:
        raise Conflict(say("This campaign is archived. Restore it before you bring in people."))


def _plain_name(file_name: str) -> str:
    """Return the name without the folders that some browsers send along, fit to be shown and stored."""
    return printable(file_name.replace("\\", "/").rpartition("/")[2])[:NAME_LENGTH] or "list"


@one_transaction
def _open(
    campaign_id: uuid.UUID,
    batch_id: uuid.UUID,
    file_name: str,
    key: str,
    sha256: str,
    size: int,
    by: Actor,
    repeat: repeats.Repeat | None,
) -> ImportBatch:
    before = repeats.answered(repeat, "import", by=by)
    if before and (batch := db.session.get(ImportBatch, before)):  # it may have been discarded since
        return batch
    same_file = (ImportBatch.campaign_id == campaign_id, ImportBatch.file_sha256 == sha256)
    # On PostgreSQL two forms sent in one instant may open two imports; harmless, because nobody is added twice.
    under_way = select(ImportBatch).where(*same_file, ImportBatch.state.in_(WORKING | WAITING))
    if found := db.session.scalar(under_way.order_by(ImportBatch.id.desc()).limit(1)):
        repeats.remember(repeat, "import", found.id, by=by)
        return found
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
    repeats.remember(repeat, "import", batch_id, by=by)
    return batch


def _refuse_bad_choice(batch: ImportBatch, columns: Mapping[int, str | None]) -> None:
    """Raise Invalid: under a field's name when no column holds it, under a column's index when two hold the same."""
    known = {*FIELDS, FULL_NAME, LEFT_OUT, None}
    if not set(columns) <= set(range(len(batch.look.get("columns", [])))) or not set(columns.values()) <= known:
        raise Invalid({"": say("These columns are not those of the file. Choose the columns again.")})
    problems: dict[str, Sentence] = {}
    held: set[str] = set()
    for index, field in sorted(columns.items()):
        holds = _holds(field)
        if held & holds:
            problems[str(index)] = say("Another column was chosen for this already. Keep one of them.")
        held |= holds
    missing = {field: say("Choose the column that holds this.") for field in REQUIRED if field not in held}
    if missing or problems:
        raise Invalid(missing | problems)


def _holds(field: str | None) -> set[str]:
    """Return the fields of a person that a column fills when it was chosen to be `field`."""
    if field == FULL_NAME:
        return {"first_name", "last_name"}
    return {field} if field in FIELDS else set()


def _move(batch: ImportBatch, allowed: frozenset[str] | set[str], to: ImportState, **values: object) -> None:
    changed = db.session.execute(
        update(ImportBatch)
        .where(ImportBatch.id == batch.id, ImportBatch.state.in_(allowed))
        .values(state=to, **values)
        .execution_options(synchronize_session=False)
    )
    if not changed.rowcount:
        raise Conflict(say("This list has moved on in the meantime. Load the page again."))
    db.session.expire(batch)
