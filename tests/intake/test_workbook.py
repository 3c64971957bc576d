"""Workbooks: what a person sees on the first visible sheet is what is read."""

import io
import zipfile
from datetime import date, datetime, time
from functools import partial
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import pytest
import xlwt

from app.intake import Unreadable, open_table
from tests.intake.files import HEADER, cells, check, read, workbook

SHORT = ("Prénom", "Nom", "Matricule", "Date de naissance", "Téléphone", "Village")


def test_it_works(tmp_path):
    """Title lines, real dates, numeric phones, a hidden row, a hidden column and merged villages."""

    def hide_and_merge(_, sheet):
        sheet.row_dimensions[6].hidden = True
        sheet.column_dimensions["G"].hidden = True
        sheet.merge_cells("F4:F5")
        sheet.merge_cells("A1:F1")

    path = workbook(
        tmp_path,
        ("Campagne de vaccination",),
        (),
        (*SHORT, "Secret"),
        ("Awa", "Diop", 123, date(1990, 12, 31), 221771234567, "Fandène", "x"),
        ("Modou", "Fall", "B-2", datetime(1985, 2, 5), 761234567.0, None, "y"),
        ("Hidden", "Person", "B-9", date(1999, 1, 1), 771234568, "Nowhere", "z"),
        ("Fatou", "Sow", "B-3", "1/5/2001", "77 123 45 69", "Keur Mory", "z"),
        change=hide_and_merge,
    )

    table = read(path)
    rows = check(table, Village=None)

    assert (table.kind, table.sheet, table.header_row, table.columns) == ("xlsx", "Sheet", 3, SHORT)
    assert [row.number for row in rows] == [4, 5, 7]
    assert [row.person.phone_number for row in rows] == ["+221771234567", "+221761234567", "+221771234569"]
    assert [row.person.date_of_birth for row in rows] == [date(1990, 12, 31), date(1985, 2, 5), date(2001, 5, 1)]
    assert [row.person.custom["Village"] for row in rows] == ["Fandène", "Fandène", "Keur Mory"]
    assert rows[0].person.beneficiary_id == "123"
    assert rows[0].original == ("Awa", "Diop", "123", "1990-12-31", "221771234567", "Fandène")
    assert {str(note) for note in table.notes} == {
        "One line above the column names was left out.",
        "One hidden row was left out.",
        "One hidden column was left out.",
        "2 merged cells were filled with their value in every row they cover.",
    }


def test_the_first_visible_sheet_with_something_in_it_is_read(tmp_path):
    def more_sheets(book, _):
        book.create_sheet("Secret", 0).sheet_state = "hidden"
        book.create_sheet("Vide", 1)
        book.create_sheet("Autre").append(["Nom", "Prénom"])

    path = workbook(tmp_path, ("Nom", "Prénom"), ("Diop", "Awa"), change=more_sheets)
    table = read(path)

    assert (table.sheet, table.sheets) == ("Sheet", ("Vide", "Sheet", "Autre"))
    assert [str(note) for note in table.notes] == [
        "The sheet “Sheet” was read; the other sheets were left out.",
        "These sheets are empty: Vide.",
        "One hidden sheet was left out.",
    ]
    with pytest.raises(Unreadable, match="no rows below"):
        open_table(path, "list.xlsx", sheet="Autre")
    with pytest.raises(Unreadable, match="No visible sheet"):
        open_table(path, "list.xlsx", sheet="Secret")


def test_the_kind_is_told_by_content_and_not_by_name(tmp_path):
    path = workbook(tmp_path, ("Nom", "Prénom"), ("Diop", "Awa"), name="list.csv")
    assert read(path).kind == "xlsx"


def test_formulas_are_their_saved_values_and_never_run(tmp_path):
    table = read(workbook(tmp_path, ("Nom", "Prénom", "Total"), ("Diop", "Awa", '=HYPERLINK("http://x","y")')))
    assert cells(table) == [("Diop", "Awa", None)]
    assert any("One cell holds a formula" in str(note) for note in table.notes)


def test_a_table_may_begin_anywhere_on_the_sheet(tmp_path):
    table = read(workbook(tmp_path, (), (), (None, None, "Nom", "Prénom"), (None, None, "Diop", "Awa")))
    assert table.columns == ("Nom", "Prénom")
    assert list(table.rows()) == [(4, ("Diop", "Awa"))]


def test_times_and_booleans_become_readable(tmp_path):
    table = read(workbook(tmp_path, ("Nom", "Prénom", "Heure", "Vu"), ("Diop", "Awa", time(8, 30), True)))
    assert cells(table) == [("Diop", "Awa", "08:30:00", True)]


def test_an_old_xls_file_hides_and_merges_as_well(tmp_path):
    book = xlwt.Workbook()
    book.add_sheet("Secret").visibility = 1
    sheet = book.add_sheet("Liste")
    book.active_sheet = 1
    day = xlwt.easyxf(num_format_str="DD/MM/YYYY")
    rows = [SHORT, ("Awa", "Diop", 123, date(1990, 12, 31), 221771234567), ("Hidden", "Person"), ("Modou", "Fall", 124)]
    for row, values in enumerate(rows):
        for column, value in enumerate(values):
            sheet.write(row, column, value, day if isinstance(value, date) else xlwt.Style.default_style)
    sheet.write_merge(1, 3, 5, 5, "Fandène")
    sheet.write(0, 6, "Secret")
    sheet.row(2).hidden = True
    sheet.col(6).hidden = True
    book.save(str(tmp_path / "list.xls"))

    table = read(tmp_path / "list.xls")

    assert (table.kind, table.sheet, table.columns) == ("xls", "Liste", SHORT)
    assert list(table.rows()) == [
        (2, ("Awa", "Diop", 123.0, date(1990, 12, 31), 221771234567.0, "Fandène")),
        (4, ("Modou", "Fall", 124.0, None, None, "Fandène")),
    ]
    assert any("One hidden row" in str(note) for note in table.notes)
    assert any("One hidden column" in str(note) for note in table.notes)


