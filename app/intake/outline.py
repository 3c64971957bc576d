"""What a sheet's XML says and calamine does not: hidden rows and columns, merged areas, formulas, true size.

One pass of expat over the sheet, before calamine lays the cells out in memory: a sheet of two cells a million
rows apart would otherwise take gigabytes. Formats: ECMA-376 part 1, 18.3 (XLSX); OpenDocument 1.3 part 3, 9 (ODS).
"""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import IO
from xml.parsers import expat

from app.intake.archive import DAMAGED, FOREIGN_XML
from app.intake.errors import Unreadable
from app.intake.grid import Area
from app.sentences import say

ROWS_AT_MOST, COLUMNS_AT_MOST = 1_048_576, 16_384  # of an XLSX or ODS sheet
MERGED_AT_MOST = 20_000
REFERENCES_AT_MOST = 20_000_000  # to shared strings: every cell may hold one

Attributes = dict[str, str]


@dataclass
class Outline:
    """The shape of one sheet; rows and columns counted from 0, `height` and `width` up to the last value."""

    hidden_rows: set[int] = field(default_factory=set)
    hidden_columns: set[int] = field(default_factory=set)
    merged: list[Area] = field(default_factory=list)
    formulas: int = 0
    height: int = 0
    width: int = 0


def outline_xlsx(sheet: IO[bytes]) -> Outline:
    """Return the outline of one worksheet part of an XLSX file; raise Unreadable for XML nobody should write."""
    reader = _XlsxOutline()
    _parse(sheet, reader.start)
    return reader.outline


def outline_ods(content: IO[bytes]) -> list[Outline]:
    """Return the outline of every sheet in an ODS file's content.xml, in their order."""
    reader = _OdsOutline()
    _parse(content, reader.start, reader.end)
    return reader.sheets


def check_counts(part: IO[bytes], size: int) -> None:
    """Raise Unreadable when a part of `size` bytes claims more strings or styles than it can hold.

    calamine takes memory for them on the word of the file, and Rust ends the whole process when there is none.
    """

    def start(_: str, attributes: Attributes) -> None:
        if int(attributes.get("uniqueCount", "0")) > size or int(attributes.get("count", "0")) > REFERENCES_AT_MOST:
            raise ValueError("the part is too small for what it claims")

    _parse(part, start)


def _parse(source: IO[bytes], start, end=None) -> None:
    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.StartDoctypeDeclHandler = _refuse_doctype  # no document type, so no entities: no bombs, no reading of files
    try:
        parser.ParseFile(source)
    except (expat.ExpatError, ValueError, OverflowError, LookupError):
        raise Unreadable(say(DAMAGED)) from None


def _refuse_doctype(*_: object) -> None:
    raise Unreadable(say(FOREIGN_XML))


@lru_cache(256)
def _local(name: str) -> str:
    return name.rpartition(":")[2]


@lru_cache(20_000)
def _column_number(letters: str) -> int:
    """Return the column's number from 0; letters "A" to "XFD"."""
    if not letters.isascii() or not letters.isalpha() or len(letters) > 3:
        raise ValueError(letters)
    number = 0
    for letter in letters.upper():
        number = number * 26 + ord(letter) - 64
    return number - 1


def _cell_position(reference: str) -> tuple[int, int]:
    """Return (row, column) from 0 of a reference such as "B7" or "$B$7"."""
    reference = reference.replace("$", "")
    letters = reference.rstrip("0123456789")
    return int(reference[len(letters) :]) - 1, _column_number(letters)


