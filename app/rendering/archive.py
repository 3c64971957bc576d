"""The ZIP of PNGs, written in pieces: runs of stored members by many workers, one directory at the end.

Format: APPNOTE.TXT of PKWARE, 4.3; ZIP64 where a number does not fit 32 bits.
"""

import hashlib
import os
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO

LOCAL = struct.Struct("<4s5H3I2H")
CENTRAL = struct.Struct("<4s6H3I5H2I")
END = struct.Struct("<4s4H2IH")
END64 = struct.Struct("<4sQ2H2I4Q")
LOCATOR64 = struct.Struct("<4sIQI")

VERSION, VERSION64 = 20, 45
UNIX = 3 << 8
READABLE = 0o100644 << 16  # external attributes: a plain file, rw-r--r--
STORED = 0
LARGEST = 0xFFFFFFFF
MOST = 0xFFFF
EXTRA64 = 0x0001


@dataclass(frozen=True)
class Member:
    """A PNG in a piece; `offset` is where its local header begins in the piece, `length` counts its bytes alone."""

    name: str
    offset: int
    length: int
    crc32: int
    sha256: str

    def to_json(self) -> dict[str, Any]:
        """Return plain values that `from_json` reads back."""
        return {
            "name": self.name,
            "offset": self.offset,
            "length": self.length,
            "crc32": self.crc32,
            "sha256": self.sha256,
        }

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> "Member":
        """Return the member that `to_json` wrote."""
        return cls(**plain)


class Run:
    """A piece of the ZIP being written: local headers and stored bytes, no directory."""

    def __init__(self, out: BinaryIO, made_at: datetime) -> None:
        self._out = out
        self._made_at = made_at
        self._length = 0

    def add(self, name: str, data: bytes) -> Member:
        """Return the member, written."""
        member = Member(name, self._length, len(data), zlib.crc32(data), hashlib.sha256(data).hexdigest())
        header = _local_header(member, self._made_at)
        self._out.write(header)
        self._out.write(data)
        self._length += len(header) + len(data)
        return member


def directory(members: Iterable[tuple[Member, int]], start: int, made_at: datetime) -> bytes:
    """Return the central directory that follows `start` bytes of pieces.

    `members` come in the order they shall be listed, each with the place of its piece in the whole ZIP.
    """
    entries = [_entry(member, piece + member.offset, made_at) for member, piece in members]
    listed = b"".join(entries)
    count, length = len(entries), len(listed)
    end = b""
    if count > MOST or start > LARGEST or length > LARGEST:
        end = END64.pack(b"PK\x06\x06", END64.size - 12, UNIX | VERSION64, VERSION64, 0, 0, count, count, length, start)
        end += LOCATOR64.pack(b"PK\x06\x07", 0, start + length, 1)
    end += END.pack(
        b"PK\x05\x06",
        0,
        0,
        min(count, MOST),
        min(count, MOST),
        min(length, LARGEST),
        min(start, LARGEST),
        0,
    )
    return listed + end


def count_members(stream: BinaryIO) -> int:
    """Return how many members the directory of a ZIP of ours counts; ValueError when there is no end of one.

    Reads the last bytes only: a ZIP of ours has no comment behind them.
    """
    stream.seek(-END.size, os.SEEK_END)
    end = END.unpack(stream.read(END.size))
    if end[0] != b"PK\x05\x06":
        raise ValueError("The ZIP has no end.")
    if end[4] < MOST:
        return end[4]
    stream.seek(-(END64.size + LOCATOR64.size + END.size), os.SEEK_END)
    return END64.unpack(stream.read(END64.size))[7]


def _local_header(member: Member, made_at: datetime) -> bytes:
    name = member.name.encode("ascii")
    sizes = member.crc32, member.length, member.length
    return LOCAL.pack(b"PK\x03\x04", VERSION, 0, STORED, *_dos(made_at), *sizes, len(name), 0) + name


def _entry(member: Member, offset: int, made_at: datetime) -> bytes:
    name = member.name.encode("ascii")
    extra = struct.pack("<2HQ", EXTRA64, 8, offset) if offset >= LARGEST else b""
    version = VERSION64 if extra else VERSION
    return (
        CENTRAL.pack(
            b"PK\x01\x02",
            UNIX | version,
            version,
            0,
            STORED,
            *_dos(made_at),
            member.crc32,
            member.length,
            member.length,
            len(name),
            len(extra),
            0,
            0,
            0,
            READABLE,
            min(offset, LARGEST),
        )
        + name
        + extra
    )


def _dos(moment: datetime) -> tuple[int, int]:
    """Return time and date as DOS counts them: two-second steps, years from 1980."""
    time = moment.hour << 11 | moment.minute << 5 | moment.second // 2
    date = max(moment.year - 1980, 0) << 9 | moment.month << 5 | moment.day
    return time, date
