"""Tables to take away: CSV that opens in a spreadsheet with its accents, its columns, and without doing anything."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from flask import Response
from flask_babel import get_locale

# What makes a spreadsheet read a cell as a formula: https://owasp.org/www-community/attacks/CSV_Injection
STARTS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r")
BYTE_ORDER_MARK = "\ufeff"
SEPARATED_BY_COMMAS = frozenset({"en"})  # Excel elsewhere uses the comma in numbers, and expects semicolons


def csv_file(name: str, heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> Response:
    """Return the table as a download called `name`, in UTF-8 with the mark by which Excel knows it."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter="," if str(get_locale()) in SEPARATED_BY_COMMAS else ";")
    writer.writerow(heads)
    writer.writerows([harmless(value) for value in row] for row in rows)
    answer = Response(BYTE_ORDER_MARK + out.getvalue(), mimetype="text/csv")
    answer.headers.set("Content-Disposition", "attachment", filename=name)
    return answer


def harmless(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula; numbers stay numbers."""
    if isinstance(value, str) and value.startswith(STARTS_A_FORMULA):
        return "'" + value
    return "" if value is None else value