class _XlsxOutline:
    """Listens to the elements of a worksheet part."""

    def __init__(self) -> None:
        self.outline = Outline()
        self.row = self.column = -1

    def start(self, name: str, attributes: Attributes) -> None:
        element = _local(name)
        if element == "c":
            if reference := attributes.get("r"):
                self.row, self.column = _cell_position(reference)
            else:
                self.column += 1
        elif element in ("v", "is"):
            outline = self.outline
            if self.row >= outline.height:
                outline.height = self.row + 1
            if self.column >= outline.width:
                outline.width = self.column + 1
        elif element == "row":
            self.row = int(attributes["r"]) - 1 if "r" in attributes else self.row + 1
            self.column = -1
            if not 0 <= self.row < ROWS_AT_MOST:
                raise ValueError("no sheet has such a row")
            if attributes.get("hidden") in ("1", "true"):
                self.outline.hidden_rows.add(self.row)
        elif element == "f":
            self.outline.formulas += 1
        elif element == "col" and attributes.get("hidden") in ("1", "true"):
            first, last = int(attributes["min"]) - 1, int(attributes["max"])
            self.outline.hidden_columns.update(range(max(first, 0), min(last, COLUMNS_AT_MOST)))
        elif element == "mergeCell":
            self._merge(attributes["ref"])

    def _merge(self, reference: str) -> None:
        first, _, last = reference.partition(":")
        top, left = _cell_position(first)
        bottom, right = _cell_position(last or first)
        if len(self.outline.merged) == MERGED_AT_MOST:
            raise Unreadable(say(DAMAGED))
        self.outline.merged.append(Area(top, left, bottom, right))


class _OdsOutline:
    """Listens to the elements of content.xml; repeated rows and columns are counted, never laid out."""

    def __init__(self) -> None:
        self.sheets: list[Outline] = []
        self.outline = Outline()
        self.row = self.column = self.columns_declared = 0
        self.row_times = self.cell_times = 1

    def start(self, name: str, attributes: Attributes) -> None:
        if name == "table:table-cell":
            self._cell(attributes)
        elif name == "text:p":
            self._value()
        elif name == "table:covered-table-cell":
            self.cell_times = _times(attributes, "table:number-columns-repeated")
            self.column += self.cell_times
        elif name == "table:table-row":
            self._row(attributes)
        elif name == "table:table-column":
            self._column(attributes)
        elif name == "table:table":
            self.outline = Outline()
            self.sheets.append(self.outline)
            self.row = self.columns_declared = 0

    def end(self, name: str) -> None:
        if name == "table:table-row":
            self.row += self.row_times

    def _cell(self, attributes: Attributes) -> None:
        self.cell_times = _times(attributes, "table:number-columns-repeated")
        left, top = self.column, self.row
        self.column += self.cell_times
        self.outline.formulas += "table:formula" in attributes
        if any(name.endswith(":value-type") for name in attributes):
            self._value()
        rows = _times(attributes, "table:number-rows-spanned")
        columns = _times(attributes, "table:number-columns-spanned")
        if rows * columns > 1:
            if len(self.outline.merged) == MERGED_AT_MOST:
                raise Unreadable(say(DAMAGED))
            self.outline.merged.append(Area(top, left, top + rows - 1, left + columns - 1))

    def _value(self) -> None:
        """Note that the cell just opened holds something."""
        self.outline.height = max(self.outline.height, self.row + self.row_times)
        self.outline.width = max(self.outline.width, self.column)

    def _row(self, attributes: Attributes) -> None:
        self.row_times = _times(attributes, "table:number-rows-repeated")
        self.column = 0
        if attributes.get("table:visibility") in ("collapse", "filter"):
            self.outline.hidden_rows.update(range(self.row, min(self.row + self.row_times, ROWS_AT_MOST)))

    def _column(self, attributes: Attributes) -> None:
        first, times = self.columns_declared, _times(attributes, "table:number-columns-repeated")
        self.columns_declared += times
        if attributes.get("table:visibility") in ("collapse", "filter"):
            self.outline.hidden_columns.update(range(first, min(first + times, COLUMNS_AT_MOST)))


def _times(attributes: Attributes, name: str) -> int:
    return max(int(attributes.get(name, "1")), 1)
