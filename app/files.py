"""The file store: pieces put whole under a key, and read back as one long file."""

import io
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from flask import Flask, current_app

COPY_BYTES = 1 << 20


class Store(Protocol):
    """Where files live. A key is absent or holds a whole file; keys look like `parts/<job>/<piece>`."""

    def put(self, key: str, source: Path) -> None:
        """Move the file `source` under `key`, safe on disk when this returns."""

    def open(self, key: str) -> BinaryIO:
        """Return the file for reading; FileNotFoundError when there is none."""

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


@dataclass(frozen=True)
class Piece:
    """A stored file as a part of a longer one."""

    key: str
    length: int


class FolderStore:
    """Files in a folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def put(self, key: str, source: Path) -> None:
        target = self._path(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".tmp-{secrets.token_hex(8)}")
        try:
            _move(source, draft)
            _sync(draft)
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
        _sync(target.parent)

    def open(self, key: str) -> BinaryIO:
        return self._path(key).open("rb")

    def size(self, key: str) -> int:
        return self._path(key).stat().st_size

    def age(self, key: str) -> float:
        return time.time() - self._path(key).stat().st_mtime

    def delete(self, key: str) -> None:
        self._path(key).unlink(missing_ok=True)

    def keys(self, prefix: str = "") -> Iterator[str]:
        for path in sorted(self.folder.rglob("*")):
            key = path.relative_to(self.folder).as_posix()
            if path.is_file() and key.startswith(prefix) and not path.name.startswith(".tmp-"):
                yield key

    def tidy(self, older_than: float) -> None:
        for draft in self.folder.rglob(".tmp-*"):
            with suppress(FileNotFoundError):
                if time.time() - draft.stat().st_mtime > older_than:
                    draft.unlink()

    def free_bytes(self) -> int | None:
        return shutil.disk_usage(self.folder).free

    def _path(self, key: str) -> Path:
        path = (self.folder / key).resolve()
        if not path.is_relative_to(self.folder.resolve()):
            raise ValueError(f"A key must stay inside the store: {key!r}")
        return path


def connect(app: Flask, url: str) -> Store:
    """Return the store at `url`; `file:///FOLDER` is a folder of this machine."""
    store = FolderStore(Path(url.removeprefix("file://")))
    app.extensions["fieldcard-files"] = store
    return store


def store() -> Store:
    """Return the store of the running app."""
    return current_app.extensions["fieldcard-files"]


class JoinedPieces(io.RawIOBase):
    """A seekable reader over pieces in order, so that a download of gigabytes copies nothing and allows Range."""

    def __init__(self, files: Store, pieces: Sequence[Piece]) -> None:
        self.files = files
        self.pieces = [piece for piece in pieces if piece.length]
        self.length = sum(piece.length for piece in pieces)
        self.position = 0
        self.current: tuple[int, BinaryIO] | None = None

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
        start = 0
        for number, piece in enumerate(self.pieces):
            inside = self.position - start
            if 0 <= inside < piece.length:
                stream = self._stream(number)
                stream.seek(inside)
                data = stream.read(min(len(buffer), piece.length - inside))
                buffer[: len(data)] = data
                self.position += len(data)
                return len(data)
            start += piece.length
        return 0

    def close(self) -> None:
        if self.current:
            self.current[1].close()
            self.current = None
        super().close()

    def _stream(self, number: int) -> BinaryIO:
        if self.current is None or self.current[0] != number:
            if self.current:
                self.current[1].close()
            self.current = (number, self.files.open(self.pieces[number].key))
        return self.current[1]


def _move(source: Path, target: Path) -> None:
    """Rename within one file system, copy across two; `source` is gone either way."""
    try:
        source.replace(target)
    except OSError:
        with source.open("rb") as read, target.open("wb") as write:
            shutil.copyfileobj(read, write, COPY_BYTES)
        source.unlink()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
