"""The spreadsheet we would like to get: an XLSX to download, with text columns, example rows and a page to read."""

import io
from collections.abc import Callable

from openpyxl import Workbook
from openpyxl.styles import Font
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet

from app.intake.headers import FIELDS, NAMES, REQUIRED
from app.sentences import Sentence, say

EMPTY_TEXT_ROWS = 200  # rows below the examples that are text already, so that typed zeros stay

# Nobody is called so; the phone numbers are only shaped like real ones.
_EXAMPLE_WORD = {"fr": "Exemple", "en": "Example", "wo": "Misaal"}
_NUMBER_WORDS = {"fr": ("Un", "Deux", "Trois"), "en": ("One", "Two", "Three"), "wo": ("Benn", "Ñaar", "Ñett")}
_PLACES = {
    "fr": ("Poste de santé Exemple", "Unité Exemple", "Zone Exemple"),
    "en": ("Example health post", "Example unit", "Example zone"),
    "wo": ("Fajukaay Misaal", "Kurél Misaal", "Gox Misaal"),
}


def example_workbook(language: str, translate: Callable[[Sentence], str] = str) -> bytes:
    """Return an XLSX with the column names of the language (fr, en, wo), three examples and a ReadMe sheet.

    Imported as it is, it is read without a problem; an unknown language gets English names.
    """
    language = language if language in _EXAMPLE_WORD else "en"
    workbook = Workbook()
    _fill_list(workbook.active, language, translate)
    _fill_read_me(workbook.create_sheet("ReadMe"), language, translate)
    out = io.BytesIO()
    workbook.save(out)
    return out.getvalue()


def _fill_list(sheet: Worksheet, language: str, translate: Callable[[Sentence], str]) -> None:
    sheet.title = translate(say("Beneficiaries"))[:31]
    sheet.append([header_of(name, language) for name in FIELDS])
    for number in range(3):
        sheet.append(_example(language, number))
    for row in sheet.iter_rows(1, 4 + EMPTY_TEXT_ROWS, 1, len(FIELDS)):
        for cell in row:
            cell.number_format = "@"
    for index, name in enumerate(FIELDS, 1):
        sheet.cell(1, index).font = Font(bold=name in REQUIRED)
        sheet.column_dimensions[get_column_letter(index)].width = 22
        sheet.column_dimensions[get_column_letter(index)].number_format = "@"
    sheet.freeze_panes = "A2"


def header_of(name: str, language: str) -> str:
    """Return the column name of a field in a language, such as "Prénom(s)"."""
    return NAMES[name][language][0]


def _example(language: str, number: int) -> list[str]:
    word, place = _EXAMPLE_WORD[language], _PLACES[language]
    return [
        word,
        _NUMBER_WORDS[language][number],
        f"{word.upper()}-00{number + 1}",
        f"{2001 + number}-12-3{number % 2}",
        f"+22170000000{number + 1}",
        "FMF"[number],
        *place,
        f"2026-01-1{number + 1}",
    ]


def _fill_read_me(sheet: Worksheet, language: str, translate: Callable[[Sentence], str]) -> None:
    required = ", ".join(header_of(name, language) for name in REQUIRED)
    lines = (
        say("Put one person in each row of the first sheet, and delete the examples."),
        say("These columns are needed: %(columns)s. All others may stay empty or be removed.", columns=required),
        say("Columns of your own may be added; they are kept under their name."),
        say("Write dates as year-month-day (1990-12-31) or as day/month/year (31/12/1990)."),
        say("Write phone numbers with + and the country code (+221…), or as they are dialled in your country."),
        say("Write M, F or U (unknown) for the gender."),
        say("Every beneficiary ID may stand in the list only once."),
        say("At most 100,000 rows and 10 MB."),
    )
    for line in lines:
        sheet.append([translate(line)])
    sheet.column_dimensions["A"].width = 110
