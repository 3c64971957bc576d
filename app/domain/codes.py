"""Card codes: how they are made, and how what a person typed is read. A code is a name, not a proof.

`DKR-VAC-9XQ7LM2G`: the campaign's prefix, a hyphen, seven random Base36 characters and the check character of the
seven (ISO/IEC 7064 MOD 37,36). None of the eight is O or I, so a typed O is a zero and a typed I is a one.
"""

import re
import unicodedata
from dataclasses import dataclass
from itertools import product
from random import SystemRandom

from stdnum.iso7064 import mod_37_36

from app.sentences import Sentence, say

ALPHABET = "0123456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # Base36 without O and I
SERIAL_LENGTH = 8
PREFIX = re.compile(r"^(?=.{3,8}\Z)[A-Z0-9]+(-[A-Z0-9]+)*\Z")

# Whatever a keyboard, a spreadsheet or a messaging app puts where the hyphen was.
SEPARATORS = re.compile(r"[\s\-_.,:;/\\|·•\u00ad\u2010-\u2015\u2043\u2212\u200b-\u200f\ufeff]+")
LONGEST_TYPED = 64


@dataclass(frozen=True)
class Code:
    """A code whose check character is right; whether such a card exists is another question."""

    prefix: str
    serial: str

    def __str__(self) -> str:
        return f"{self.prefix}-{self.serial}"

    @property
    def spellings(self) -> tuple[str, ...]:
        """Return every code this may stand for: as typed first, then with the prefix's hyphens elsewhere."""
        others = (f"{prefix}-{self.serial}" for prefix in _hyphenations(self.prefix.replace("-", "")))
        return tuple(dict.fromkeys((str(self), *others)))


@dataclass(frozen=True)
class WrongCheck:
    """Something with the shape of a code whose check character is wrong: a typing error."""

    typed: str

    @property
    def sentence(self) -> Sentence:
        return say("%(code)s contains a typing error. Compare it with the card, letter by letter.", code=self.typed)


@dataclass(frozen=True)
class NotACode:
    """Something without the shape of a code; `sentence` says what is missing."""

    sentence: Sentence


def new_codes(prefix: str, n: int) -> list[str]:
    """Return `n` different random codes; raise ValueError when the prefix is not one.

    They differ among themselves only: the caller's unique constraint knows the codes of other days.
    """
    if not is_prefix(prefix):
        raise ValueError(f"{prefix!r} is not a campaign prefix")

    codes: dict[str, None] = {}
    while len(codes) < n:
        codes.update(dict.fromkeys(f"{prefix}-{serial}" for serial in _serials(n - len(codes))))
    return list(codes)


def is_prefix(text: str) -> bool:
    """Return whether `text` may be a campaign's prefix: 3 to 8 of A-Z, 0-9 and single inner hyphens."""
    return PREFIX.match(text) is not None


def read_code(typed: str) -> Code | WrongCheck | NotACode:
    """Return the code a person meant, forgiving case, spaces, odd or missing hyphens, O for 0 and I for 1."""
    groups = _groups(typed)
    if groups is None:
        return NotACode(say("A code has only the letters A to Z, the digits 0 to 9 and hyphens."))
    letters = "".join(groups)
    if not letters:
        return NotACode(say("Type the code printed on the card."))
    if len(letters) <= SERIAL_LENGTH:
        return NotACode(say("The code is too short. Type all of it, also the letters before the last hyphen."))

    prefix = _without_last(groups, SERIAL_LENGTH)
    serial = letters[-SERIAL_LENGTH:].replace("O", "0").replace("I", "1")
    if not is_prefix(prefix):
        return NotACode(say("This is not a card code. A code looks like %(example)s.", example="DKR-VAC-9XQ7LM2G"))
    if not mod_37_36.is_valid(serial):
        return WrongCheck(f"{prefix}-{serial}")
    return Code(prefix, serial)


def _serials(n: int) -> list[str]:
    """Return at most `n` serials of seven characters and their check; fewer where the check was O or I."""
    drawn = "".join(SystemRandom().choices(ALPHABET, k=7 * n))
    sevens = (drawn[start : start + 7] for start in range(0, 7 * n, 7))
    serials = (seven + mod_37_36.calc_check_digit(seven) for seven in sevens)
    return [serial for serial in serials if serial[-1] in ALPHABET]


def _groups(typed: str) -> list[str] | None:
    """Return the runs of letters and digits in capitals, or None where another character stands among them."""
    if len(typed) > LONGEST_TYPED:
        return None
    # NFKC first: full-width letters and digits come from phone keyboards.
    groups = [group for group in SEPARATORS.split(unicodedata.normalize("NFKC", typed)) if group]
    if not all(group.isascii() and group.isalnum() for group in groups):
        return None
    return [group.upper() for group in groups]


def _without_last(groups: list[str], n: int) -> str:
    """Return the groups joined by hyphens, without their last `n` characters."""
    left = list(groups)
    while n >= len(left[-1]):
        n -= len(left.pop())
    left[-1] = left[-1][: len(left[-1]) - n]
    return "-".join(left)


def _hyphenations(letters: str) -> list[str]:
    """Return the prefixes made of these letters with hyphens anywhere between them."""
    gaps = product(("", "-"), repeat=len(letters) - 1)
    prefixes = ("".join(map("".join, zip(letters, (*gap, ""), strict=True))) for gap in gaps)
    return [prefix for prefix in prefixes if is_prefix(prefix)]
