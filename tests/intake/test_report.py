"""Refused rows: handed back with the reason, mended, and imported again as if nothing had happened."""

import csv
import io

import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.intake import CheckedRow, Problem, match_columns, write_problems_csv, write_problems_xlsx
from app.intake.guard import guard, keep_apostrophe, unguard
from app.intake.values import shown
from app.sentences import say
from tests.intake.files import AWA, HEADER, check, lines, read, write

BAD = ("Awa", "=cmd|'/C calc'!A0", "B-1", "31/12/90", "+221771234567", "F")


def refused(folder, *rows):
    table = read(write(folder, lines(HEADER, *rows)))
    return check(table), table.columns


def test_it_works(tmp_path):
    """French Excel opens it: byte order mark, semicolons, CRLF; formulas are disarmed; good rows are not in it."""
    out = io.BytesIO()
    write_problems_csv(*refused(tmp_path, AWA, BAD), out, translate=lambda sentence: f"«{sentence}»")

    content = out.getvalue()
    assert content.startswith(b"\xef\xbb\xbf")
    header, row = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), delimiter=";")
    assert header == [*HEADER, "Fieldcard: «row»", "Fieldcard: «what to change»"]
    assert row == [
        "Awa", "'=cmd|'/C calc'!A0", "B-1", "31/12/90", "'+221771234567", "F", "3",
        "Né(e) le: «Write the year with four digits, for example 1990-12-31.»",
    ]  # fmt: skip
    assert content.endswith(b"\r\n")


def test_a_workbook_holds_nothing_but_text(tmp_path):
    out = io.BytesIO()
    write_problems_xlsx(*refused(tmp_path, AWA, (BAD[0] + "\x07", *BAD[1:])), out)
    sheet = openpyxl.load_workbook(out).active
    assert {cell.data_type for row in sheet.iter_rows() for cell in row} == {"s"}
    assert {cell.number_format for row in sheet.iter_rows() for cell in row} == {"@"}
    assert [cell.value for cell in sheet[2]][:5] == ["Awa\ufffd", *BAD[1:5]]


@pytest.mark.parametrize("write_problems", [write_problems_csv, write_problems_xlsx])
def test_a_mended_list_is_imported_as_it_was_written(tmp_path, write_problems):
    rows, columns = refused(tmp_path, BAD, ("", "'=x", "''=y", "", "", ""))
    out = io.BytesIO()
    write_problems(rows, columns, out)

    table = read(write(tmp_path, out.getvalue(), "again"))

    again = check(table)
    assert [row.original[: len(columns)] for row in again] == [row.original for row in rows]
    assert [match.field for match in match_columns(table)][-2:] == ["left_out", "left_out"]
    assert [row.problems for row in again] == [row.problems for row in rows]


cell_text = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc",)) | st.sampled_from("='+-@;\t\r\"\n"), max_size=12
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(cell_text, cell_text), min_size=1, max_size=5))
def test_written_and_read_again_is_the_same(tmp_path, pairs):
    """Whatever people type, the list of problems brings it back unchanged; blank cells are blank."""
    out = io.StringIO()
    csv.writer(out).writerows([("Nom", "Note"), *[(guard(a), guard(b)) for a, b in pairs], ("Diop", "end")])
    rows = all_refused(read(write(tmp_path, out.getvalue())))
    problems = io.BytesIO()
    write_problems_csv(rows, ("Nom", "Note"), problems)
    again = all_refused(read(write(tmp_path, problems.getvalue())))
    assert [row.original[:2] for row in again] == [row.original for row in rows]


def all_refused(table):
    """Return every row of the table as one that was refused."""
    problem = Problem(0, "Nom", None, say("Write something else."))
    return [CheckedRow(number, tuple(map(shown, cells)), None, (problem,)) for number, cells in table.rows()]


@given(st.text(st.sampled_from("'=+-@\t\ra"), max_size=6))
def test_the_apostrophe_goes_on_and_off_once(text):
    assert unguard(guard(text)) == text
    assert unguard(keep_apostrophe(text)) == text
    assert guard(text)[:1] not in {*"=+-@\t\r"}
