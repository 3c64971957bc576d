"""Workbooks (XLSX, XLS, ODS): which sheet, which of its rows a person sees, and the cells, read by calamine."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring
from python_calamine import (
    CalamineError,
    CalamineSheet,
    CalamineWorkbook,
    PasswordError,
    SheetMetadata,
    SheetTypeEnum,
    SheetVisibleEnum,
)

from app.intake.archive import DAMAGED, PASSWORD, check_archive, open_archive
from app.intake.binary import outline_xls
from app.intake.errors import Unreadable
from app.intake.grid import Grid, NumberedRow, fill_merged
from app.intake.outline import Outline, check_counts, outline_ods, outline_xlsx
from app.sentences import N_, Sentence, say, say_n

MAX_CELLS = 4_000_000  # 100,000 rows of 40 columns; calamine needs about 75 bytes for each

_TOO_LARGE = N_(
    "The sheet reaches to row %(rows)s and column %(columns)s: that is more than we can read. Copy the table alone, "
    "without cells far away from it, to a new workbook and choose that one."
)
_NO_SPREADSHEET = N_("This file is not a spreadsheet. Choose an Excel workbook (.xlsx), an .ods file or a .csv file.")
_ODS_TYPE = b"application/vnd.oasis.opendocument.spreadsheet"


def open_zipped(path: Path, sheet: str | None) -> Grid:
    """Return the first visible sheet (or the one named) of an XLSX or ODS file; raise Unreadable."""
    names = check_archive(path)
    if "xl/workbook.xml" in names:
        _check_counts(path, names)
        return _open(path, "xlsx", sheet)
    if "xl/workbook.bin" in names:
        raise Unreadable(
            say("Workbooks in the .xlsb format cannot be read. Save the file as .xlsx and choose that one.")
        )
    if {"mimetype", "content.xml"} <= names and _is_ods(path):
        return _open(path, "ods", sheet)
    raise Unreadable(say(_NO_SPREADSHEET))


def open_binary(path: Path, sheet: str | None) -> Grid:
    """Return the first visible sheet (or the one named) of an XLS file; raise Unreadable."""
    return _open(path, "xls", sheet)


def _check_counts(path: Path, names: frozenset[str]) -> None:
    with open_archive(path) as archive:
        for name in names:
            if name.lower() in ("xl/sharedstrings.xml", "xl/styles.xml"):
                with archive.open(name) as part:
                    check_counts(part, archive.getinfo(name).file_size)


def _is_ods(path: Path) -> bool:
    with open_archive(path) as archive:
        manifest = "META-INF/manifest.xml"
        if manifest in archive.namelist() and b"encryption-data" in archive.read(manifest):
            raise Unreadable(say(PASSWORD))
        return archive.read("mimetype").strip().startswith(_ODS_TYPE)


def _open(path: Path, kind: str, wanted: str | None) -> Grid:
    outlines = _outlines(path, kind)
    workbook = _with_care(CalamineWorkbook.from_path, str(path))
    visible = [found for found in workbook.sheets_metadata if _is_visible_sheet(found)]
    hidden = sum(found.visible is not SheetVisibleEnum.Visible for found in workbook.sheets_metadata)
    if wanted is not None:
        visible = [found for found in visible if found.name == wanted]

    for position, found in enumerate(visible):
        outline = outlines(workbook.sheet_names.index(found.name), found.name)
        _refuse_too_large([outline])
        sheet = _with_care(workbook.get_sheet_by_name, found.name)
        if sheet.height and sheet.width:
            empty_before = [before.name for before in visible[:position]]
            return Grid(
                kind,
                partial(_visible_rows, sheet, outline),
                sheet=found.name,
                sheets=tuple(one.name for one in workbook.sheets_metadata if _is_visible_sheet(one)),
                hidden_columns=frozenset(outline.hidden_columns),
                notes=tuple(_notes(found.name, len(visible), empty_before, hidden, outline)),
            )
    raise Unreadable(say("No visible sheet of this workbook has anything in it. Choose the file that holds the list."))


def _with_care(verb, *arguments: str):
    """Return what calamine returns; whatever stops it, a panic of its Rust code too, becomes Unreadable."""
    try:
        return verb(*arguments)
    except PasswordError:
        raise Unreadable(say(PASSWORD)) from None
    except (CalamineError, OSError, ValueError):
        raise Unreadable(say(DAMAGED)) from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # pyo3 gives the class no importable name
            raise
        raise Unreadable(say(DAMAGED)) from None


def _is_visible_sheet(found: SheetMetadata) -> bool:
    return found.typ is SheetTypeEnum.WorkSheet and found.visible is SheetVisibleEnum.Visible


def _outlines(path: Path, kind: str) -> Callable[[int, str], Outline]:
    """Return a function from a sheet's position and name to its outline; raise Unreadable."""
    if kind == "xlsx":
        parts = _worksheet_parts(path)
        return lambda _, name: _outline_part(path, parts.get(name, ""))

    if kind == "ods":
        with open_archive(path) as archive, archive.open("content.xml") as content:
            outlines = outline_ods(content)
    else:
        outlines = outline_xls(path)
    _refuse_too_large(outlines)  # calamine lays out all sheets of these formats at once
    return lambda position, _: outlines[position] if position < len(outlines) else Outline()


