"""Restoring a backup: unpacked and proven in the data folder first, then files into the store, then all rows at once.

Killed before the rows' commit it leaves an empty installation, and files that the next restore writes again. Killed
after it, a mark in the rows says so, and the next restore finishes what is left.
"""

import fcntl
import hashlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app import files
from app.backup import archive, manifest, sealing
from app.backup.archive import Member
from app.backup.making import Moved
from app.backup.manifest import Index, Manifest
from app.backup.sealing import Opener
from app.backup.streams import Readable
from app.database import settings
from app.domain import backups, erasure, invariants
from app.domain.backups import Damaged
from app.domain.errors import Conflict, NoRoom
from app.domain.invariants import Breach
from app.sentences import say

SPARE = 256 << 20  # bytes that are left free beside what comes in
ROWS_GROW = 3  # in a database they have indexes, and lie in its log for a while


@dataclass(frozen=True)
class Restored:
    """What came in: the moment the rows are of, how many, the files, what the backup lacked, and what is wrong now."""

    taken_at: str
    rows: int
    files: int
    missing: tuple[str, ...]
    erased_again: int
    breaches: tuple[Breach, ...]


@dataclass(frozen=True)
class Unpacked:
    """A backup that lies open in a folder, every hash proven."""

    folder: Path
    index: Index

    @property
    def rows(self) -> Path:
        return self.folder / archive.ROWS

    def file(self, sha256: str) -> Path:
        """Return where the stored file of that content lies."""
        return self.folder / sha256


def restore(file: Path, by: Opener, moved: Moved = lambda done, of: None) -> Restored:
    """Bring the backup into this empty installation and return what came of it, everything checked.

    Raises Conflict when it does not belong here, CannotOpen and Damaged when it is not what was made, NoRoom; nothing
    is written then. `moved` is told the bytes that were unpacked, and how many there are.
    """
    with _nobody_else():
        if backups.is_unfinished():
            return _finished(Index("", "", {}, {}))
        backups.refuse_unless_empty()
        _refuse_without_room(file.stat().st_size)
        with _unpacked(file, by, moved) as unpacked:
            _refuse_without_room(unpacked.rows.stat().st_size * ROWS_GROW)
            keys = backups.bring_up_to_date(unpacked.rows)
            _refuse_incomplete(keys, unpacked.index)
            _put_files(unpacked)
            backups.load(unpacked.rows)
        return _finished(unpacked.index)


def _finished(index: Index) -> Restored:
    """Erase again who was erased since, and check everything that must always be true."""
    erased = erasure.replay()
    backups.finish()
    breaches = tuple(invariants.breaches())
    return Restored(index.taken_at, sum(index.rows.values()), len(index.files), index.missing, erased, breaches)


@contextmanager
def _unpacked(file: Path, by: Opener, moved: Moved) -> Iterator[Unpacked]:
    """Give the backup unpacked and proven; the folder is gone afterwards, and a sweep removes a killed one's."""
    work = settings().home / "work"
    work.mkdir(exist_ok=True)
    length = file.stat().st_size
    with tempfile.TemporaryDirectory(dir=work, prefix="restore-") as name:
        folder = Path(name)
        with file.open("rb") as sealed, sealing.opened(sealed, by) as stream:
            index = _unpack(stream, folder, length, lambda done: moved(done, length))
        yield Unpacked(folder, index)


def _unpack(stream: Readable, folder: Path, length: int, moved: Callable[[int], None]) -> Index:
    """Write every member into the folder and return the index, which is proven to tell of all of them."""
    index: Index | None = None
    unpacked: dict[str, int] = {}
    rows_sha256 = ""
    done = 0
    for number, member in enumerate(archive.members(stream, length)):
        if (member.name == archive.MANIFEST) != (number == 0):
            raise Damaged(say("This is no backup of Fieldcard, or it was changed since it was made."))
        if member.name == archive.MANIFEST:
            _read_manifest(member)
        elif member.name == archive.INDEX:
            index = manifest.read_index(_whole(member, manifest.LONGEST))
        elif member.name == archive.ROWS:
            rows_sha256 = _write(member, folder / archive.ROWS)
        else:
            if _write(member, folder / str(member.sha256)) != member.sha256:
                raise Damaged(say("The stored file %(name)s in this backup was changed.", name=member.name))
            unpacked[str(member.sha256)] = member.length
        done += member.length
        moved(done)
    if index is None or rows_sha256 != index.rows_sha256:
        raise Damaged(say("The rows in this backup are not those that were written."))
    for key, entry in index.files.items():
        if unpacked.get(entry.sha256) != entry.length:
            raise Damaged(say("The stored file %(key)s is not in this backup, although it says so.", key=key))
    return index


def _read_manifest(member: Member) -> Manifest:
    return manifest.read_manifest(_whole(member, manifest.LONGEST_MANIFEST))


def _whole(member: Member, most: int) -> bytes:
    if member.length > most:
        raise Damaged(say("What this backup tells of itself is too long to be true."))
    return b"".join(member.blocks())


def _write(member: Member, path: Path) -> str:
    """Write the member to the disk and return its SHA-256."""
    seen = hashlib.sha256()
    with path.open("xb") as out:
        for block in member.blocks():
            seen.update(block)
            out.write(block)
    return seen.hexdigest()


def _refuse_incomplete(keys: tuple[str, ...], index: Index) -> None:
    """A stored file that the rows name is in the backup, or was missing when it was made."""
    if lacking := set(keys) - index.files.keys() - set(index.missing):
        raise Damaged(
            say("The rows in this backup name the stored file %(key)s, which is not in it.", key=min(lacking))
        )


def _put_files(unpacked: Unpacked) -> None:
    """Put every file into the store; the last key of a content takes it, those before take copies."""
    left = Counter(entry.sha256 for entry in unpacked.index.files.values())
    for key, entry in unpacked.index.files.items():
        source = unpacked.file(entry.sha256)
        left[entry.sha256] -= 1
        if left[entry.sha256]:
            source = Path(shutil.copy(source, source.with_suffix(".copy")))
        files.store().put(key, source)


def _refuse_without_room(length: int) -> None:
    need = length + SPARE
    free = shutil.disk_usage(settings().home).free
    if need > free:
        raise NoRoom(
            say(
                "Restoring needs about %(need)s MB, but only %(free)s MB are free at %(folder)s. Nothing was written.",
                need=round(need / 1e6),
                free=round(free / 1e6),
                folder=settings().home,
            )
        )


@contextmanager
def _nobody_else() -> Iterator[None]:
    """Hold the data folder as `fieldcard serve` does, so that neither starts while the other runs."""
    with (settings().home / "supervisor.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(
                say("Fieldcard runs on %(folder)s: stop it, then restore.", folder=settings().home)
            ) from None
        yield
