"""Making a backup: rows and stored files into one sealed file, which is absent or whole under its name.

Stored files never change; what may happen while they are read is that one goes. Then its row has gone or changed too,
so a newer snapshot of the rows is taken and what it names besides is added. The rows come after the files in the
archive, so that nothing must be written again. What is missing although the newest rows name it was lost before: the
backup is made without it and says so.
"""

import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from app import files
from app.backup import archive, manifest, sealing
from app.backup.manifest import Entry, Index
from app.backup.sealing import Seal
from app.backup.streams import Pulled, blocks
from app.database import settings
from app.domain import backups, tombstones
from app.domain.backups import Snapshot
from app.domain.errors import Conflict, NoRoom
from app.sentences import say

SNAPSHOTS = 10
PAUSE = 1.0  # seconds
SPARE = 64 << 20  # bytes that are left free beside the backup
Moved = Callable[[int, int], None]  # bytes so far, and about how many there will be


@dataclass(frozen=True)
class Made:
    """A backup that lies whole under its name."""

    file: Path
    length: int
    taken_at: datetime
    rows: int
    files: int
    missing: tuple[str, ...]


@dataclass
class Packing:
    """What has been packed so far."""

    folder: Path
    entries: dict[str, Entry] = field(default_factory=dict)
    packed: set[str] = field(default_factory=set)
    snapshots: list[Snapshot] = field(default_factory=list)
    missing: tuple[str, ...] = ()


def make(target: Path, by: Seal, moved: Moved = lambda done, of: None) -> Made:
    """Write the backup, keep its moment for those who watch, and return what it holds.

    Raises Conflict when there is something under that name, NoRoom before anything is written.
    """
    with _draft(target) as out, _folder() as folder:
        packing = Packing(folder)
        first = _snapshot(packing)
        expected = _expected(first, target)
        done = 0

        def count(taken: int) -> None:
            nonlocal done
            done += taken
            moved(done, max(done, expected))

        sealing.seal(Pulled(_parts(packing), count), out, by)
    last = packing.snapshots[-1]
    backups.note_made(last.taken_at)
    rows = sum(last.rows.values())
    return Made(target, target.stat().st_size, last.taken_at, rows, len(packing.entries), packing.missing)


def _parts(packing: Packing) -> Iterator[bytes]:
    """Yield the archive."""
    yield from _plain(archive.MANIFEST, manifest.to_json(manifest.of_this_installation()))
    yield from _all_files(packing)
    rows = packing.snapshots[-1]
    with rows.file.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        stream.seek(0)
        yield from archive.packed(archive.ROWS, rows.file.stat().st_size, blocks(stream))
    index = Index(rows.taken_at.isoformat(), sha256, rows.rows, packing.entries, packing.missing)
    yield from _plain(archive.INDEX, manifest.to_json(index))
    yield archive.END


def _all_files(packing: Packing) -> Iterator[bytes]:
    """Yield every stored file that the newest rows name, and every tombstone that lies in the store by then."""
    while True:
        newest = packing.snapshots[-1]
        gone = []
        for key in newest.keys:
            if not (yield from _file(packing, key)):
                gone.append(key)
        known_lost = packing.missing == tuple(gone) and len(packing.snapshots) > 1
        packing.missing = tuple(gone)
        if not gone or known_lost or len(packing.snapshots) == SNAPSHOTS:
            break
        time.sleep(PAUSE)  # whoever removes a file may not have saved that yet
        _snapshot(packing)
    for key in list(files.store().keys(tombstones.FOLDER)):
        yield from _file(packing, key)
    named = {*newest.keys, *(key for key in packing.entries if key.startswith(tombstones.FOLDER))}
    packing.entries = {key: entry for key, entry in packing.entries.items() if key in named}


def _file(packing: Packing, key: str) -> Iterator[bytes]:
    """Yield the stored file unless its content is packed already; the iterator's value is whether it was there.

    It is read twice, for its hash and for its content, from one opening: who removes it meanwhile does not matter.
    """
    if key in packing.entries:
        return True
    try:
        stream = files.store().open(key)
    except FileNotFoundError:
        return False
    with stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        entry = Entry(sha256, stream.tell())
        if sha256 not in packing.packed:
            stream.seek(0)
            yield from archive.packed(f"files/{sha256}", entry.length, blocks(stream))
    packing.packed.add(sha256)
    packing.entries[key] = entry
    return True


def _plain(name: str, data: bytes) -> Iterator[bytes]:
    yield from archive.packed(name, len(data), iter([data]))


def _snapshot(packing: Packing) -> Snapshot:
    """Take a snapshot; the one before it is not needed any more."""
    for older in packing.snapshots:
        older.file.unlink(missing_ok=True)
    packing.snapshots.append(backups.snapshot(packing.folder / f"rows{len(packing.snapshots)}.db"))
    return packing.snapshots[-1]


def _expected(snapshot: Snapshot, target: Path) -> int:
    """Return about how long the backup will be. Raises NoRoom with both figures when the disk cannot hold it."""
    expected = snapshot.file.stat().st_size + sum(_size(key) for key in snapshot.keys)
    free = shutil.disk_usage(target.parent).free
    if expected + SPARE > free:
        raise NoRoom(
            say(
                "The backup needs about %(need)s MB, but only %(free)s MB are free at %(folder)s. "
                "Make room or choose another place.",
                need=round((expected + SPARE) / 1e6),
                free=round(free / 1e6),
                folder=target.parent,
            )
        )
    return expected


def _size(key: str) -> int:
    try:
        return files.store().size(key)
    except FileNotFoundError:
        return 0


@contextmanager
def _folder() -> Iterator[Path]:
    """Give a folder for the rows that nobody else may read; a sweep removes what a killed backup left there."""
    work = settings().home / "work"
    work.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=work, prefix="backup-") as folder:
        yield Path(folder)


@contextmanager
def _draft(target: Path) -> Iterator[BinaryIO]:
    """Give a file that becomes `target` at the end, and is gone if anything fails.

    Between the last look and the renaming another program could still make a file of that name; another backup
    could not, because it waits for the draft.
    """
    if not target.parent.is_dir():
        raise Conflict(say("There is no folder %(folder)s: make it first.", folder=target.parent))
    _refuse_taken(target)
    part = target.with_name(target.name + ".part")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as out:
        try:
            fcntl.flock(out, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(say("Another backup is being written to %(file)s.", file=target)) from None
        try:
            os.fchmod(handle, 0o600)
            out.truncate(0)  # what a killed backup left
            yield out
            out.flush()
            os.fsync(handle)
            _refuse_taken(target)
            part.replace(target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _refuse_taken(target: Path) -> None:
    if target.exists():
        raise Conflict(say("%(file)s is there already, and a backup is never overwritten.", file=target))