def _outline_part(path: Path, part: str) -> Outline:
    with open_archive(path) as archive, archive.open(part) as sheet:
        return outline_xlsx(sheet)


def _worksheet_parts(path: Path) -> dict[str, str]:
    """Return sheet name -> name of its part in the XLSX file (ECMA-376 part 1, 18.2.20 and part 2, 9.3)."""
    try:
        with open_archive(path) as archive:
            book = fromstring(archive.read("xl/workbook.xml"))
            relations = fromstring(archive.read("xl/_rels/workbook.xml.rels"))
    except (ParseError, DefusedXmlException):
        raise Unreadable(say(DAMAGED)) from None

    targets = {relation.get("Id"): relation.get("Target", "") for relation in relations}
    parts = {}
    for element in book.iter():
        if element.tag.rpartition("}")[2] == "sheet":
            relation = next((value for key, value in element.items() if key.endswith("}id")), None)
            target = targets.get(relation, "")
            parts[element.get("name", "")] = str(PurePosixPath("/xl") / target).lstrip("/")
    return parts


def _refuse_too_large(outlines: list[Outline]) -> None:
    if sum(outline.height * outline.width for outline in outlines) > MAX_CELLS:
        largest = max(outlines, key=lambda outline: outline.height * outline.width)
        raise Unreadable(say(_TOO_LARGE, rows=largest.height, columns=largest.width))


def _visible_rows(sheet: CalamineSheet, outline: Outline) -> Iterator[NumberedRow]:
    """Yield the rows from the top of the sheet, merged areas filled, hidden rows left out."""
    _, left = sheet.start or (0, 0)
    rows = ((number, [None] * left + cells) for number, cells in enumerate(sheet.iter_rows(), 1))
    if outline.merged:
        rows = fill_merged(rows, outline.merged, left + sheet.width)
    hidden = outline.hidden_rows
    return (row for row in rows if row[0] - 1 not in hidden) if hidden else rows


def _notes(
    name: str, visible: int, empty_before: list[str], hidden_sheets: int, outline: Outline
) -> Iterator[Sentence]:
    if visible > 1:
        yield say("The sheet “%(sheet)s” was read; the other sheets were left out.", sheet=name)
    if empty_before:
        yield say("These sheets are empty: %(sheets)s.", sheets=", ".join(empty_before))
    if hidden_sheets:
        yield say_n("One hidden sheet was left out.", "%(n)s hidden sheets were left out.", hidden_sheets)
    if rows := sum(row < outline.height for row in outline.hidden_rows):
        yield say_n("One hidden row was left out.", "%(n)s hidden rows were left out.", rows)
    if columns := sum(column < outline.width for column in outline.hidden_columns):
        yield say_n("One hidden column was left out.", "%(n)s hidden columns were left out.", columns)
    if outline.merged:
        yield say_n(
            "One merged cell was filled with its value in every row it covers.",
            "%(n)s merged cells were filled with their value in every row they cover.",
            len(outline.merged),
        )
    if outline.formulas:
        yield say_n(
            "One cell holds a formula; the value it showed when the file was saved was taken.",
            "%(n)s cells hold formulas; the values they showed when the file was saved were taken.",
            outline.formulas,
        )
