"""Sweeping: files that no row knows any more, left by workers that died or by attempts that came too late."""

import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta

from sqlalchemy import select

from app import files
from app.database import db, settings
from app.models import Artifact, Chunk, ImportBatch

GRACE = timedelta(days=1)


def strays(older_than: timedelta = GRACE) -> Iterator[str]:
    """Yield the keys of stored files that belong to nothing and were put before `older_than` ago.

    Younger ones may belong to a chunk that is about to be settled.
    """
    known = _known_keys()
    store = files.store()
    stored = store.keys()
    for key in stored:
        if key not in known and _age(store, key) > older_than.total_seconds():
            yield key


def sweep(older_than: timedelta = GRACE) -> int:
    """Remove strays, drafts and forgotten work folders, and return how many strays there were."""
    removed = 0
    files.store().tidy(older_than.total_seconds())
    _empty_workshop(older_than)
    for key in strays(older_than):
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


def _known_keys() -> set[str]:
    known: set[str] = set()
    for pieces in db.session.scalars(select(Artifact.pieces)):
        known.update(piece["key"] for piece in pieces)
    for pieces in db.session.scalars(select(Chunk.pieces).where(Chunk.pieces.is_not(None))):
        known.update((pieces["zip_key"], pieces["pages_key"]))
    known.update(db.session.scalars(select(ImportBatch.file_key)))
    return known


def _age(store: files.Store, key: str) -> float:
    try:
        return store.age(key)
    except FileNotFoundError:
        return 0.0
