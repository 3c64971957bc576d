"""Dates in cells: what a text or number means, and whether a column writes the day or the month first."""

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from app.intake.grid import Cell
from app.intake.values import unaccented
from app.sentences import Sentence, say, say_n

EARLIEST = date(1900, 1, 1)
_SERIAL_EPOCH = date(1899, 12, 30)  # day 0 of Excel's calendar, for dates from 1 March 1900 on
_SERIALS = range(2_101, 73_051)  # 1905 to 2099; smaller numbers look like years or ages, not like days
REAL_DATES_FOR_SUSPICION = 8  # chance that so many days are all 12 or less by accident: (12/31)^8 = 0.05 %
FEW = 0.05  # share of rows in the other order that is still a slip of the pen

LONGEST = 40  # characters; a longer text is no date

_ISO = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:[T ]\d{1,2}:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?")
_COMPACT = re.compile(r"((?:19|20)\d\d)(\d\d)(\d\d)(?:\.0)?")
_NUMERIC = re.compile(r"(\d{1,2})\s*[-/. ]\s*(\d{1,2})\s*[-/. ]\s*(\d{4})(?: 0{1,2}:00(?::00)?)?")
_SHORT_YEAR = re.compile(r"\d{1,2}\s*[-/. ]\s*(?:\d{1,2}|[^\W\d]{3,}\.?)\s*[-/. ]\s*\d{2}")
_NAMED = re.compile(r"(?:[^\W\d]+\.?,? )?(\d{1,2})(?:er|st|nd|rd|th)?[ .-]*([^\W\d]{3,})\.?[ ,.-]*(\d{4})")
_NAMED_FIRST = re.compile(r"([^\W\d]{3,})\.? (\d{1,2})(?:st|nd|rd|th)?,? (\d{4})")
_NUMBER = re.compile(r"\d{1,5}(?:\.0)?")

_MONTHS = {
    start: number
    for number, starts in enumerate(
        (
            "janv jan samw", "fev feb few", "mar", "avr apr awr", "mai may me", "juin jun suwe", "juil jul sul",
            "aou aug ut", "sep", "oct okt", "nov now", "dec des",
        ),
        1,
    )
    for start in starts.split()
}  # fmt: skip


@dataclass(frozen=True)
class DateOrder:
    """How one column writes its dates, settled by all its rows together."""

    day_first: bool = True
    ambiguous_allowed: bool = True  # may 03/04/2001 be read, or is it anybody's guess?
    real_dates_swapped: bool = False  # did a spreadsheet program swap day and month before we saw them?


class OrderTally:
    """Counts how the cells of one column write their dates, then says in which order they are read."""

    def __init__(self, header: str) -> None:
        self.header = header
        self.day_first = self.month_first = self.ambiguous = 0
        self.real = self.real_up_to_12 = 0

    def add(self, cell: Cell) -> None:
        """Count one cell."""
        if isinstance(cell, str):
            if len(cell) <= LONGEST and (found := _NUMERIC.fullmatch(cell.strip())):
                first, second = int(found[1]), int(found[2])
                self.day_first += first > 12 >= second
                self.month_first += second > 12 >= first
                self.ambiguous += first <= 12 and second <= 12 and first != second
        elif isinstance(cell, date):
            self.real += 1
            self.real_up_to_12 += cell.day <= 12

    def settle(self) -> tuple[DateOrder, Sentence | None]:
        """Return the order of day and month, and a sentence where that needs saying."""
        if self._looks_swapped():
            return DateOrder(real_dates_swapped=True), say(
                "In the column “%(header)s” a spreadsheet program seems to have swapped day and month in some dates.",
                header=self.header,
            )
        if self.day_first and self.month_first:
            fewer = min(self.day_first, self.month_first)
            mixed = fewer > FEW * (self.day_first + self.month_first)
            return DateOrder(self.day_first >= self.month_first, ambiguous_allowed=not mixed), say(
                "The column “%(header)s” writes the day first in some rows and the month first in others.",
                header=self.header,
            )
        if self.month_first:
            return DateOrder(day_first=False), say(
                "The dates in the column “%(header)s” were read as month/day/year.", header=self.header
            )
        if self.ambiguous and not self.day_first:
            return DateOrder(), say_n(
                "One date in the column “%(header)s” could be read in two ways; it was read as day/month/year.",
                "%(n)s dates in the column “%(header)s” could be read in two ways; they were read as day/month/year.",
                self.ambiguous,
                header=self.header,
            )
        return DateOrder(), None

    def _looks_swapped(self) -> bool:
        """Return whether a program read dd/mm as mm/dd: days up to 12 became dates, the rest stayed text."""
        only_later_days = self.day_first > 0 and not self.month_first and not self.ambiguous
        return only_later_days and self.real >= REAL_DATES_FOR_SUSPICION and self.real == self.real_up_to_12


