"""Files made to do harm: each is refused in a sentence, quickly, in little memory; nothing else ever comes out."""

import io
import struct
import zipfile
import zlib
from functools import cache
from pathlib import Path

import pytest
import xlwt
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl import Workbook

from app.intake import MappingError, Unreadable
from tests.intake.files import AWA, HEADER, MODOU, check, lines, read, replace_part, workbook, write
from tests.intake.test_workbook import TableCell, ods, ods_row

SHEET = "xl/worksheets/sheet1.xml"
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"


def sheet_xml(body: str, doctype: str = "") -> bytes:
    return f'<?xml version="1.0"?>{doctype}<worksheet xmlns="{MAIN}">{body}</worksheet>'.encode()


def xlsx_with(folder: Path, body: str, doctype: str = "") -> Path:
    return replace_part(workbook(folder, HEADER, AWA), SHEET, sheet_xml(body, doctype))


def cell(reference: str) -> str:
    row = reference.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    return f'<row r="{row}"><c r="{reference}" t="inlineStr"><is><t>{reference}</t></is></c></row>'


def test_it_works(tmp_path):
    """The frame of these stories itself is readable."""
    table = read(xlsx_with(tmp_path, f"<sheetData>{cell('A1')}{cell('A2')}</sheetData>"))
    assert table.row_count == 1


def test_two_cells_a_billion_apart_are_refused_before_memory_is_taken(tmp_path):
    path = xlsx_with(tmp_path, f"<sheetData>{cell('A1')}{cell('XFD1048576')}</sheetData>")
    with pytest.raises(Unreadable, match="row 1048576 and column 16384"):
        read(path)


def shared_strings(folder: Path, counts: str) -> Path:
    """Excel itself keeps every text once, in a part of its own."""
    path = xlsx_with(folder, "".join(["<sheetData>", *map(shared_row, (1, 2)), "</sheetData>"]))
    with zipfile.ZipFile(path, "a") as archive:
        texts = "<si><t>Nom</t></si><si><t>Sène</t></si>"
        archive.writestr("xl/sharedStrings.xml", f'<sst xmlns="{MAIN}" {counts}>{texts}</sst>')
    return path


def test_shared_strings_are_read_and_their_count_is_not_believed(tmp_path):
    table = read(shared_strings(tmp_path, 'count="2" uniqueCount="2"'))
    assert (table.columns, list(table.rows())) == (("Nom",), [(2, ("Sène",))])
    for lie in ('uniqueCount="4294967295"', 'count="4294967295"', 'count="x"'):
        with pytest.raises(Unreadable, match="damaged"):
            read(shared_strings(tmp_path, lie))


def shared_row(number: int) -> str:
    return f'<row r="{number}"><c r="A{number}" t="s"><v>{number - 1}</v></c></row>'


def test_an_empty_cell_far_away_takes_no_memory(tmp_path):
    far = '<row r="1048576"><c r="XFD1048576" s="1"/></row>'
    assert read(xlsx_with(tmp_path, f"<sheetData>{cell('A1')}{cell('A2')}{far}</sheetData>")).row_count == 1


def test_a_claimed_dimension_is_not_believed(tmp_path):
    body = f'<dimension ref="A1:XFD1048576"/><sheetData>{cell("A1")}{cell("A2")}</sheetData>'
    assert read(xlsx_with(tmp_path, body)).row_count == 1


def test_an_old_xls_with_far_cells_is_refused(tmp_path):
    book = xlwt.Workbook()
    sheet = book.add_sheet("S")
    sheet.write(0, 0, "x")
    sheet.write(65_535, 255, "x")
    book.save(str(tmp_path / "far.xls"))
    with pytest.raises(Unreadable, match="row 65536 and column 256"):
        read(tmp_path / "far.xls")


def old_workbook(folder: Path) -> bytes:
    book = xlwt.Workbook()
    book.add_sheet("S").write(0, 0, "x" * 5000)  # long enough to be chained through sectors
    book.save(str(folder / "old.xls"))
    return (folder / "old.xls").read_bytes()


