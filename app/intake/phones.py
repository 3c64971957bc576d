"""Phone numbers in cells: the international form (E.164), or why there is none."""

import re

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat, ValidationResult

from app.intake.grid import Cell
from app.intake.memory import remembered
from app.intake.values import SCIENTIFIC, shown, whole_number
from app.sentences import N_, Sentence, say

ROUNDED = N_(
    "A spreadsheet program has shortened this number and some of its digits are lost. Format the column as text "
    "and type the number again."
)

LONGEST = 60  # characters; a longer text is no phone number

_PHONE_LIKE = re.compile(r"[+(']?\d[\d\s().-]{6,18}\d(?:\.0)?")
_DATE_LIKE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}")
_TWO_NUMBERS = re.compile(r"\d{6,}\D{1,9}\d{6,}")
_SPACES = re.compile(r"[\s\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]+")


def read_phone(cell: Cell, country: str) -> str | Sentence:
    """Return the number in E.164, such as "+221771234567", or a sentence that says what is wrong.

    `country` (ISO 3166, such as "SN") is where a number without a country code is dialled.
    """
    if isinstance(cell, bool) or not isinstance(cell, str | int | float) or len(shown(cell)) > LONGEST:
        return say("This is not a phone number.")
    if isinstance(cell, str):
        return _read_text(cell, country)
    digits = whole_number(cell)
    if digits is None or (len(digits) > 9 and digits.endswith("000000")):  # 2.21771E+11 typed back into a cell
        return say(ROUNDED)
    return _read_text(digits, country)


def looks_like_phone(text: str) -> bool:
    """Return whether the text has the form of a phone number; whether it exists is another question."""
    text = text.strip()
    return len(text) <= LONGEST and bool(_PHONE_LIKE.fullmatch(text)) and not _DATE_LIKE.fullmatch(text)


@remembered(50_000)
def _read_text(text: str, country: str) -> str | Sentence:
    text = _SPACES.sub(" ", text).strip()
    if SCIENTIFIC.fullmatch(text):
        return say(ROUNDED)
    compact = text.replace(" ", "").replace("-", "").replace(".", "")
    if _TWO_NUMBERS.search(compact):
        return say("There is more than one phone number here. Keep one.")
    if text.endswith(".0") and text[:-2].isdigit():
        text = text[:-2]  # a number that went through a program that counts with decimals
    try:
        number = phonenumbers.parse(text, country)
    except NumberParseException:
        return say("This is not a phone number.")
    if number.extension:
        return say("Leave the extension out of the phone number.")
    if phonenumbers.is_valid_number(number):
        return phonenumbers.format_number(number, PhoneNumberFormat.E164)
    return _explain(text, number, country)


def _explain(text: str, number: phonenumbers.PhoneNumber, country: str) -> Sentence:
    if not text.startswith("+") and _is_valid("0" + text, country):
        return say(
            "This phone number seems to have lost its leading zero. Format the column as text and type it again."
        )
    if not text.startswith(("+", "0")) and _is_valid("+" + text, country):
        return say("Write this phone number with a plus sign before the country code.")
    reason = phonenumbers.is_possible_number_with_reason(number)
    if reason == ValidationResult.TOO_SHORT:
        return say("This phone number is too short.")
    if reason == ValidationResult.TOO_LONG:
        return say("This phone number is too long.")
    return say("No such phone number is in use. Check its digits, or write it with + and the country code.")


def _is_valid(text: str, country: str) -> bool:
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(text, country))
    except NumberParseException:
        return False
