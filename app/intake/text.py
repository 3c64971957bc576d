"""Text tables (CSV, TSV and their kin): which encoding, which delimiter, and the rows."""

import csv
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

from app.intake.errors import Unreadable
from app.intake.grid import Grid, NumberedRow
from app.intake.headers import count_known
from app.sentences import N_, Sentence, say

DELIMITERS = ";,\t|"
SAMPLE = 65_536  # characters looked at to judge delimiter and content
LINES_IN_ONE_ROW = 200  # a longer row means a quotation mark that nobody closed
CELLS_IN_ONE_ROW = 200_000  # more would cost memory before any limit of columns is asked
LEGACY_ENCODINGS = ("cp1252", "mac_roman", "cp850")  # Windows, old Mac, Excel's "CSV (MS-DOS)"
ENCODING_NAMES = {
    "utf-8-sig": "UTF-8",
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16",
    "cp1252": "Windows-1252",
    "mac_roman": "Mac Roman",
    "cp850": "MS-DOS (850)",
}

_LOWER = "àâäáãåçéèêëíìîïñóòôöõúùûüýÿœæŋ"
_MARKS_OF_PRINT = "«»’‘“”–—…°º€·\u00a0"
_SEPARATOR_LINE = re.compile(r"\ufeff*sep=([;,\t|])\r?\n", re.IGNORECASE)


def open_text(path: Path) -> Grid:
    """Return the text file as a grid; raise Unreadable when it is no text or no quotation ends."""
    data = path.read_bytes()
    encoding = find_encoding(data)
    sample = _decode(data, encoding)[: SAMPLE + 1]
    del data
    _refuse_other_documents(sample)

    lines_to_skip = 0
    if told := _SEPARATOR_LINE.match(sample):
        delimiter, lines_to_skip = told.group(1), 1
    else:
        delimiter = find_delimiter(sample)
    strict = _keeps_strict_rules(path, encoding, delimiter)

    def rows() -> Iterator[NumberedRow]:
        with path.open(encoding=encoding, newline="") as file:
            reader = csv.reader(file, delimiter=delimiter, strict=strict)
            for number, cells in enumerate(reader, 1):
                if number == 1 and cells:
                    cells[0] = cells[0].lstrip("\ufeff")  # some programs write the byte order mark twice
                if number > lines_to_skip:
                    yield number, cells

    kind = "tsv" if delimiter == "\t" else "csv"
    return Grid(kind, rows, encoding=ENCODING_NAMES[encoding], delimiter=delimiter, notes=_notes(encoding))


