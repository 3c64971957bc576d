"""The example: what we hand out is what we can read."""

import io

import openpyxl
import pytest

from app.intake import FIELDS, example_workbook, match_columns
from tests.intake.files import check, read, write


@pytest.mark.parametrize("language", ["fr", "en", "wo"])
def test_it_works(tmp_path, language):
    table = read(write(tmp_path, example_workbook(language), "example.xlsx"))
    assert [match.field for match in match_columns(table)] == list(FIELDS)
    rows = check(table, country="FR")
    assert len(rows) == 3
    assert all(row.person for row in rows), [row.problems for row in rows]


def test_its_cells_are_text_and_its_page_explains():
    book = openpyxl.load_workbook(io.BytesIO(example_workbook("xx", translate=lambda sentence: f"«{sentence}»")))
    assert book.sheetnames == ["«Beneficiaries»", "ReadMe"]
    assert book.worksheets[0]["A1"].value == "First name"
    assert {cell.number_format for cell in book.worksheets[0][100]} == {"@"}
    assert "First name, Last name, Beneficiary ID" in book["ReadMe"]["A2"].value