@pytest.mark.parametrize(
    ("true", "lie"),
    [
        (struct.pack("<HHLLHH", 0x200, 14, 0, 1, 0, 1), struct.pack("<HHLLHH", 0x200, 14, 0, 2**32 - 1, 0, 256)),
        (struct.pack("<HHLLHH", 0x200, 14, 0, 1, 0, 1), struct.pack("<HHLLHH", 0x200, 14, 9, 1, 9, 1)),
        (
            struct.pack("<LL", 1, 1) + struct.pack("<H", 5000),
            struct.pack("<LL", 1, 2**31 - 1) + struct.pack("<H", 5000),
        ),
        ("Workbook".encode("utf-16-le"), "Xorkbook".encode("utf-16-le")),
        (struct.pack("<LLL", 1, 2, 3), struct.pack("<LLL", 1, 0, 3)),  # the chain of sectors runs in a circle
        (struct.pack("<LLL", 1, 2, 3), struct.pack("<LLL", 1, 2**32 - 9, 3)),
    ],
)
def test_an_old_xls_that_lies_about_itself_is_refused_before_memory_is_taken(tmp_path, true, lie):
    content = old_workbook(tmp_path)
    assert true in content
    with pytest.raises(Unreadable):
        read(write(tmp_path, content.replace(true, lie), "lie.xls"))


@pytest.mark.parametrize("repeated", [{"numbercolumnsrepeated": 2_000_000_000}, {"numbercolumnsrepeated": 16_384}])
def test_an_ods_cell_repeated_without_end_is_refused(tmp_path, repeated):
    far = TableCell(valuetype="string", stringvalue="x", **repeated)
    ods(ods_row("Nom"), ods_row(far, numberrowsrepeated=1_000_000)).save(str(tmp_path / "far.ods"))
    with pytest.raises(Unreadable, match="more than we can read"):
        read(tmp_path / "far.ods")


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]>',
        '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;"><!ENTITY c "&b;&b;&b;">]>',
        '<!DOCTYPE x SYSTEM "http://example.org/x.dtd">',
    ],
)
def test_entities_are_refused_wherever_they_stand(tmp_path, doctype):
    body = '<sheetData><row r="1"><c r="A1" t="inlineStr"><is><t>&a;</t></is></c></row></sheetData>'
    with pytest.raises(Unreadable, match="no spreadsheet program writes"):
        read(xlsx_with(tmp_path, body, doctype))
    path = replace_part(workbook(tmp_path, HEADER, AWA), "xl/workbook.xml", f"{doctype}<workbook/>".encode())
    with pytest.raises(Unreadable, match="no spreadsheet program writes"):
        read(path)


def test_a_zip_bomb_is_refused(tmp_path):
    path = workbook(tmp_path, HEADER, AWA)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/media/image1.png", bytes(60 * 1024 * 1024))
    with pytest.raises(Unreadable, match="unpacks to far more"):
        read(path)


def test_a_zip_that_lies_about_its_size_is_refused(tmp_path):
    """The headers claim a hundred bytes, with the right checksum for them; a megabyte is inside."""
    path = workbook(tmp_path, HEADER, AWA)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/media/image1.png", bytes(1 << 20))
        entry = archive.getinfo("xl/media/image1.png")
    true = struct.pack("<LLL", entry.CRC, entry.compress_size, 1 << 20)
    lie = struct.pack("<LLL", zlib.crc32(bytes(100)), entry.compress_size, 100)
    content = path.read_bytes()
    assert content.count(true) == 2
    with pytest.raises(Unreadable, match=r"(unpacks to far more|damaged)"):
        read(write(tmp_path, content.replace(true, lie), "lie.xlsx"))


def test_too_many_entries_are_refused(tmp_path):
    path = workbook(tmp_path, HEADER, AWA)
    with zipfile.ZipFile(path, "a") as archive:
        for number in range(2_001):
            archive.writestr(f"xl/{number}", b"")
    with pytest.raises(Unreadable, match="unpacks to far more"):
        read(path)


def test_a_zip_that_is_no_workbook_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.xlsx", "w") as archive:
        archive.writestr("word/document.xml", "<document/>")
    with pytest.raises(Unreadable, match="not a spreadsheet"):
        read(tmp_path / "x.xlsx")