def test_a_longer_xls_file_is_chained_over_many_sectors(tmp_path):
    book = xlwt.Workbook()
    sheet = book.add_sheet("Liste")
    for row in range(3000):
        sheet.write(row, 0, "Nom" if row == 0 else f"Diop {row}")
        sheet.write(row, 1, "Matricule" if row == 0 else f"B-{row}")
    sheet.row(1500).hidden = True
    book.save(str(tmp_path / "list.xls"))
    table = read(tmp_path / "list.xls")
    assert table.row_count == 2998
    assert ("Diop 1500", "B-1500") not in cells(table)


# OpenDocument 1.3 part 3: the attributes of rows, columns and cells, without their dashes.
ODF = {
    "valuetype": "office:value-type",
    "value": "office:value",
    "datevalue": "office:date-value",
    "stringvalue": "office:string-value",
    "visibility": "table:visibility",
    "numbercolumnsrepeated": "table:number-columns-repeated",
    "numberrowsrepeated": "table:number-rows-repeated",
    "numbercolumnsspanned": "table:number-columns-spanned",
    "numberrowsspanned": "table:number-rows-spanned",
}
ODS_TYPE = "application/vnd.oasis.opendocument.spreadsheet"
NAMESPACE = "urn:oasis:names:tc:opendocument:xmlns:"
NAMESPACES = "".join(f' xmlns:{name}="{NAMESPACE}{name}:1.0"' for name in ("office", "table", "text"))
MANIFEST = (
    f'<manifest:manifest xmlns:manifest="{NAMESPACE}manifest:1.0">'
    f'<manifest:file-entry manifest:full-path="/" manifest:media-type="{ODS_TYPE}"/></manifest:manifest>'
)


class Element(str):
    """A piece of XML as it goes into the file."""


def element(name: str, *content: str, **attributes: object) -> Element:
    """Return the element with its attributes, named as in ODF."""
    told = "".join(f" {ODF[key]}={quoteattr(str(value))}" for key, value in attributes.items())
    return Element(f"<{name}{told}>{''.join(content)}</{name}>")


TableCell = partial(element, "table:table-cell")


def paragraph(text: str) -> Element:
    """Return a text as cells hold it."""
    return element("text:p", escape(text))


class OpenDocument:
    """An ODS file of one sheet: a ZIP with its type first, a list of its parts, and its content."""

    def __init__(self, rows: str) -> None:
        columns = element("table:table-column", numbercolumnsrepeated=3)
        hidden = element("table:table-column", visibility="collapse")
        sheet = f'<table:table table:name="Liste">{columns}{hidden}{rows}</table:table>'
        body = f"<office:body><office:spreadsheet>{sheet}</office:spreadsheet></office:body>"
        self.content = f"<office:document-content{NAMESPACES}>{body}</office:document-content>"

    def save(self, target: str | Path | io.BytesIO) -> None:
        """Write the file."""
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("mimetype", ODS_TYPE, zipfile.ZIP_STORED)
            archive.writestr("META-INF/manifest.xml", MANIFEST)
            archive.writestr("content.xml", f'<?xml version="1.0" encoding="UTF-8"?>{self.content}')


def ods(*rows: Element) -> OpenDocument:
    """Return a workbook with these rows; its fourth column is hidden."""
    return OpenDocument("".join(rows))


def ods_row(*values: object, **attributes: object) -> Element:
    """Return a row of texts, numbers, dates and ready cells."""
    return element("table:table-row", *map(ods_cell, values), **attributes)


def ods_cell(value: object) -> Element:
    """Return the cell that holds this value."""
    if isinstance(value, Element):
        return value
    if isinstance(value, date):
        return TableCell(valuetype="date", datevalue=value.isoformat())
    if isinstance(value, float):
        return TableCell(valuetype="float", value=value)
    return TableCell(paragraph(str(value)), valuetype="string")


def test_an_ods_file_hides_repeats_and_merges(tmp_path):
    village = TableCell(paragraph("Fandène"), valuetype="string", numberrowsspanned=2, numbercolumnsspanned=1)
    document = ods(
        ods_row("Nom", "Matricule", "Né(e) le", "Secret", "Village"),
        ods_row(numberrowsrepeated=2),
        ods_row("Diop", 123.0, date(1990, 12, 31), "x", village),
        ods_row("Fall", 124.0, date(1985, 2, 5), "x", element("table:covered-table-cell")),
        ods_row("Hidden", 125.0, date(1985, 2, 5), "x", "y", visibility="collapse"),
        ods_row(TableCell(numbercolumnsrepeated=16_384), numberrowsrepeated=1_048_000),
    )
    document.save(tmp_path / "list.ods")

    table = read(tmp_path / "list.ods")

    assert (table.kind, table.columns) == ("ods", ("Nom", "Matricule", "Né(e) le", "Village"))
    assert list(table.rows()) == [
        (4, ("Diop", 123.0, date(1990, 12, 31), "Fandène")),
        (5, ("Fall", 124.0, date(1985, 2, 5), "Fandène")),
    ]
    assert any("One hidden row" in str(note) for note in table.notes)


def test_a_header_over_two_rows_is_taken_once(tmp_path):
    def merge(_, sheet):
        for letter in "ABCDEF":
            sheet.merge_cells(f"{letter}1:{letter}2")

    table = read(workbook(tmp_path, HEADER, (), ("Awa", "Diop", "B-1"), change=merge))
    assert [row[:3] for row in cells(table)] == [("Awa", "Diop", "B-1")]