def read_date(cell: Cell, order: DateOrder) -> date | Sentence:
    """Return the date, or a sentence that says why the cell is none."""
    if isinstance(cell, datetime):
        cell = cell.date()
    if isinstance(cell, date):
        if order.real_dates_swapped:
            return say(
                "A spreadsheet program seems to have swapped day and month here. Write the date as in the paper "
                "record, as year-month-day: 1990-12-31."
            )
        return cell
    if isinstance(cell, bool) or cell is None:
        return _not_a_date()
    if isinstance(cell, int | float):
        return _from_number(cell)
    return _from_text(" ".join(cell.split()), order)


def looks_like_date(text: str) -> bool:
    """Return whether the text has the form of a date; whether the day exists is another question."""
    return len(text) <= LONGEST and any(
        form.fullmatch(text.strip()) for form in (_ISO, _NUMERIC, _SHORT_YEAR, _NAMED, _NAMED_FIRST)
    )


def _from_number(number: float) -> date | Sentence:
    """Return the day that Excel's calendar counts; a year alone or a broken number is refused."""
    if number in range(1900, 2101):
        return _only_a_year()
    if number in _SERIALS:
        return _SERIAL_EPOCH + timedelta(days=int(number))
    if number == number and 19_000_101 <= number <= 20_991_231 and (found := _COMPACT.fullmatch(f"{number:.0f}")):
        return _calendar_day(int(found[1]), int(found[2]), int(found[3]))
    if 2_101 < number < 73_050:  # a moment within a day
        return _SERIAL_EPOCH + timedelta(days=int(number))
    return _not_a_date()


def _from_text(text: str, order: DateOrder) -> date | Sentence:
    if len(text) > LONGEST:
        return _not_a_date()
    if found := _ISO.fullmatch(text) or _COMPACT.fullmatch(text):
        return _calendar_day(int(found[1]), int(found[2]), int(found[3]))
    if found := _NUMERIC.fullmatch(text):
        return _from_parts(int(found[1]), int(found[2]), int(found[3]), order)
    if found := _NAMED.fullmatch(text):
        return _from_name(int(found[1]), found[2], int(found[3]))
    if found := _NAMED_FIRST.fullmatch(text):
        return _from_name(int(found[2]), found[1], int(found[3]))
    if _NUMBER.fullmatch(text):
        return _from_number(float(text))
    if _SHORT_YEAR.fullmatch(text):
        return say("Write the year with four digits, for example 1990-12-31.")
    return _not_a_date()


def _from_parts(first: int, second: int, year: int, order: DateOrder) -> date | Sentence:
    if first <= 12 and second <= 12 and first != second and not order.ambiguous_allowed:
        return say(
            "This date can be read in two ways, and the column mixes both. Write it as year-month-day: 1990-12-31."
        )
    day, month = (first, second) if order.day_first else (second, first)
    if month > 12 >= day:
        return say(
            "Day and month stand the other way round than in the rest of this column. Write the date as "
            "year-month-day: 1990-12-31."
        )
    return _calendar_day(year, month, day)


def _from_name(day: int, name: str, year: int) -> date | Sentence:
    plain = unaccented(name)
    month = next((number for start, number in _MONTHS.items() if plain.startswith(start)), 0)
    return _calendar_day(year, month, day) if month else _not_a_date()


def _calendar_day(year: int, month: int, day: int) -> date | Sentence:
    try:
        return date(year, month, day)
    except ValueError:
        return say("This day does not exist in the calendar.")


def _only_a_year() -> Sentence:
    return say("This is only a year. Write day, month and year, for example 1990-12-31.")


def _not_a_date() -> Sentence:
    return say("This is not a date. Write it as year-month-day, for example 1990-12-31.")