def find_encoding(data: bytes) -> str:
    """Return the Python name of the encoding; raise Unreadable when none gives plausible text.

    Files without a byte order mark that are not UTF-8 are tried in the encodings spreadsheet programs wrote
    before; the one whose accented letters stand where French and Wolof put them wins.
    """
    if data.startswith((b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff")):
        raise Unreadable(say(_UNKNOWN_ENCODING))
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if wide := _utf16_without_mark(data[:4096]):
        return wide
    try:
        data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return _most_plausible(data)
    return "utf-8-sig"


def find_delimiter(sample: str) -> str:
    """Return the delimiter that cuts most rows into the same number of cells and shows known column names."""
    if len(sample) > SAMPLE:
        sample = sample[: max(sample.rfind("\n"), sample.rfind("\r")) + 1] or sample
    return max(DELIMITERS, key=lambda delimiter: _regularity(sample, delimiter))


_UNKNOWN_ENCODING = N_(
    "We cannot tell how the letters of this file are written. Open it in your spreadsheet program and save it as "
    "“CSV UTF-8” or as an Excel workbook (.xlsx)."
)


def _utf16_without_mark(head: bytes) -> str | None:
    """Return the UTF-16 byte order when every other byte is mostly zero, as in Latin text; else None."""
    half = len(head) // 2
    zeros_first, zeros_second = head[0::2].count(0), head[1::2].count(0)
    if half and zeros_second > 0.4 * half and zeros_first < 0.05 * half:
        return "utf-16-le"
    if half and zeros_first > 0.4 * half and zeros_second < 0.05 * half:
        return "utf-16-be"
    return None


def _most_plausible(data: bytes) -> str:
    shares = {encoding: _plausible_share(data, encoding) for encoding in LEGACY_ENCODINGS}
    best = max(shares, key=shares.__getitem__)
    if shares[best] < 0.7:
        raise Unreadable(say(_UNKNOWN_ENCODING))
    return best


def _plausible_share(data: bytes, encoding: str) -> float:
    """Return which share (0..1) of the letters beyond ASCII stands where French or Wolof would put it."""
    text = data.decode(encoding, errors="replace")
    if "\ufffd" in text:
        return 0.0
    total = plausible = 0
    for found in re.finditer(r"[^\x00-\x7f]", text):
        before = text[found.start() - 1 : found.start()]
        after = text[found.end() : found.end() + 1]
        plausible += _is_plausible(found.group(), before, after)
        total += 1
        if total == 20_000:
            break
    return plausible / total


def _is_plausible(letter: str, before: str, after: str) -> bool:
    if letter in _LOWER:
        return not after.isupper() and (before + after).isascii()
    if letter.lower() in _LOWER:
        return not before.islower() and (before + after).isascii()
    return letter in _MARKS_OF_PRINT and not (letter in "«»…°º" and before.isalpha() and after.isalpha())


def _decode(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        raise Unreadable(say(_UNKNOWN_ENCODING)) from None


def _refuse_other_documents(sample: str) -> None:
    start = sample.lstrip("\ufeff \t\r\n")[:10].lower()
    if start.startswith("<"):
        raise Unreadable(
            say(
                "This file is a web page or an XML document, whatever its name says. Open it in your spreadsheet "
                "program and save it as an Excel workbook (.xlsx)."
            )
        )
    controls = sum(unicodedata.category(letter) == "Cc" and letter not in "\t\r\n" for letter in sample)
    if start.startswith(("%pdf", "{\\rtf")) or controls > 0.01 * len(sample):
        raise Unreadable(
            say("This file is not a spreadsheet. Choose an Excel workbook (.xlsx), an .ods file or a .csv file.")
        )


def _regularity(sample: str, delimiter: str) -> float:
    """Return how much the sample looks like a table under this delimiter; higher is better."""
    try:
        rows = [row for row in csv.reader(StringIO(sample, newline=""), delimiter=delimiter) if any(row)]
    except csv.Error:
        return 0.0
    widths = Counter(len(row) for row in rows if len(row) > 1)
    if not widths:
        return 0.0
    width, times = widths.most_common(1)[0]
    known = max(count_known(row) for row in rows[:50])
    return 10 * known + times / len(rows) * min(width, 20)


def _keeps_strict_rules(path: Path, encoding: str, delimiter: str) -> bool:
    """Return whether the strict rules for quotation marks hold in the whole file; raise Unreadable if one never ends.

    A strict reader notices a quotation mark that is never closed, a lenient one forgives `"Awa" Diop`; so the
    lenient one is used only where the strict one stumbles over such a cell.
    """
    fault = _first_fault(path, encoding, delimiter, strict=True)
    if fault is None:
        return True
    if "expected after" in fault[1]:
        fault = _first_fault(path, encoding, delimiter, strict=False)
    if fault is None:
        return False
    row, reason = fault
    raise Unreadable(say(_TOO_LONG if "field limit" in reason else _UNCLOSED, row=row))


def _first_fault(path: Path, encoding: str, delimiter: str, *, strict: bool) -> tuple[int, str] | None:
    """Return the row where the CSV reader stops and its reason; None when it reads to the end."""
    number = line = 0
    with path.open(encoding=encoding, newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=strict)
        try:
            for number, cells in enumerate(reader, 1):
                if len(cells) > CELLS_IN_ONE_ROW:
                    raise Unreadable(say("Row %(row)s of the file has far too many cells.", row=number))
                if reader.line_num - line > LINES_IN_ONE_ROW:
                    return number, "too many lines in one row"
                line = reader.line_num
        except csv.Error as error:
            return number + 1, str(error)
    return None


_UNCLOSED = N_(
    'In row %(row)s of the file a quotation mark (") opens a text that never ends. Close or remove it, '
    "or save the table as an Excel workbook (.xlsx)."
)
_TOO_LONG = N_(
    "In row %(row)s of the file one text is longer than 131,072 characters; perhaps a quotation mark is never closed. "
    "Mend it, or save the table as an Excel workbook (.xlsx)."
)


def _notes(encoding: str) -> tuple[Sentence, ...]:
    if encoding not in LEGACY_ENCODINGS:
        return ()
    return (
        say(
            "The letters of this file were read as %(encoding)s. Look at a few names with accents before you go on.",
            encoding=ENCODING_NAMES[encoding],
        ),
    )
