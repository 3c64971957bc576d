"""The file store: pieces put whole under a key, and read back as one long file."""

import io
import logging
import os
import secrets
import shutil
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO, Protocol

from flask import Flask, current_app

log = logging.getLogger(__name__)

COPY_BYTES = 1 << 20


class Store(Protocol):
    """Where files live. A key is absent or holds a whole file; keys look like `parts/<job>/<piece>`."""

    def put(self, key: str, source: Path, moved: Callable[[], None] = ...) -> None:
        """Move the file `source` under `key`, safe on disk when this returns.

        Calls `moved` now and then while bytes go, so that who holds a lease keeps it; what it raises ends the putting.
        """

    def open(self, key: str, length: int | None = None) -> BinaryIO:
        """Return the file for reading; FileNotFoundError when there is none.

        Whoever is sure of its `length` spares a remote store the question; what is amiss shows when it is read then.
        """

    def size(self, key: str) -> int:
        """Return its length in bytes; FileNotFoundError when there is none."""

    def age(self, key: str) -> float:
        """Return how many seconds ago the file was put; FileNotFoundError when there is none."""

    def delete(self, key: str) -> None:
        """Remove the file; nothing happens when there is none."""

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Yield every key that begins with `prefix`."""

    def tidy(self, older_than: float) -> None:
        """Remove what was begun and never put, if it is older than so many seconds."""

    def free_bytes(self) -> int | None:
        """Return the room that is left, None where there is no telling."""

    def problem(self) -> str:
        """Return a sentence that says why nothing can be stored now, soon and asked once; "" when all is well."""


@dataclass(frozen=True)
class Piece:
    """A stored file as a part of a longer one."""

    key: str
    length: int


class FolderStore:
    """Files in a folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with suppress(OSError):  # a share that is away hinders no start; `problem` says so
            _make_folder(folder)

    def put(self, key: str, source: Path, moved: Callable[[], None] = lambda: None) -> None:
        target = self._path(key)
        _make_folder(target.parent)
        draft = target.with_name(f".tmp-{secrets.token_hex(8)}")
        try:
            _move(source, draft, moved)
            _sync(draft)
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
        _sync(target.parent)

    def open(self, key: str, length: int | None = None) -> BinaryIO:
        return self._path(key).open("rb")

    def size(self, key: str) -> int:
        return self._path(key).stat().st_size

    def age(self, key: str) -> float:
        return time.time() - self._path(key).stat().st_mtime

    def delete(self, key: str) -> None:
        self._path(key).unlink(missing_ok=True)

    def keys(self, prefix: str = "") -> Iterator[str]:
        for path in _files_in(self.folder / prefix.rpartition("/")[0]):
            key = path.relative_to(self.folder).as_posix()
            if key.startswith(prefix) and not path.name.startswith(".tmp-"):
                yield key

    def tidy(self, older_than: float) -> None:
        for draft in self.folder.rglob(".tmp-*"):
            with suppress(FileNotFoundError):
                if time.time() - draft.stat().st_mtime > older_than:
                    draft.unlink()

    def free_bytes(self) -> int | None:
        try:
            return shutil.disk_usage(self.folder).free
        except OSError:  # a share that is away; `problem` says so, and pages about jobs go on
            return None

    def problem(self) -> str:
        if os.access(self.folder, os.W_OK | os.X_OK):
            return ""
        return f"The folder of files {self.folder} is not there or cannot be written: mount it, or mend its rights."

    def _path(self, key: str) -> Path:
        path = (self.folder / key).resolve()
        if not path.is_relative_to(self.folder.resolve()):
            raise ValueError(f"A key must stay inside the store: {key!r}")
        return path


def connect(app: Flask, url: str) -> Store:
    """Return the store at `url`: `file:///FOLDER` is a folder of this machine, `s3://BUCKET/PREFIX` a bucket.

    A store that is away is said in the log and hinders nobody: pages work without it, and work waits for it.
    """
    store: Store
    if url.startswith("s3://"):
        from app.s3 import S3Store

        store = S3Store(url)
    else:
        store = FolderStore(Path(url.removeprefix("file://")))
    if problem := store.problem():
        log.warning("%s Until then nothing can be made or downloaded.", problem)
    app.extensions["fieldcard-files"] = store
    return store


def store() -> Store:
    """Return the store of the running app."""
    return current_app.extensions["fieldcard-files"]


class JoinedPieces(io.RawIOBase):
    """A seekable reader over pieces in order, so that a download of gigabytes copies nothing and allows Range.

    Once it has begun, a piece that is not as long as recorded may be an OSError instead of an early end.
    """

    def __init__(self, files: Store, pieces: Sequence[Piece]) -> None:
        self.files = files
        self.pieces = [piece for piece in pieces if piece.length]
        self.ends = list(accumulate(piece.length for piece in self.pieces))
        self.length = self.ends[-1] if self.ends else 0
        self.position = 0
        self.current: tuple[int, BinaryIO] | None = None
        self.begun = False

    def begin(self) -> None:
        """Open the first piece, so that a store that is away is noticed before anything is answered.

        From then on the recorded lengths are believed, which spares a remote store one request for each piece.
        """
        if self.pieces:
            self._stream(0)
        self.begun = True

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self.position, os.SEEK_END: self.length}[whence]
        self.position = max(0, base + offset)
        return self.position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        number = bisect_right(self.ends, self.position)  # a large job has ten thousand pieces
        if number == len(self.pieces):
            return 0
        left = self.ends[number] - self.position
        inside = self.pieces[number].length - left
        stream = self._stream(number)
        stream.seek(inside)
        data = stream.read(min(len(buffer), left))
        buffer[: len(data)] = data
        self.position += len(data)
        return len(data)

    def close(self) -> None:
        if self.current:
            self.current[1].close()
            self.current = None
        super().close()

    def _stream(self, number: int) -> BinaryIO:
        if self.current is None or self.current[0] != number:
            if self.current:
                self.current[1].close()
            piece = self.pieces[number]
            self.current = (number, self.files.open(piece.key, piece.length if self.begun else None))
        return self.current[1]


def _make_folder(folder: Path) -> None:
    """Make the folder and those that lead to it, each safe on disk: its name is a line in the folder around it."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync(folder.parent)


def _files_in(folder: Path) -> Iterator[Path]:
    """Yield every file below, folder after folder in order of their names: only one folder's names are in memory."""
    try:
        paths = sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return
    for path in paths:
        if path.is_dir():
            yield from _files_in(path)
        elif path.is_file():
            yield path


def _move(source: Path, target: Path, moved: Callable[[], None]) -> None:
    """Rename within one file system, copy across two; `source` is gone either way."""
    try:
        source.replace(target)
    except OSError:
        with source.open("rb") as read, target.open("wb") as write:
            while block := read.read(COPY_BYTES):
                write.write(block)
                moved()
        source.unlink()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
