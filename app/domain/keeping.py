"""Keeping: how long finished files and lists are kept, how they go, and what is left of them.

A row says first that something is gone, in one commit; then its files are deleted. After a crash between the two the
files belong to nothing, and the sweep finds them. Files that are gone are made again by `reorders`.
"""

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import PurePath

from sqlalchemy import delete, select, update

from app import files
from app.database import db, one_transaction, settings, utc_now
from app.domain import audit, leases
from app.domain.access import Actor, require
from app.domain.errors import Conflict
from app.domain.leases import Checkpoint
from app.models import FINISHED, Artifact, Chunk, ImportBatch, ImportRow, ImportState, Job
from app.sentences import say

UNCONFIRMED = frozenset(ImportState) - {ImportState.confirmed, ImportState.added}


def kept_until(finished_at: datetime) -> datetime:
    """Return until when files are kept that were finished at this moment."""
    return finished_at + timedelta(days=settings().artifact_days)


def remove_outdated(checkpoint: Checkpoint) -> int:
    """Remove the files of jobs and the lists whose time is over; return how many jobs and lists that were.

    `checkpoint` is passed after each; what it raises ends the removal, and the next one goes on.
    """
    removed = 0
    for job_id in _jobs_past_their_time():
        removed += remove_files(job_id)
        checkpoint()
    for batch_id in _lists_past_their_time():
        removed += _let_go_of_list(batch_id)
        checkpoint()
    return removed


def remove_files(job_id: uuid.UUID) -> bool:
    """Remove all files of the finished job and what they were made from; False when they were gone already."""
    keys = _mark_removed(job_id)
    _delete(keys)
    return bool(keys)


def discard(batch: ImportBatch, *, by: Actor) -> None:
    """Remove a list that was never confirmed, with everything that was read from it; nothing of it stays.

    Raises Conflict when its people are being added, or were.
    """
    require(by, "bring in people")
    _delete([_discard(batch.id, by)])


def is_emptied(batch: ImportBatch) -> bool:
    """Return whether only the record of the list is left."""
    return batch.state == ImportState.added and not batch.look


def _jobs_past_their_time() -> list[uuid.UUID]:
    oldest = utc_now() - timedelta(days=settings().artifact_days)
    outdated = select(Artifact.job_id).where(Artifact.created_at < oldest, Artifact.removed_at.is_(None)).distinct()
    return list(db.session.scalars(outdated))


def _lists_past_their_time() -> list[uuid.UUID]:
    """Return lists whose time is over and that no worker holds; those being added are left until they are."""
    outdated = (
        ImportBatch.created_at < utc_now() - timedelta(days=settings().import_days),
        ImportBatch.state != ImportState.confirmed,
        leases.free(ImportBatch),
    )
    rows = db.session.execute(select(ImportBatch.id, ImportBatch.state, ImportBatch.look).where(*outdated))
    return [row.id for row in rows if row.state != ImportState.added or row.look]


@one_transaction
def _mark_removed(job_id: uuid.UUID) -> list[str]:
    """Say of the job's files that they are gone; return the keys of their pieces."""
    job = db.session.get_one(Job, job_id)
    if job.state not in FINISHED:
        return []
    there = (Artifact.job_id == job_id, Artifact.removed_at.is_(None))
    keys = [piece["key"] for pieces in db.session.scalars(select(Artifact.pieces).where(*there)) for piece in pieces]
    drawn = (Chunk.job_id == job_id, Chunk.pieces.is_not(None))
    for pieces in db.session.scalars(select(Chunk.pieces).where(*drawn)):
        keys += [pieces["zip_key"], pieces["pages_key"]]
    changed = db.session.execute(
        update(Artifact)
        .where(*there)
        .values(removed_at=utc_now(), pieces=[])
        .execution_options(synchronize_session=False)
    )
    db.session.execute(update(Chunk).where(*drawn).values(pieces=None).execution_options(synchronize_session=False))
    if changed.rowcount:
        audit.note(Actor.portal(job.organisation_id), "job.files_removed", "job", job_id, files=changed.rowcount)
    return list(dict.fromkeys(keys))


def _let_go_of_list(batch_id: uuid.UUID) -> bool:
    """Empty a list that was added, and remove one that never was; False when somebody was faster."""
    state = db.session.scalar(select(ImportBatch.state).where(ImportBatch.id == batch_id))
    owner = db.session.scalar(select(ImportBatch.organisation_id).where(ImportBatch.id == batch_id))
    if state is None or owner is None:
        return False
    if state == ImportState.added:
        _delete([_empty(batch_id)])
        return True
    try:
        _delete([_discard(batch_id, Actor.portal(owner))])
    except Conflict:
        return False
    return True


@one_transaction
def _empty(batch_id: uuid.UUID) -> str:
    """Keep of the list when it was added and how many people it held, and nothing that a person wrote."""
    batch = db.session.get_one(ImportBatch, batch_id, with_for_update=True)
    if is_emptied(batch):  # by a worker that was faster
        return ""
    db.session.execute(delete(ImportRow).where(ImportRow.batch_id == batch_id))
    key, batch.file_key = batch.file_key, ""
    batch.file_name = f"list{PurePath(batch.file_name).suffix[:6]}"
    batch.look, batch.columns = {}, {}
    audit.note(Actor.portal(batch.organisation_id), "import.emptied", "import", batch_id)
    return key


@one_transaction
def _discard(batch_id: uuid.UUID, by: Actor) -> str:
    """Remove the list and its rows; a worker that holds it finds its fence gone, and stops."""
    found = db.session.get(ImportBatch, batch_id)
    if found is None:
        return ""
    key = found.file_key
    db.session.execute(delete(ImportRow).where(ImportRow.batch_id == batch_id))
    gone = db.session.execute(
        delete(ImportBatch)
        .where(ImportBatch.id == batch_id, ImportBatch.state.in_(UNCONFIRMED))
        .execution_options(synchronize_session=False)
    )
    if not gone.rowcount:
        raise Conflict(say("The people of this list are being added already, so it cannot be discarded any more."))
    audit.note(by, "import.discarded", "import", batch_id)
    db.session.expunge(found)
    return key


def _delete(keys: Sequence[str]) -> None:
    for key in keys:
        if key:
            files.store().delete(key)
