"""Rows -> people, or every problem of the row at once; the columns decide first how their dates are read."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date

from app.intake.dates import EARLIEST, DateOrder, OrderTally, read_date
from app.intake.errors import MappingError
from app.intake.grid import Cell
from app.intake.headers import FIELDS, FULL_NAME, LEFT_OUT, REQUIRED, family_name_first
from app.intake.phones import read_phone
from app.intake.reader import Table
from app.intake.values import CUSTOM_LENGTH, read_gender, read_id, read_name, read_text, shown, split_full_name
from app.sentences import N_, Sentence, say

MISSING = {
    "first_name": N_("The first name is missing."),
    "last_name": N_("The last name is missing."),
    "beneficiary_id": N_("The beneficiary ID is missing."),
    FULL_NAME: N_("The name is missing."),
}
NOT_CHOSEN = {
    "first_name": N_("Choose the column that holds the first name."),
    "last_name": N_("Choose the column that holds the last name."),
    "beneficiary_id": N_("Choose the column that holds the beneficiary ID."),
}
_DATES = ("date_of_birth", "enrollment_date")


@dataclass(frozen=True, slots=True)
class PersonRow:
    """A person as the file gives them; what the file does not tell is None, gender "U"."""

    first_name: str
    last_name: str
    beneficiary_id: str
    date_of_birth: date | None = None
    phone_number: str | None = None  # E.164
    gender: str = "U"  # M, F or U
    health_center: str | None = None
    org_unit: str | None = None
    zone: str | None = None
    enrollment_date: date | None = None
    custom: dict[str, str] = field(default_factory=dict)  # column name -> text


@dataclass(frozen=True, slots=True)
class Problem:
    """One cell that cannot be taken as it is."""

    index: int  # of the column
    header: str
    field: str | None
    sentence: Sentence


@dataclass(frozen=True, slots=True)
class CheckedRow:
    """One row: the spreadsheet's own number, its cells as text, and a person or the problems, never both."""

    number: int
    original: tuple[str, ...]
    person: PersonRow | None
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class CheckedRows:
    """The checked rows, computed as they are iterated; `notes` say what the columns as a whole decided."""

    notes: tuple[Sentence, ...]
    _check: Callable[[], Iterator[CheckedRow]]

    def __iter__(self) -> Iterator[CheckedRow]:
        return self._check()


def check_rows(table: Table, mapping: Mapping[int, str | None], *, country: str, today: date) -> CheckedRows:
    """Return the rows of the table, checked; raise MappingError when the columns cannot make a person.

    `mapping`: column index -> field, or None to keep the column under its own name; a column that is absent or
    LEFT_OUT is not taken over. `country` (ISO 3166) reads phone numbers without a country code.
    """
    _refuse_bad_mapping(table, mapping)
    columns = {index: chosen for index, chosen in sorted(mapping.items()) if chosen != LEFT_OUT}
    orders, padded_width, notes = _first_pass(table, columns)

    def read_cell(index: int, chosen: str | None, cell: Cell) -> object:
        if chosen in _DATES:
            return read_date(cell, orders[index])
        if chosen == "phone_number":
            return read_phone(cell, country)
        if chosen == "beneficiary_id":
            return _read_padded_id(cell, padded_width)
        if chosen in ("first_name", "last_name", FULL_NAME):
            return read_name(cell)
        if chosen == "gender":
            return read_gender(cell)
        return read_text(cell) if chosen else read_text(cell, CUSTOM_LENGTH)

    def check() -> Iterator[CheckedRow]:
        seen: dict[str, tuple[int, int]] = {}  # beneficiary ID -> row number and hash of the row that had it first
        for number, cells in table.rows():
            reading = _Reading(table, today)
            for index, chosen in columns.items():
                reading.take(index, chosen, cells[index], read_cell)
            reading.compare_dates()
            reading.refuse_overflow(cells)
            original = tuple([shown(cell).replace("\0", "\ufffd") for cell in cells])
            reading.refuse_repeated(number, original, seen)
            yield CheckedRow(number, original, reading.person(), tuple(reading.problems))

    return CheckedRows(notes, check)


def _refuse_bad_mapping(table: Table, mapping: Mapping[int, str | None]) -> None:
    sentences = []
    chosen: dict[str, list[int]] = {}
    for index, name in sorted(mapping.items()):
        if not 0 <= index < len(table.columns) or name not in (*FIELDS, FULL_NAME, LEFT_OUT, None):
            raise MappingError(say("These columns are not those of the file. Choose the columns again."))
        if name in ("first_name", "last_name", FULL_NAME, *FIELDS):
            chosen.setdefault(name, []).append(index)

    for name, indexes in chosen.items():
        rivals = indexes + (chosen.get("first_name", []) + chosen.get("last_name", []) if name == FULL_NAME else [])
        if len(rivals) > 1:
            named = ", ".join(f"“{table.columns[index]}”" for index in rivals)
            sentences.append(
                say("The columns %(columns)s were chosen for the same thing. Keep one of them.", columns=named)
            )
    for name in REQUIRED:
        if name not in chosen and (FULL_NAME not in chosen or name == "beneficiary_id"):
            sentences.append(say(NOT_CHOSEN[name]))
    if sentences:
        raise MappingError(*sentences)


