"""Text that is too wide for its place: made smaller until it fits, refused when it would be too small to read."""

from collections.abc import Iterable, Iterator

from reportlab.pdfbase.pdfmetrics import getAscentDescent, stringWidth
from reportlab.platypus import Flowable
from xhtml2pdf.context import pisaContext
from xhtml2pdf.util import CSSLength
from xhtml2pdf.xhtml2pdf_reportlab import PmlParagraph

from app.rendering.errors import CannotDraw
from app.sentences import say

SMALLEST = 0.6  # of the size the design asks for
STEP = 0.02
AUTO_LEADING = 1.2  # of the letters' size: what xhtml2pdf gives a line at least
TIGHT = 1.05  # of the letters' size: lines of a last attempt, in a box meant for one line
FUZZ = 0.5  # points of height: line heights and boxes are rounded differently

Word = tuple[float, float]  # width, and width of the space before it, in points


def fit(context: pisaContext) -> None:
    """Make each text that overflows its positioned box smaller; raise CannotDraw when 0.6 is still too large.

    A text of one line is judged by its width only; one of more lines must also stay inside the height of its box.
    """
    page_width = context.pageSize[0]
    _fit_all(context.story, page_width, None)
    for entry in context.positioned:
        if entry.box is not None:
            left = _points(entry.offsets["left"]) or 0.0
            _fit_all(entry.box.content, _points(entry.width) or page_width - left, _points(entry.height))


def _fit_all(content: Iterable[Flowable], width: float, height: float | None) -> None:
    for each in content:
        if isinstance(each, PmlParagraph) and not _has_picture(each):
            _fit_paragraph(each, width, height)


def _points(length: CSSLength) -> float | None:
    return length.resolve(None) if length.kind == "length" else None


def _fit_paragraph(paragraph: PmlParagraph, width: float, height: float | None) -> None:
    lines = list(_lines_of_words(paragraph))
    leading = _line_height(paragraph)
    scale = 1.0
    while scale > SMALLEST - STEP / 2:
        if _fits(lines, scale, leading, width, height):
            return _scale(paragraph, scale)
        scale -= STEP

    tight = TIGHT * paragraph.style.fontSize
    if not _fits(lines, SMALLEST, tight, width, height):
        text = " ".join("".join(_text(frag) for frag in paragraph.frags).split())
        raise CannotDraw(say("“%(text)s” is too long for its place on this card. Shorten it.", text=text))
    paragraph.style.leading = tight
    paragraph.autoLeading = "off"
    return _scale(paragraph, SMALLEST)


def _line_height(paragraph: PmlParagraph) -> float:
    """Return what xhtml2pdf makes of a line: taller where faces meet, since the tallest decides above and below."""
    leading = paragraph.style.leading
    faces = {(frag.fontName, frag.fontSize) for frag in paragraph.frags if _text(frag).strip()}
    if len(faces) < 2:
        return max(leading, AUTO_LEADING * paragraph.style.fontSize)
    extents = [getAscentDescent(name, size) for name, size in faces]
    above = max(leading * 5 / 6, *(ascent for ascent, _ in extents))
    below = max(leading / 6, *(-descent for _, descent in extents))
    return above + below


def _fits(lines: list[list[Word]], scale: float, leading: float, width: float, height: float | None) -> bool:
    count = 0
    for words in lines:
        used = 0.0
        count += 1
        for word, space in words:
            if word * scale > width:
                return False
            if used and used + (space + word) * scale > width:
                count += 1
                used = word * scale
            else:
                used += (space if used else 0.0) * scale + word * scale
    return count <= 1 or height is None or count * leading * scale <= height + FUZZ


def _lines_of_words(paragraph: PmlParagraph) -> Iterator[list[Word]]:
    """Yield the words of each line that the design itself begins; a word may be set in several faces."""
    words: list[Word] = []
    word = space = 0.0
    for frag in paragraph.frags:
        if getattr(frag, "lineBreak", False):
            yield [*words, (word, space)] if word else words
            words, word, space = [], 0.0, 0.0
            continue
        for index, part in enumerate(_text(frag).split(" ")):
            if index:
                if word:
                    words.append((word, space))
                word, space = 0.0, stringWidth(" ", frag.fontName, frag.fontSize)
            word += stringWidth(part, frag.fontName, frag.fontSize)
    yield [*words, (word, space)] if word else words


def _scale(paragraph: PmlParagraph, scale: float) -> None:
    if scale == 1:
        return
    paragraph.style.leading *= scale
    paragraph.style.fontSize *= scale
    for frag in {id(frag): frag for frag in paragraph.frags}.values():
        frag.fontSize *= scale
        frag.leading *= scale


def _text(frag) -> str:
    return frag.text if isinstance(getattr(frag, "text", None), str) else ""


def _has_picture(paragraph: PmlParagraph) -> bool:
    return any(getattr(frag, "cbDefn", None) is not None for frag in paragraph.frags)
