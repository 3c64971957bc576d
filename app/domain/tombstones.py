"""Tombstones outside the database: a small file for each person who was erased. It holds ids and a moment, no name.

A restored backup knows nothing of what was erased after it was made; these files do, and `erasure.replay` reads them.
Whoever puts a backup back therefore leaves `tombstones/` in the file store as it is.
"""

import json
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

from app import files
from app.database import settings

FOLDER = "tombstones/"


def put(person_id: uuid.UUID) -> bool:
    """Keep that the person is to stay erased, safe on disk when this returns; False when that was so before."""
    if _is_there(person_id):
        return False
    home = settings().home / "work"
    home.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home) as folder:
        stone = Path(folder) / "stone"
        stone.write_text(json.dumps({"person": str(person_id)}) + "\n", "utf-8")
        files.store().put(_key(person_id), stone)
    return True


def drop(person_id: uuid.UUID) -> None:
    """Forget the tombstone of a person whose erasing was refused."""
    files.store().delete(_key(person_id))


def people() -> Iterator[uuid.UUID]:
    """Yield everybody who has a tombstone; what else lies in the folder is passed over."""
    for key in list(files.store().keys(FOLDER)):
        try:
            yield uuid.UUID(key.removeprefix(FOLDER))
        except ValueError:
            continue


def _key(person_id: uuid.UUID) -> str:
    return f"{FOLDER}{person_id}"


def _is_there(person_id: uuid.UUID) -> bool:
    try:
        return files.store().size(_key(person_id)) > 0
    except FileNotFoundError:
        return False