def test_a_password_is_named(tmp_path):
    """Excel wraps a protected workbook into a compound file with an entry EncryptedPackage."""
    sector = 512
    header = bytearray(sector)
    header[:8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
    struct.pack_into("<HHHHH", header, 24, 0x3E, 3, 0xFFFE, 9, 6)
    struct.pack_into("<LLLLLLLL", header, 44, 1, 1, 0, 4096, 0xFFFFFFFE, 0, 0xFFFFFFFE, 0)
    header[76:512] = struct.pack("<L", 0) + b"\xff" * 432
    table = struct.pack("<LL", 0xFFFFFFFD, 0xFFFFFFFE) + b"\xff" * 504
    directory = b"".join(entry(name, kind) for name, kind in [("Root Entry", 5), ("EncryptedPackage", 2)])
    content = bytes(header) + table + directory.ljust(sector, b"\0")
    with pytest.raises(Unreadable, match="password"):
        read(write(tmp_path, content, "locked.xlsx"))


def entry(name: str, kind: int) -> bytes:
    spelled = name.encode("utf-16-le").ljust(64, b"\0")
    return spelled + struct.pack("<HB49xLLL", 2 * len(name) + 2, kind, 0xFFFFFFFE, 0, 0)


def test_merged_areas_as_large_as_the_sheet_cost_nothing(tmp_path):
    merges = '<mergeCell ref="A1:XFD1048576"/>' * 5_000
    body = f"<sheetData>{cell('A1')}{cell('B2')}</sheetData><mergeCells>{merges}</mergeCells>"
    with pytest.raises(Unreadable, match="no rows below"):  # every row became the header
        read(xlsx_with(tmp_path, body))


@pytest.mark.parametrize("reference", ["A0", "ZZZZZ1", "1", "A", "A99999999999999999999", "Ä1", ""])
def test_impossible_cell_references_are_refused_or_read(tmp_path, reference):
    body = f'<sheetData><row r="1"><c r="{reference}" t="inlineStr"><is><t>x</t></is></c></row></sheetData>'
    with pytest.raises(Unreadable):
        read(xlsx_with(tmp_path, body))


@cache
def valid_files() -> dict[str, bytes]:
    """Return one small valid file of each kind."""
    book = xlwt.Workbook()
    sheet = book.add_sheet("S")
    for row, values in enumerate([HEADER, AWA, MODOU]):
        for column, value in enumerate(values):
            sheet.write(row, column, value)
    old, stored, open_document = io.BytesIO(), io.BytesIO(), io.BytesIO()
    book.save(old)

    new = Workbook()
    for row in (HEADER, AWA, MODOU):
        new.active.append(row)
    packed = io.BytesIO()
    new.save(packed)
    with zipfile.ZipFile(packed) as source, zipfile.ZipFile(stored, "w") as target:
        for name in source.namelist():  # not compressed, so that a changed byte reaches the XML
            target.writestr(name, source.read(name))
    ods(ods_row("Nom", "Matricule"), ods_row("Diop", "B-1")).save(open_document)
    text = lines(HEADER, AWA, MODOU).encode("cp1252")
    return {
        "csv": text,
        "xls": old.getvalue(),
        "xlsx": packed.getvalue(),
        "stored": stored.getvalue(),
        "ods": open_document.getvalue(),
    }


changes = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 2), st.binary(min_size=1, max_size=6)),
    min_size=1,
    max_size=8,
)


def mutate(content: bytes, edits: list[tuple[float, int, bytes]]) -> bytes:
    for place, how, piece in edits:
        at = int(place * len(content))
        content = content[:at] + piece + content[at + (len(piece), 0, 3 * len(piece))[how] :]
    return content


@pytest.mark.parametrize("kind", ["csv", "xls", "xlsx", "stored", "ods"])
@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(edits=changes)
def test_a_damaged_file_is_read_or_refused_and_nothing_else(tmp_path, kind, edits):
    path = write(tmp_path, mutate(valid_files()[kind], edits), "mutated")
    try:
        check(read(path))
    except (Unreadable, MappingError) as refusal:
        assert str(refusal)


@pytest.mark.parametrize("part", [SHEET, "xl/workbook.xml", "xl/_rels/workbook.xml.rels", "xl/styles.xml"])
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(edits=changes)
def test_a_damaged_part_in_a_sound_zip_is_read_or_refused(tmp_path, part, edits):
    path = write(tmp_path, valid_files()["xlsx"], "mutated.xlsx")
    with zipfile.ZipFile(path) as archive:
        content = archive.read(part)
    try:
        check(read(replace_part(path, part, mutate(content, edits))))
    except (Unreadable, MappingError) as refusal:
        assert str(refusal)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(content=st.binary(max_size=400))
def test_any_bytes_at_all_are_read_or_refused(tmp_path, content):
    try:
        check(read(write(tmp_path, b"Nom;Matricule\n" + content)))
    except (Unreadable, MappingError) as refusal:
        assert str(refusal)
