"""A grid of cells as every file format hands it to the reader, before anything is known of headers."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime

from app.sentences import Sentence

Cell = str | int | float | bool | date | datetime | None
NumberedRow = tuple[int, list[Cell]]


@dataclass(frozen=True)
class Grid:
    """One sheet: `rows()` starts over at each call and yields (spreadsheet row number, cells).

    Rows the person cannot see are left out already; hidden columns still stand in the cells and are named
    (counted from 0) in `hidden_columns`.
    """

    kind: str
    rows: Callable[[], Iterator[NumberedRow]]
    sheet: str | None = None
    sheets: tuple[str, ...] = ()
    encoding: str | None = None
    delimiter: str | None = None
    hidden_columns: frozenset[int] = frozenset()
    notes: tuple[Sentence, ...] = ()


@dataclass(frozen=True)
class Area:
    """A rectangle of cells, all four ends included, counted from 0."""

    top: int
    left: int
    bottom: int
    right: int


def fill_merged(rows: Iterable[NumberedRow], areas: Iterable[Area], width: int) -> Iterator[NumberedRow]:
    """Yield the rows with the value of each merged area in every cell that the area covers.

    Costs at most `width` per row, however many areas a hostile file piles on top of each other.
    """
    starting: dict[int, list[Area]] = {}
    for area in areas:
        starting.setdefault(area.top, []).append(area)

    open_columns: dict[int, tuple[int, Cell]] = {}  # column -> last row of the area over it, its value
    for number, cells in rows:
        row = number - 1
        for area in starting.get(row, ()):
            value = cells[area.left] if area.left < len(cells) else None
            for column in range(area.left, min(area.right + 1, width)):
                open_columns[column] = (area.bottom, value)
        for column, (last_row, value) in list(open_columns.items()):
            if row > last_row:
                del open_columns[column]
            else:
                cells += [None] * (column + 1 - len(cells))
                cells[column] = value
        yield number, cells
