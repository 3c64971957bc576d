"""The archive inside a backup: a plain tar, written and read as a stream, and read with no trust at all.

`manifest.json` first, then each stored file once as `files/SHA-256`, `rows.db`, and `index.json`, which tells what
belongs together. Reading takes nothing but these names, once each and as plain files: no folders, links or sparse
files, and no way out of where they are unpacked.
"""

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass

from app.backup.streams import BLOCK, Readable
from app.domain.backups import Damaged
from app.sentences import say

MANIFEST, ROWS, INDEX = "manifest.json", "rows.db", "index.json"
FILE = re.compile(r"files/([0-9a-f]{64})")
RECORD = tarfile.BLOCKSIZE
END = bytes(2 * RECORD)


@dataclass
class Member:
    """A file in the archive, to be read once, in its turn."""

    name: str
    length: int
    stream: Readable

    def __post_init__(self) -> None:
        self.left = self.length

    @property
    def sha256(self) -> str | None:
        """The hash that a stored file's name promises."""
        found = FILE.fullmatch(self.name)
        return found[1] if found else None

    def blocks(self) -> Iterator[bytes]:
        """Yield the content."""
        while self.left:
            block = _exactly(self.stream, min(BLOCK, self.left))
            self.left -= len(block)
            yield block


def packed(name: str, length: int, blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield a file of the archive. Raises ValueError when the blocks are not as long as was said."""
    header = tarfile.TarInfo(name)
    header.size, header.mode = length, 0o600
    yield header.tobuf(tarfile.GNU_FORMAT)
    written = 0
    for block in blocks:
        written += len(block)
        yield block
    if written != length:
        raise ValueError(f"{name} was to have {length} bytes and has {written}.")
    yield bytes(-length % RECORD)


def members(stream: Readable, most: int) -> Iterator[Member]:
    """Yield the files of the archive in their order; `most` is how long one can be. Raises Damaged.

    What the caller leaves of one is passed over. After the last one the stream is read to its end, where its seal
    is proven.
    """
    seen: set[str] = set()
    while (header := _exactly(stream, RECORD)) != bytes(RECORD):
        member = _read(header, stream, most)
        if member.name in seen:
            raise Damaged(say("This backup holds %(name)s twice.", name=member.name))
        seen.add(member.name)
        yield member
        for _ in member.blocks():
            pass
        _exactly(stream, -member.length % RECORD)
    if _exactly(stream, RECORD) != bytes(RECORD) or stream.read(1):
        raise Damaged(say("Something follows after the end of this backup."))


def _read(header: bytes, stream: Readable, most: int) -> Member:
    try:
        info = tarfile.TarInfo.frombuf(header, "utf-8", "strict")
    except (tarfile.HeaderError, UnicodeDecodeError, ValueError):
        raise Damaged(say("This is no backup of Fieldcard, or it was changed since it was made.")) from None
    known = info.name in (MANIFEST, ROWS, INDEX) or FILE.fullmatch(info.name)
    if info.size > most:
        raise _cut_off()
    if info.type != tarfile.REGTYPE or not known or info.size < 0:
        raise Damaged(say("This backup holds something that Fieldcard never writes (%(name)s).", name=info.name[:80]))
    return Member(info.name, info.size, stream)


def _exactly(stream: Readable, size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise _cut_off()
    return data


def _cut_off() -> Damaged:
    return Damaged(say("This backup ends in the middle."))
