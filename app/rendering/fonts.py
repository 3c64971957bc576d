"""The faces that cards are set in, from static/fonts and never from the system, and which letters they have."""

import unicodedata
from functools import cache
from pathlib import Path

from reportlab.lib.fonts import addMapping
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from xhtml2pdf.context import pisaContext

from app.rendering.errors import CannotDraw
from app.sentences import say

FOLDER = Path(__file__).resolve().parents[2] / "static" / "fonts"
FAMILIES = {
    "Card": {"regular": "NotoSans-Regular.ttf", "bold": "NotoSans-Bold.ttf"},
    "CardArabic": {"regular": "NotoNaskhArabic-Regular.ttf"},
}
JOINERS = "\u200c\u200d"  # they belong to the spelling of Arabic words
# xhtml2pdf takes, for each letter, the first family of a list that has it.
STACK = ", ".join(FAMILIES)


def give_to(context: pisaContext) -> None:
    """Make the card families known to a document."""
    register()
    for family in FAMILIES:
        context.registerFont(family, [family.lower()])


@cache
def register() -> None:
    """Register the faces with ReportLab, once in a process: parsing them costs more than laying out a card."""
    for family, faces in FAMILIES.items():
        for weight, file in faces.items():
            pdfmetrics.registerFont(TTFont(_face(family, weight), str(FOLDER / file)))
        for bold in (0, 1):
            for italic in (0, 1):
                weight = "bold" if bold and "bold" in faces else "regular"
                addMapping(family, bold, italic, _face(family, weight))


def check_letters(text: str) -> None:
    """Raise CannotDraw with the first letter that no card face has."""
    for letter in text:
        if letter.isspace() or _has(letter):
            continue
        raise CannotDraw(
            say(
                "The letter “%(letter)s” (%(name)s) in “%(text)s” cannot be printed on a card. "
                "Write it with another letter.",
                letter=letter if letter.isprintable() else "?",
                name=unicodedata.name(letter, f"U+{ord(letter):04X}"),
                text="".join(each if each.isprintable() else "?" for each in text),
            )
        )


def _has(letter: str) -> bool:
    # Faces have blanks for control characters, and one of those could turn the text around.
    if unicodedata.category(letter).startswith("C") and letter not in JOINERS:
        return False
    return any(ord(letter) in letters for letters in _coverage())


@cache
def _coverage() -> tuple[frozenset[int], ...]:
    register()
    return tuple(frozenset(pdfmetrics.getFont(_face(family, "regular")).face.charToGlyph) for family in FAMILIES)


def _face(family: str, weight: str) -> str:
    return f"{family}-{weight}"
