"""Beneficiaries as a request or a form gives them -> typed rows, or all that is wrong. No database."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from functools import partial

import phonenumbers
from phonenumbers import NumberParseException, ValidationResult

from app.domain.errors import Invalid, InvalidPeople
from app.intake import FIELDS, REQUIRED, PersonRow, forget
from app.intake.dates import EARLIEST
from app.intake.phones import read_phone
from app.intake.values import CUSTOM_LENGTH, read_gender, read_id, read_name, read_text, shown
from app.sentences import Sentence, say

LATEST_ENROLMENT_YEAR = 2100  # as intake has it: a programme may enrol people for next year
MOST_NAMED = 100  # problems told one by one; the rest is only counted
MOST_CUSTOM = 100  # columns of one's own a person
COLUMN_LENGTH = 100

_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufffe\uffff\ud800-\udfff]")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")  # ITU-T E.164: at most 15 digits

Reader = Callable[[str], object]
Trouble = tuple[str, Sentence]  # a field's name, and what is wrong with its value


def check_people(items: Sequence[object], *, today: date) -> list[PersonRow]:
    """Return the people of a request in its order: JSON objects with phone numbers in E.164.

    Raises InvalidPeople with the first hundred problems, each by the index of its person, and their number.
    """
    rows: list[PersonRow] = []
    problems: list[tuple[int, str, Sentence]] = []
    first_with: dict[str, int] = {}
    for index, (row, troubles) in enumerate(_read_all(items, today, read_e164)):
        if row:
            rows.append(row)
            first = first_with.setdefault(row.beneficiary_id, index)
            if first != index:
                troubles = [("beneficiary_id", twice(first))]
        problems += [(index, name, sentence) for name, sentence in troubles]
    if problems:
        raise InvalidPeople(problems[:MOST_NAMED], len(problems))
    return rows


def check_person(values: Mapping[str, object], *, today: date, country: str) -> PersonRow:
    """Return the person a form describes; a phone number without country code is dialled in `country`.

    Raises Invalid with a sentence a field.
    """
    [(row, troubles)] = _read_all([values], today, partial(read_phone, country=country))
    if row is None:
        raise Invalid(dict(troubles))
    return row


def twice(first: int) -> Sentence:
    """Return what is said to someone who has the beneficiary ID of the person at index `first`."""
    return say("Beneficiary %(index)s of this request has the same ID. Send each person once.", index=first)


def unprintable(text: str) -> bool:
    """Return whether the text holds control characters or halves of characters, which nothing can print."""
    return _UNPRINTABLE.search(text) is not None


def read_e164(text: str) -> str | Sentence:
    """Return the number as it is when it is written in E.164 and its country knows numbers of this length."""
    if not _E164.fullmatch(text):
        return say("Write the phone number with + and the country code, without spaces: +221771234567.")
    try:
        reason = phonenumbers.is_possible_number_with_reason(phonenumbers.parse(text))
    except NumberParseException:
        return say("No country has this country code.")
    if reason == ValidationResult.IS_POSSIBLE:
        return text
    if reason == ValidationResult.TOO_LONG:
        return say("This phone number is too long.")
    return say("This phone number is too short.")


def _read_all(items: Sequence[object], today: date, phone: Reader) -> list[tuple[PersonRow | None, list[Trouble]]]:
    try:
        return [_read(item, today, phone) for item in items]
    finally:
        forget()


def _read(item: object, today: date, phone: Reader) -> tuple[PersonRow | None, list[Trouble]]:
    """Return the person, or what is wrong in the order of the fields."""
    if not isinstance(item, Mapping):
        return None, [("", say("Describe each beneficiary as a JSON object."))]
    values: dict[str, object] = {}
    troubles: list[Trouble] = []
    for name in FIELDS:
        value = _field(name, item.get(name), phone)
        if isinstance(value, Sentence):
            troubles.append((name, value))
        elif value is not None:
            values[name] = value
    custom = {name: value for name, value in item.items() if name not in FIELDS}
    troubles += _impossible_days(values, today) + _custom(custom)
    if troubles:
        return None, troubles
    told = {name: text for name, text in custom.items() if text}
    return PersonRow(**values, custom=told), []  # type: ignore[arg-type]


def _field(name: str, value: object, phone: Reader) -> object:
    """Return the field's value, None when it is absent, or a sentence."""
    if value is not None and not isinstance(value, str):
        return say("Write this as text, in quotation marks.")
    text = _plain(value or "", CUSTOM_LENGTH)
    if isinstance(text, Sentence):
        return text
    if not text:
        return say("This field is missing.") if name in REQUIRED else None
    return _reader(name, phone)(text)


def _reader(name: str, phone: Reader) -> Reader:
    readers: dict[str, Reader] = {
        "first_name": read_name,
        "last_name": read_name,
        "beneficiary_id": read_id,
        "date_of_birth": _read_day,
        "enrollment_date": _read_day,
        "phone_number": phone,
        "gender": read_gender,
    }
    return readers.get(name, read_text)


def _plain(text: str, most: int) -> str | Sentence:
    """Return the text in NFC with single spaces."""
    if unprintable(text):
        return say("This holds control characters, which cannot be printed. Send it without them.")
    return read_text(text, most)


def _read_day(text: str) -> date | Sentence:
    if not _DAY.fullmatch(text):
        return say("Write the date as year-month-day, for example 1990-12-31.")
    try:
        return date.fromisoformat(text)
    except ValueError:
        return say("This day does not exist in the calendar.")


def _impossible_days(values: Mapping[str, object], today: date) -> list[Trouble]:
    born, enrolled = values.get("date_of_birth"), values.get("enrollment_date")
    troubles: list[Trouble] = []
    if isinstance(born, date) and born > today:
        troubles.append(("date_of_birth", say("The date of birth lies in the future.")))
    elif isinstance(born, date) and born < EARLIEST:
        troubles.append(("date_of_birth", say("The date of birth lies before 1900.")))
    if isinstance(enrolled, date):
        if enrolled < EARLIEST or enrolled.year > LATEST_ENROLMENT_YEAR:
            troubles.append(("enrollment_date", say("The enrolment date lies before 1900 or after 2100.")))
        elif isinstance(born, date) and enrolled < born:
            troubles.append(("enrollment_date", say("The enrolment date lies before the date of birth.")))
    return troubles


def _custom(custom: dict[str, object]) -> list[Trouble]:
    """Turn the values of one's own fields into texts, in place; return what is wrong with them."""
    if len(custom) > MOST_CUSTOM:
        return [("", say("A beneficiary has at most %(most)s fields of their own.", most=MOST_CUSTOM))]
    troubles: list[Trouble] = []
    for name, value in custom.items():
        named = _plain(name, COLUMN_LENGTH) or say("Name this field.")
        text = named if isinstance(named, Sentence) else _as_text(value)
        if isinstance(text, Sentence):
            troubles.append((name, text))
        else:
            custom[name] = text
    return troubles


def _as_text(value: object) -> str | Sentence:
    """Return a JSON value as text: numbers as they are written, a list with commas."""
    parts = value if isinstance(value, list) else [value]
    if not all(part is None or isinstance(part, str | int | float) for part in parts):
        return say("Write this as text, a number or a list of texts.")
    return _plain(", ".join(shown(part) for part in parts if part is not None), CUSTOM_LENGTH)
