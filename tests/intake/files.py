"""Spreadsheets made by code for the stories in this folder."""

import io
import zipfile
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path

from openpyxl import Workbook

from app.intake import CheckedRow, Table, check_rows, match_columns, open_table

TODAY = date(2026, 11, 20)
HEADER = ("Prénom(s)", "Nom", "N° bénéficiaire", "Né(e) le", "Téléphone", "Sexe")
AWA = ("Awa", "Diop", "B-001", "31/12/1990", "77 123 45 67", "F")
MODOU = ("Modou", "Sène", "B-002", "05/02/1985", "+221 76 123 45 67", "M")


def write(folder: Path, content: bytes | str, name: str = "list.csv", encoding: str = "utf-8") -> Path:
    """Return the path of a file with this content."""
    path = folder / name
    path.write_bytes(content.encode(encoding) if isinstance(content, str) else content)
    return path


def lines(*rows: Sequence[object], delimiter: str = ";", end: str = "\r\n") -> str:
    """Return the rows as text, without any quoting."""
    return "".join(delimiter.join(str(cell) for cell in row) + end for row in rows)


def workbook(folder: Path, *rows: Sequence[object], change=None, name: str = "list.xlsx") -> Path:
    """Return the path of an XLSX with these rows; `change(workbook, sheet)` may do more to it."""
    book = Workbook()
    for row in rows:
        book.active.append(list(row))
    if change:
        change(book, book.active)
    book.save(folder / name)
    return folder / name


def replace_part(path: Path, part: str, content: bytes) -> Path:
    """Return the same workbook with one of its parts replaced."""
    out = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, content if name == part else old.read(name))
    path.write_bytes(out.getvalue())
    return path


def read(path: Path, **limits: int) -> Table:
    """Return the table in the file."""
    return open_table(path, path.name, **limits)


def check(table: Table, *, country: str = "SN", **changes: str | None) -> list[CheckedRow]:
    """Return the checked rows under the proposed columns; `changes` are column names and other fields."""
    mapping = {match.index: changes.get(match.header, match.field) for match in match_columns(table)}
    return list(check_rows(table, mapping, country=country, today=TODAY))


def cells(table: Table) -> list[tuple[object, ...]]:
    """Return the cells of all rows."""
    return [cells for _, cells in table.rows()]


def sentences(rows: Iterable[CheckedRow]) -> list[str]:
    """Return every problem of the rows as an English sentence."""
    return [str(problem.sentence) for row in rows for problem in row.problems]
