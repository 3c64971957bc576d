"""Sweeping: files that no row knows any more, left by workers that died or by attempts that came too late."""

import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from itertools import groupby

from sqlalchemy import ColumnElement, select

from app import files
from app.database import db, settings
from app.domain import tombstones
from app.domain.bulk import batches
from app.domain.leases import Checkpoint
from app.models import FINISHED, Artifact, Chunk, ImportBatch, Job

GRACE = timedelta(days=1)
KEYS_AT_ONCE = 500


def strays(older_than: timedelta = GRACE, checkpoint: Checkpoint = lambda: None) -> Iterator[str]:
    """Yield the keys of stored files that belong to nothing and were put before `older_than` ago.

    `checkpoint` is passed at each file, for a large store takes longer to look through than a lease lasts.
    Younger ones may belong to a chunk that is about to be settled; so may all of a job that has not ended, whatever
    the clock says, which may just have been set. A tombstone needs no row, it outlives them all.
    """
    store = files.store()
    for key in _unknown(store.keys(), checkpoint):
        if _age(store, key) > older_than.total_seconds():
            yield key


def sweep(checkpoint: Checkpoint = lambda: None, *, older_than: timedelta = GRACE) -> int:
    """Remove strays, drafts and forgotten work folders, and return how many strays there were.

    `checkpoint` is passed at each step; what it raises ends the sweep, and the next one goes on.
    """
    removed = 0
    files.store().tidy(older_than.total_seconds())
    checkpoint()
    _empty_workshop(older_than)
    for key in strays(older_than, checkpoint):
        files.store().delete(key)
        removed += 1
    return removed


def _empty_workshop(older_than: timedelta) -> None:
    """Remove the folders of workers that were killed in the middle of their work."""
    oldest = time.time() - older_than.total_seconds()
    for folder in (settings().home / "work").glob("*"):
        with suppress(FileNotFoundError):
            if folder.stat().st_mtime < oldest:
                shutil.rmtree(folder) if folder.is_dir() else folder.unlink()


def known_keys() -> set[str]:
    """Return the keys of all stored files that a row names, all at once, as a backup lists them."""
    lists = db.session.scalars(select(ImportBatch.file_key))
    return {*_named_by_artifacts(), *_named_by_chunks(), *lists}


def _unknown(stored: Iterable[str], checkpoint: Checkpoint) -> Iterator[str]:
    """Yield those of the `stored` keys that no row names and no live job may need.

    A store gives the keys of a job one after another; the rows of one job at a time are as many as memory is given to.
    """
    for job, keys in groupby(stored, _job_of):
        for some in [keys] if job else batches(keys, KEYS_AT_ONCE):
            known = _known_of(job) if job else _known_among(some)
            for key in some:
                checkpoint()
                if known is not None and key not in known and not key.startswith(tombstones.FOLDER):
                    yield key


def _known_of(job: str) -> set[str] | None:
    """Return the keys that rows of the job name; None when it has not ended, for it may need any."""
    try:
        job_id = uuid.UUID(job)
    except ValueError:
        return set()
    db.session.rollback()  # as it is now, and nobody shall keep one view of the database while a large store is read
    # First: of a job that ends in between the files are known.
    if db.session.scalar(select(Job.id).where(Job.id == job_id, Job.state.not_in(FINISHED))):
        return None
    known = set(_named_by_artifacts(Artifact.job_id == job_id)) | set(_named_by_chunks(Chunk.job_id == job_id))
    db.session.rollback()
    return known


def _known_among(some: Sequence[str]) -> set[str]:
    """Return which of the keys are lists that a row names."""
    db.session.rollback()
    known = set(db.session.scalars(select(ImportBatch.file_key).where(ImportBatch.file_key.in_(some))))
    db.session.rollback()
    return known


def _named_by_artifacts(*which: ColumnElement[bool]) -> Iterator[str]:
    for pieces in db.session.scalars(select(Artifact.pieces).where(*which)):
        yield from (piece["key"] for piece in pieces)


def _named_by_chunks(*which: ColumnElement[bool]) -> Iterator[str]:
    for pieces in db.session.scalars(select(Chunk.pieces).where(Chunk.pieces.is_not(None), *which)):
        yield from (pieces["zip_key"], pieces["pages_key"])


def _job_of(key: str) -> str:
    """Return the id in `parts/<job>/…` and `jobs/<job>/…`, "" for what belongs to no job."""
    folder, _, rest = key.partition("/")
    return rest.partition("/")[0] if folder in ("parts", "jobs") else ""


def _age(store: files.Store, key: str) -> float:
    try:
        return store.age(key)
    except FileNotFoundError:
        return 0.0
