"""A spreadsheet -> typed rows and problems; knows no database and no web.

`open_table` reads a file, `match_columns` proposes what its columns hold, `check_rows` gives people and problems,
`write_problems_csv` and `write_problems_xlsx` hand the refused rows back, `example_workbook` shows what we would like.
"""

from app.intake.check import CheckedRow, CheckedRows, PersonRow, Problem, check_rows
from app.intake.errors import MappingError, Unreadable
from app.intake.example import example_workbook
from app.intake.headers import FIELDS, FULL_NAME, LEFT_OUT, REQUIRED, Match, match_columns
from app.intake.memory import forget
from app.intake.reader import MAX_BYTES, MAX_COLUMNS, MAX_ROWS, Table, open_table
from app.intake.report import write_problems_csv, write_problems_xlsx

__all__ = [
    "FIELDS",
    "FULL_NAME",
    "LEFT_OUT",
    "MAX_BYTES",
    "MAX_COLUMNS",
    "MAX_ROWS",
    "REQUIRED",
    "CheckedRow",
    "CheckedRows",
    "MappingError",
    "Match",
    "PersonRow",
    "Problem",
    "Table",
    "Unreadable",
    "check_rows",
    "example_workbook",
    "forget",
    "match_columns",
    "open_table",
    "write_problems_csv",
    "write_problems_xlsx",
]
