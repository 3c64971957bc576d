"""Names, identifiers, genders and free text in cells: the clean value, or a sentence that says what is wrong."""

import re
import unicodedata
from datetime import date, datetime

from app.intake.grid import Cell
from app.intake.memory import remembered
from app.sentences import N_, Sentence, say

NAME_LENGTH = 100  # characters
ID_LENGTH = 64
TEXT_LENGTH = 200
CUSTOM_LENGTH = 1_000

SCIENTIFIC = re.compile(r"\d(?:[.,]\d+)?[eE]\+\d{1,3}|\d[.,]\d+[eE]\d{1,3}")
EXACT_UP_TO = 10**15  # a spreadsheet keeps 15 digits of a number and turns the rest into zeros

ROUNDED_ID = N_(
    "A spreadsheet program has shortened this identifier and some of its digits are lost. Format the column as text "
    "and type the identifier again."
)

_INVISIBLE = re.compile(r"[\u200b\u200e\u200f\u2060\ufeff\u00ad]")
_FORBIDDEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufffe\uffff\ud800-\udfff]")
_GENDERS = {
    "m": "M", "h": "M", "masculin": "M", "homme": "M", "garcon": "M", "male": "M", "man": "M", "boy": "M",
    "masc": "M", "monsieur": "M", "goor": "M", "xalebugoor": "M",
    "f": "F", "feminin": "F", "femme": "F", "fille": "F", "female": "F", "woman": "F", "girl": "F", "fem": "F",
    "w": "F", "madame": "F", "jigeen": "F", "jiggeen": "F", "xalebujigeen": "F",
    "u": "U", "i": "U", "inconnu": "U", "indetermine": "U", "nonprecise": "U", "nonrenseigne": "U", "unknown": "U",
    "unspecified": "U", "other": "U", "autre": "U", "na": "U", "xamunu": "U", "": "U",
}  # fmt: skip


def shown(cell: Cell) -> str:
    """Return the cell as text, the way a spreadsheet shows it: whole numbers without decimals, dates as ISO."""
    if cell is None:
        return ""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return "TRUE" if cell else "FALSE"
    if isinstance(cell, datetime):
        return cell.isoformat(" ", "minutes") if (cell.hour or cell.minute) else cell.date().isoformat()
    if isinstance(cell, date):
        return cell.isoformat()
    return whole_number(cell) or repr(cell)


def whole_number(number: float) -> str | None:
    """Return the digits of a whole number that is exact, "123" for 123.0; None for anything else."""
    if isinstance(number, float) and (not number.is_integer() or abs(number) >= EXACT_UP_TO):
        return None
    return str(int(number))


def printable(text: str) -> str:
    """Return the text in NFC with single spaces and without what cannot be seen."""
    return " ".join(unicodedata.normalize("NFC", _FORBIDDEN.sub("", _INVISIBLE.sub("", text))).split())


def read_text(cell: Cell, most: int = TEXT_LENGTH) -> str | Sentence:
    """Return the text in NFC with single spaces; `most` characters at most."""
    text = _tidy(shown(cell))
    if text is None:
        return say("This cell holds invisible control characters. Delete the cell and type its text again.")
    if len(text) > most:
        return say("This is longer than %(most)s characters.", most=most)
    return text


@remembered(10_000)
def _tidy(text: str) -> str | None:
    """Return the text in NFC with single spaces; None when it holds control characters. Lists repeat their places."""
    if _FORBIDDEN.search(text):
        return None
    return " ".join(unicodedata.normalize("NFC", _INVISIBLE.sub("", text)).split())


def read_name(cell: Cell) -> str | Sentence:
    """Return a person's name; it has at least one letter and at most 100 characters."""
    if isinstance(cell, date):
        return say("This is a date, not a name.")
    text = read_text(cell, NAME_LENGTH)
    if isinstance(text, Sentence) or any(letter.isalpha() for letter in text):
        return text
    return say("A name needs at least one letter.")


def read_id(cell: Cell) -> str | Sentence:
    """Return an identifier as text, never rounded: 123.0 is "123", "00123" stays, 1.23E+12 is refused."""
    if isinstance(cell, date):
        return say(
            "A spreadsheet program has turned this identifier into a date. Format the column as text and type it again."
        )
    if isinstance(cell, bool):
        return say("This is not an identifier.")
    if isinstance(cell, int | float):
        digits = whole_number(cell)
        return say(ROUNDED_ID) if digits is None else digits
    text = read_text(cell, ID_LENGTH)
    if isinstance(text, str) and SCIENTIFIC.fullmatch(text):
        return say(ROUNDED_ID)
    if isinstance(text, str) and not any(letter.isalnum() for letter in text):
        return say("An identifier needs at least one letter or digit.")
    return text


def read_gender(cell: Cell) -> str | Sentence:
    """Return "M", "F" or "U" (unknown)."""
    word = "".join(letter for letter in unaccented(shown(cell)) if letter.isalpha() or letter.isdigit())
    if word in _GENDERS:
        return _GENDERS[word]
    return say("Write M (male), F (female) or U (unknown).")


def split_full_name(text: str, family_first: bool) -> tuple[str, str] | Sentence:
    """Return (first name, last name) of a full name.

    A comma ends the family name ("Diop, Awa"); a family name in capitals beside other words is taken as such
    ("DIOP Awa"); otherwise one word, the last or, where the column says so, the first, is the family name.
    """
    before, comma, after = text.partition(",")
    if comma and before.strip() and after.strip():
        return after.strip(), before.strip()
    words = text.split()
    if len(words) < 2:
        return say("Write first name and last name.")
    capitals = [word for word in words if word.isupper() and len(word) > 1]
    others = [word for word in words if word not in capitals]
    if capitals and others:
        return " ".join(others), " ".join(capitals)
    if family_first:
        return " ".join(words[1:]), words[0]
    return " ".join(words[:-1]), words[-1]


def unaccented(text: str) -> str:
    """Return the text without accents and case, for comparing."""
    spelled = unicodedata.normalize("NFKD", text)
    return "".join(letter for letter in spelled if not unicodedata.combining(letter)).casefold()
