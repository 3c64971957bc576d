"""Sweeping: files that no row knows any more, left by workers that died or by attempts that came too late."""

from collections.abc import Iterator
from datetime import timedelta

from sqlalchemy import select

from app import files
from app.database import db
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
    """Remove strays and return how many there were."""
    removed = 0
    for key in strays(older_than):
        files.store().delete(key)
        removed += 1
    return removed


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
