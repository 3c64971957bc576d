"""The rows that were refused, written for mending: as they stood in the file, with their number and the reason.

CSV: a spreadsheet program set to French takes `;` for the delimiter (`,` is its decimal mark) and needs the byte order
mark to see UTF-8; the reader of this package accepts both anywhere. XLSX: every cell is text, so that nothing more
is lost when the file is mended and saved. Both may be imported again: our own two columns are recognised and left out.
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import BinaryIO

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

from app.intake.check import CheckedRow
from app.intake.guard import guard, keep_apostrophe
from app.sentences import Sentence, say

Translate = Callable[[Sentence], str]
CELL_LENGTH = 32_767  # characters, what a cell of a workbook holds


def write_problems_csv(
    rows: Iterable[CheckedRow], columns: Sequence[str], out: BinaryIO, translate: Translate = str
) -> None:
    """Write the rows that have problems as UTF-8 CSV with `;`; formulas are disarmed with an apostrophe."""
    text = io.TextIOWrapper(out, encoding="utf-8-sig", newline="")
    writer = csv.writer(text, delimiter=";")
    for line in _lines(rows, columns, translate):
        writer.writerow([guard(cell) for cell in line])
    text.detach()  # flushes, and leaves `out` open for its owner


def write_problems_xlsx(
    rows: Iterable[CheckedRow], columns: Sequence[str], out: BinaryIO, translate: Translate = str
) -> None:
    """Write the rows that have problems as a workbook of text cells."""
    workbook = Workbook(write_only=True)
    sheet = workbook.create_sheet(translate(say("Problems"))[:31])
    sheet.freeze_panes = "A2"
    for line in _lines(rows, columns, translate):
        sheet.append([text_cell(sheet, keep_apostrophe(cell)) for cell in line])
    workbook.save(out)


def text_cell(sheet: object, text: str) -> WriteOnlyCell:
    """Return a cell that stays text, formula or not, also when a person edits it."""
    cell = WriteOnlyCell(sheet, ILLEGAL_CHARACTERS_RE.sub("\ufffd", text)[:CELL_LENGTH])
    cell.data_type = "s"
    cell.number_format = "@"
    return cell


def _lines(rows: Iterable[CheckedRow], columns: Sequence[str], translate: Translate) -> Iterator[list[str]]:
    # The reader knows these two columns by the word they begin with, in every language.
    yield [*columns, f"Fieldcard: {translate(say('row'))}", f"Fieldcard: {translate(say('what to change'))}"]
    for row in rows:
        if row.problems:
            reasons = (f"{problem.header}: {translate(problem.sentence)}" for problem in row.problems)
            yield [*row.original, str(row.number), " ".join(reasons)]
