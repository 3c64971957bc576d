"""The largest list we take: a hundred thousand rows, read and checked in seconds and in little memory."""

import json
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import pytest
from openpyxl import Workbook

from tests.intake.files import HEADER, lines, write

ROWS = 100_000
MEASURE = """
import json, resource, sys, time
from datetime import date
from pathlib import Path
from app.intake import check_rows, match_columns, open_table

table = open_table(Path(sys.argv[1]), "list")
mapping = {match.index: match.field for match in match_columns(table)}
people = sum(row.person is not None for row in check_rows(table, mapping, country="SN", today=date(2026, 11, 20)))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"people": people, "seconds": time.process_time(), "megabytes": peak}))
"""


def bulk_rows():
    for number in range(ROWS):
        born = date(1950, 1, 1) + timedelta(days=number % 25_000)
        yield "Awa", f"Diop {number % 500}", f"B-{number}", born, 770_000_001 + number, "FM"[number % 2]


def measure(path: Path) -> dict[str, float]:
    done = subprocess.run([sys.executable, "-c", MEASURE, path], capture_output=True, check=True, timeout=240)
    return json.loads(done.stdout)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_a_hundred_thousand_rows_take_seconds_and_little_memory(tmp_path, kind):
    if kind == "csv":
        path = write(tmp_path, lines(HEADER, *bulk_rows()))
    else:
        book = Workbook(write_only=True)
        sheet = book.create_sheet()
        sheet.append(HEADER)
        for row in bulk_rows():
            sheet.append(row)
        path = tmp_path / "list.xlsx"
        book.save(path)

    measured = measure(path)

    assert measured["people"] == ROWS
    assert measured["seconds"] < 30
    assert measured["megabytes"] < 300
