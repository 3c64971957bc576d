"""What an old XLS file says and calamine does not: hidden rows and columns, merged areas, formulas, true size.

Formats: [MS-CFB] for the container, [MS-XLS] (BIFF) for the records; nothing is read but positions and flags.
Whatever calamine takes memory for on the word of the file (counts, sizes, dimensions, chains) is compared with the file
first: Rust ends the whole process when it is promised a terabyte.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

from app.intake.archive import DAMAGED, PASSWORD
from app.intake.errors import Unreadable
from app.intake.grid import Area
from app.intake.outline import MERGED_AT_MOST, Outline
from app.sentences import N_, say

RECORDS_AT_MOST = 4_000_000  # a full sheet of 65,536 rows and 40 columns has 2.6 million

_NO_WORKBOOK = N_("This file is not a spreadsheet. Choose an Excel workbook (.xlsx), an .ods file or a .csv file.")

# Record types, [MS-XLS] 2.3.
_BOF, _EOF, _BOUNDSHEET, _FILEPASS = 0x809, 0x0A, 0x85, 0x2F
_ROW, _COLINFO, _MERGED, _FORMULA, _MULRK = 0x208, 0x7D, 0xE5, 0x06, 0xBD
_DIMENSIONS, _STRINGS = 0x200, 0xFC
_CELLS = frozenset({0x203, 0x204, 0x205, 0x27E, 0xFD, 0xD6, _FORMULA, _MULRK})


def outline_xls(path: Path) -> list[Outline]:
    """Return the outline of every sheet in the order of the workbook; raise Unreadable (password, damage)."""
    try:
        container = _Container(path.read_bytes())
        if "EncryptedPackage" in container.entries:  # a newer workbook with a password hides in this container
            raise Unreadable(say(PASSWORD))
        stream = container.stream("Workbook" if "Workbook" in container.entries else "Book")
        if not stream:
            raise Unreadable(say(_NO_WORKBOOK))
        return _outlines(stream)
    except (struct.error, IndexError, ValueError):
        raise Unreadable(say(DAMAGED)) from None


def _outlines(stream: bytes) -> list[Outline]:
    positions = []
    for kind, body in _records(stream, 0):
        if kind == _FILEPASS:
            raise Unreadable(say(PASSWORD))
        if kind == _BOUNDSHEET:
            positions.append(struct.unpack_from("<I", body)[0])
        if kind == _STRINGS and struct.unpack_from("<I", body, 4)[0] * 3 > len(stream):
            raise ValueError("more strings than the file has room for")

    outlines = []
    left = RECORDS_AT_MOST
    for position in positions:
        outline = Outline()
        for kind, body in _records(stream, position):
            left -= 1
            _read_record(outline, kind, body)
            if left == 0:
                raise Unreadable(say(DAMAGED))
        outlines.append(outline)
    return outlines


def _records(stream: bytes, position: int) -> Iterator[tuple[int, bytes]]:
    """Yield (type, body) from the BOF at the position to its EOF, with the charts that stand inside a sheet."""
    depth = 0
    while position + 4 <= len(stream):
        kind, length = struct.unpack_from("<HH", stream, position)
        body = stream[position + 4 : position + 4 + length]
        position += 4 + length
        depth += (kind == _BOF) - (kind == _EOF)
        if kind == _EOF and depth <= 0:
            return
        yield kind, body


def _read_record(outline: Outline, kind: int, body: bytes) -> None:
    if kind in _CELLS:
        row, column = struct.unpack_from("<HH", body)
        if kind == _MULRK:
            column = struct.unpack_from("<H", body, len(body) - 2)[0]
        outline.formulas += kind == _FORMULA
        outline.height = max(outline.height, row + 1)
        outline.width = max(outline.width, column + 1)
    elif kind == _ROW:
        if struct.unpack_from("<H", body, 12)[0] & 0x20:
            outline.hidden_rows.add(struct.unpack_from("<H", body)[0])
    elif kind == _COLINFO:
        first, last, _, _, flags = struct.unpack_from("<HHHHH", body)
        if flags & 1:
            outline.hidden_columns.update(range(first, min(last, 255) + 1))
    elif kind == _DIMENSIONS:
        first_row, last_row, first_column, last_column = struct.unpack_from(
            "<IIHH" if len(body) == 14 else "<HHHH", body
        )
        if not (first_row <= max(last_row, 1) <= 65_536 and first_column <= max(last_column, 1) <= 256):
            raise ValueError("no sheet has these dimensions")
    elif kind == _MERGED:
        for number in range(struct.unpack_from("<H", body)[0]):
            top, bottom, left, right = struct.unpack_from("<HHHH", body, 2 + 8 * number)
            if len(outline.merged) == MERGED_AT_MOST:
                raise Unreadable(say(DAMAGED))
            outline.merged.append(Area(top, left, bottom, right))


class _Container:
    """A compound file: named streams cut into sectors that are chained by a table."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.sector = {9: 512, 12: 4096}.get(struct.unpack_from("<H", data, 30)[0], 0)
        if not self.sector or max(struct.unpack_from("<II16xI4xI", data, 40)) * self.sector > len(data):
            raise ValueError("the header counts more sectors than there are")
        directory, mini_table = struct.unpack_from("<I8xI", data, 48)
        self.table = self._read_table()
        self.mini_table = _numbers(self._chain(mini_table))
        self.entries: dict[str, tuple[int, int]] = {}
        for name, place in self._read_entries(self._chain(directory)):
            self.entries.setdefault(name, place)  # of two streams with one name, calamine takes the first as well
        start, _ = self.entries.get("Root Entry", (_END_OF_CHAIN, 0))
        self.mini_stream = self._chain(start)

    def stream(self, name: str) -> bytes:
        """Return the stream's bytes; empty when there is none of that name."""
        start, size = self.entries.get(name, (_END_OF_CHAIN, 0))
        if size < 4096:
            pieces = _follow(start, self.mini_table)
            if any(piece * 64 >= len(self.mini_stream) for piece in pieces):
                raise ValueError("a small sector beyond the end of its stream")
            return b"".join(self.mini_stream[piece * 64 : piece * 64 + 64] for piece in pieces)[:size]
        return self._chain(start)[:size]

    def _read_table(self) -> list[int]:
        """Return the sector allocation table, found through the list in the header and its continuation."""
        places = _numbers(self.data[76:512])
        following = struct.unpack_from("<I", self.data, 68)[0]
        while following not in (_END_OF_CHAIN, _FREE):
            *more, following = _numbers(self._sector(following))
            places += more
            if len(places) * 4 > len(self.data) + 512:
                raise ValueError("more tables than the file has room for")
        used = [place for place in places if place != _FREE]
        if len(used) * self.sector > len(self.data):
            raise ValueError("more tables than the file has room for")
        return _numbers(b"".join(map(self._sector, used)))

    def _read_entries(self, directory: bytes) -> Iterator[tuple[str, tuple[int, int]]]:
        for at in range(0, len(directory) - 127, 128):
            name = directory[at : at + 64].decode("utf-16-le", "replace").partition("\0")[0]
            start, size = struct.unpack_from("<IQ", directory, at + 116)
            if self.sector == 512:
                size &= 0xFFFFFFFF  # the upper half means nothing in these
            if size > len(self.data):
                raise ValueError("a stream longer than the file")
            yield name, (start, size)

    def _chain(self, start: int) -> bytes:
        return b"".join(map(self._sector, _follow(start, self.table)))

    def _sector(self, number: int) -> bytes:
        start = (number + 1) * self.sector  # the header fills the first sector
        if start >= len(self.data):
            raise ValueError("a sector beyond the end of the file")
        return self.data[start : start + self.sector]


_END_OF_CHAIN, _FREE = 0xFFFFFFFE, 0xFFFFFFFF  # instead of a sector's number


def _follow(start: int, table: list[int]) -> list[int]:
    """Return the chain of sectors; a chain longer than its table runs in a circle."""
    chain = []
    while start != _END_OF_CHAIN:
        chain.append(start)
        start = table[start]
        if len(chain) > len(table):
            raise ValueError("a chain of sectors runs in a circle")
    return chain


def _numbers(block: bytes) -> list[int]:
    return list(struct.unpack(f"<{len(block) // 4}I", block[: len(block) // 4 * 4]))