def _first_pass(
    table: Table, columns: Mapping[int, str | None]
) -> tuple[dict[int, DateOrder], int, tuple[Sentence, ...]]:
    """Return for each date column its order, the width of identifiers with leading zeros (or 0), and notes."""
    tallies = {index: OrderTally(table.columns[index]) for index, chosen in columns.items() if chosen in _DATES}
    id_column = next(index for index, chosen in columns.items() if chosen == "beneficiary_id")
    widths = set()
    for _, cells in table.rows():
        for index, tally in tallies.items():
            tally.add(cells[index])
        cell = cells[id_column]
        if isinstance(cell, str) and cell.startswith("0") and cell.strip().isdecimal():
            widths.add(len(cell.strip()))

    settled = {index: tally.settle() for index, tally in tallies.items()}
    orders = {index: order for index, (order, _) in settled.items()}
    notes = tuple(note for _, note in settled.values() if note)
    return orders, widths.pop() if len(widths) == 1 else 0, notes


def _read_padded_id(cell: Cell, width: int) -> str | Sentence:
    """Return the identifier; where all numbers are padded to one width, a shorter one has lost its zeros."""
    text = read_id(cell)
    if isinstance(text, str) and text.isdecimal() and len(text) < width:
        return say(
            "This identifier seems to have lost its leading zeros: others in this column have %(width)s digits. Format "
            "the column as text and type it again.",
            width=width,
        )
    return text


class _Reading:
    """One row while it is read: the values found so far and everything that is wrong."""

    def __init__(self, table: Table, today: date) -> None:
        self.table = table
        self.today = today
        self.values: dict[str, object] = {}
        self.custom: dict[str, str] = {}
        self.places: dict[str, int] = {}
        self.problems: list[Problem] = []

    def take(self, index: int, chosen: str | None, cell: Cell, read: Callable[[int, str | None, Cell], object]) -> None:
        """Read one cell into its field, or note what is wrong with it."""
        if chosen is not None:
            self.places[chosen] = index
        value = read(index, chosen, cell) if cell is not None else ""
        if isinstance(value, Sentence):
            self._refuse(index, chosen, value)
        elif value == "":
            if chosen in MISSING:
                self._refuse(index, chosen, say(MISSING[chosen]))
        elif chosen is None:
            self.custom[self.table.columns[index]] = str(value)
        elif chosen == FULL_NAME:
            self._split(index, str(value))
        else:
            self.values[chosen] = value

    def compare_dates(self) -> None:
        """Refuse dates that no living person has, and an enrolment before birth."""
        born, enrolled = self.values.get("date_of_birth"), self.values.get("enrollment_date")
        if isinstance(born, date):
            if born > self.today:
                self._refuse_field("date_of_birth", say("The date of birth lies in the future."))
            elif born < EARLIEST:
                self._refuse_field("date_of_birth", say("The date of birth lies before 1900."))
        if isinstance(enrolled, date):
            if enrolled < EARLIEST or enrolled.year > 2100:
                self._refuse_field("enrollment_date", say("The enrolment date lies before 1900 or after 2100."))
            elif isinstance(born, date) and enrolled < born:
                self._refuse_field("enrollment_date", say("The enrolment date lies before the date of birth."))

    def refuse_overflow(self, cells: tuple[Cell, ...]) -> None:
        """Refuse what stands to the right of all column names: there, a delimiter inside a text moved the cells."""
        for index in self.table.overflow:
            if cells[index] is not None:
                self._refuse(
                    index,
                    None,
                    say(
                        "This row has more cells than there are column names. "
                        "Check that its values stand in their columns."
                    ),
                )

    def refuse_repeated(self, number: int, original: tuple[str, ...], seen: dict[str, tuple[int, int]]) -> None:
        """Refuse a beneficiary ID that a row above has already."""
        beneficiary_id = self.values.get("beneficiary_id")
        if not isinstance(beneficiary_id, str):
            return
        first, fingerprint = seen.setdefault(beneficiary_id, (number, hash(original)))
        if first == number:
            return
        same = fingerprint == hash(original)
        template = _SAME_ROW if same else _SAME_ID
        self._refuse_field("beneficiary_id", say(template, row=first))

    def person(self) -> PersonRow | None:
        """Return the person; None when anything is wrong."""
        return None if self.problems else PersonRow(**self.values, custom=self.custom)

    def _split(self, index: int, full_name: str) -> None:
        parts = split_full_name(full_name, family_name_first(self.table.columns[index]))
        if isinstance(parts, Sentence):
            self._refuse(index, FULL_NAME, parts)
        else:
            self.values["first_name"], self.values["last_name"] = parts

    def _refuse_field(self, name: str, sentence: Sentence) -> None:
        self._refuse(self.places[name], name, sentence)

    def _refuse(self, index: int, chosen: str | None, sentence: Sentence) -> None:
        self.problems.append(Problem(index, self.table.columns[index], chosen, sentence))


_SAME_ROW = N_("This row is the same as row %(row)s. Keep one of them.")
_SAME_ID = N_("Row %(row)s has this beneficiary ID already, for someone else or with other facts. Keep one of them.")
