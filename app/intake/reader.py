"""A file -> a table: kind told by content, column names found, rows streamed with the spreadsheet's own row numbers."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import takewhile
from pathlib import Path

from openpyxl.utils import get_column_letter

from app.intake.errors import Unreadable
from app.intake.grid import Cell, Grid
from app.intake.guard import unguard
from app.intake.headers import count_known
from app.intake.text import open_text
from app.intake.values import TEXT_LENGTH, printable, shown
from app.intake.workbook import open_binary, open_zipped
from app.sentences import Sentence, say, say_n

MAX_BYTES = 10 * 1024 * 1024
MAX_ROWS = 100_000
MAX_COLUMNS = 500
HEADER_SEARCH = 50  # rows looked at for the column names; titles stand above them

Row = tuple[int, tuple[Cell, ...]]


@dataclass(frozen=True)
class Table:
    """A readable table. `columns` are the column names, unique; `notes` say what was decided or left out.

    `unnamed` columns have no name in the file and carry the spreadsheet's letter instead; `overflow` columns stand
    to the right of all names and are mostly empty: what stands there has slipped out of its column.
    """

    file_name: str
    kind: str
    sheet: str | None
    sheets: tuple[str, ...]
    encoding: str | None
    delimiter: str | None
    header_row: int
    columns: tuple[str, ...]
    unnamed: frozenset[int]
    overflow: frozenset[int]
    row_count: int
    notes: tuple[Sentence, ...]
    grid: Grid
    positions: tuple[int, ...]  # where each column stands in the grid
    header_cells: tuple[Cell, ...]

    def rows(self) -> Iterator[Row]:
        """Yield (spreadsheet row number, cells) for every row that is not blank; starts over at each call."""
        for number, cells in self.grid.rows():
            if number <= self.header_row:
                continue
            width = len(cells)
            chosen = tuple([_plain(cells[at]) if at < width else None for at in self.positions])
            if any(cell is not None for cell in chosen) and chosen != self.header_cells:
                yield number, chosen  # long lists repeat their column names on every printed page


def open_table(
    path: Path,
    file_name: str,
    *,
    sheet: str | None = None,
    max_bytes: int = MAX_BYTES,
    max_rows: int = MAX_ROWS,
    max_columns: int = MAX_COLUMNS,
) -> Table:
    """Return the table in a CSV, TSV, XLSX, XLS or ODS file; raise Unreadable with the reason.

    `sheet` names a visible sheet of a workbook; without it the first visible one that is not empty is read.
    """
    grid = _open_grid(path, sheet, max_bytes)
    header_row, names, known = _find_header(grid, max_columns)
    row_count, filled = _count(grid, header_row, names, max_rows, max_columns)

    named = {at for at, name in enumerate(names) if name is not None}
    positions = tuple(sorted((named | filled.keys()) - grid.hidden_columns))
    if not row_count or not positions:
        raise Unreadable(say("This file has column names but no rows below them."))

    columns, repeated = _column_names(names, positions)
    last_named = max(named, default=-1)
    return Table(
        file_name=file_name,
        kind=grid.kind,
        sheet=grid.sheet,
        sheets=grid.sheets,
        encoding=grid.encoding,
        delimiter=grid.delimiter,
        header_row=header_row,
        columns=columns,
        unnamed=frozenset(index for index, at in enumerate(positions) if at not in named),
        overflow=frozenset(
            index for index, at in enumerate(positions) if at > last_named and filled[at] * 2 < row_count
        ),
        row_count=row_count,
        notes=grid.notes + tuple(_notes(grid, header_row, known, repeated)),
        grid=grid,
        positions=positions,
        header_cells=tuple(names[at] if at in named else None for at in positions),
    )


def _open_grid(path: Path, sheet: str | None, max_bytes: int) -> Grid:
    size = path.stat().st_size
    if size == 0:
        raise Unreadable(say("This file is empty."))
    if size > max_bytes:
        raise Unreadable(
            say("This file is larger than %(most)s MB. Divide the list into several files.", most=max_bytes >> 20)
        )
    with path.open("rb") as file:
        start = file.read(8)
    if start.startswith(b"PK\x03\x04"):
        return open_zipped(path, sheet)
    if start == b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1":
        return open_binary(path, sheet)
    return open_text(path)


def _find_header(grid: Grid, max_columns: int) -> tuple[int, list[Cell], int]:
    """Return the header's row number, its cells, and how many of our fields it names.

    The row that names most fields wins; where none names two, the first row that is about as full as the fullest.
    """
    rows = []
    for number, cells in grid.rows():
        plain = [_plain(cell) for cell in cells]
        while plain and plain[-1] is None:
            plain.pop()
        if len(plain) > max_columns:
            raise Unreadable(_too_wide(max_columns))
        if plain:
            rows.append((number, plain))
        if len(rows) == HEADER_SEARCH:
            break
    if not rows:
        raise Unreadable(say("There is nothing in this file but empty cells."))

    known = [count_known(cells) for _, cells in rows]
    chosen = known.index(max(known))
    if known[chosen] < 2:
        texts = [len({cell for cell in cells if cell is not None}) for _, cells in rows]
        chosen = next(index for index, count in enumerate(texts) if count * 2 >= max(texts))
    number, cells = rows[chosen]
    return number, cells, known[chosen]


def _count(grid: Grid, header_row: int, names: list[Cell], max_rows: int, max_columns: int) -> tuple[int, Counter[int]]:
    """Return how many rows below the header hold something else, and how many of them fill each place of the grid."""
    count = 0
    filled: Counter[int] = Counter()
    named = [at for at, name in enumerate(names) if name is not None and at not in grid.hidden_columns]
    for number, cells in grid.rows():
        places = [at for at, cell in enumerate(cells) if _plain(cell) is not None and at not in grid.hidden_columns]
        if number <= header_row or not places:
            continue
        if places == named and all(_plain(cells[at]) == names[at] for at in named):
            continue
        count += 1
        if count > max_rows:
            raise Unreadable(
                say("This file has more than %(most)s rows. Divide the list into several files.", most=max_rows)
            )
        if places[-1] >= max_columns:
            raise Unreadable(_too_wide(max_columns))
        filled.update(places)
    return count, filled


def _plain(cell: object) -> Cell:
    """Return the cell with None for blank and text for what is neither number nor date, such as a time of day."""
    if isinstance(cell, str):
        if not cell or cell.isspace():
            return None
        return unguard(cell) if cell[0] == "'" else cell
    if cell is None or isinstance(cell, (int, float, date)):
        return cell
    return str(cell)


def _column_names(names: list[Cell], positions: tuple[int, ...]) -> tuple[tuple[str, ...], int]:
    """Return a unique name per column and how many had to be told apart; a nameless one gets its letter."""
    taken: dict[str, None] = {}
    repeated = 0
    for at in positions:
        cell = names[at] if at < len(names) else None
        name = wanted = printable(shown(cell))[:TEXT_LENGTH] or get_column_letter(at + 1)
        number = 1
        while name in taken:
            number += 1
            name = f"{wanted} ({number})"
        repeated += number > 1
        taken[name] = None
    return tuple(taken), repeated


def _too_wide(max_columns: int) -> Sentence:
    return say("This file has more than %(most)s columns. Keep the ones you need.", most=max_columns)


def _notes(grid: Grid, header_row: int, known: int, repeated: int) -> Iterator[Sentence]:
    top = takewhile(lambda row: row[0] < header_row, grid.rows())
    above = sum(any(_plain(cell) is not None for cell in cells) for _, cells in top)
    if above:
        yield say_n(
            "One line above the column names was left out.",
            "%(n)s lines above the column names were left out.",
            above,
        )
    if known == 0:
        yield say(
            "No column name was recognised; row %(row)s was taken for the column names. "
            "If a person stands there, put a row of column names above.",
            row=header_row,
        )
    if repeated:
        yield say_n(
            "One column name was there before and got a number.",
            "%(n)s column names were there before and got a number.",
            repeated,
        )
