"""Cards on A4 sheets for a guillotine: two columns, five rows, cut marks, backs mirrored for printing on both sides."""

from collections.abc import Iterator, Sequence
from itertools import islice

import pikepdf
from pikepdf import Array, Dictionary, Name

POINT = 72 / 25.4  # points in a millimetre
A4 = (210.0, 297.0)
COLUMNS, ROWS = 2, 5
GAP = 3.0  # millimetres between cards, so that a cut beside the line never shows the neighbour
MARK, CLEAR = 4.0, 1.0  # millimetres: length of a cut mark, and its distance from the card

Pair = tuple[pikepdf.Page, pikepdf.Page]


def impose(pdf: pikepdf.Pdf, cards: Iterator[Pair], size_mm: tuple[float, float]) -> None:
    """Append to `pdf` a sheet of fronts and a sheet of backs for each ten cards.

    Turned over its long edge, a sheet shows each back behind its front. A back given again is stored once.
    """
    known: tuple[pikepdf.Page, pikepdf.Object] | None = None
    while batch := list(islice(cards, COLUMNS * ROWS)):
        _append(pdf, [_form(pdf, front) for front, _ in batch], size_mm, mirrored=False)
        backs = []
        for _, back in batch:
            if known is None or known[0] is not back:
                known = back, _form(pdf, back)
            backs.append(known[1])
        _append(pdf, backs, size_mm, mirrored=True)


def place(index: int, size_mm: tuple[float, float], mirrored: bool = False) -> tuple[float, float]:
    """Return left and bottom of the card's place on the sheet in millimetres; places count by row from the top."""
    row, column = divmod(index, COLUMNS)
    if mirrored:
        column = COLUMNS - 1 - column
    left, bottom = _margins(size_mm)
    width, height = size_mm
    return left + column * (width + GAP), bottom + (ROWS - 1 - row) * (height + GAP)


def fits(size_mm: tuple[float, float]) -> bool:
    """Tell whether ten cards of this size and their cut marks find room on A4."""
    return min(_margins(size_mm)) >= MARK + CLEAR


def _margins(size_mm: tuple[float, float]) -> tuple[float, float]:
    width, height = size_mm
    return (
        (A4[0] - COLUMNS * width - (COLUMNS - 1) * GAP) / 2,
        (A4[1] - ROWS * height - (ROWS - 1) * GAP) / 2,
    )


def _append(pdf: pikepdf.Pdf, cards: Sequence[pikepdf.Object], size_mm: tuple[float, float], mirrored: bool) -> None:
    forms = Dictionary()
    drawn = [_cut_marks(size_mm)]
    for index, card in enumerate(cards):
        left, bottom = place(index, size_mm, mirrored)
        forms[f"/C{index}"] = card
        drawn.append(b"q 1 0 0 1 %.4f %.4f cm /C%d Do Q" % (left * POINT, bottom * POINT, index))
    pdf.pages.append(
        pikepdf.Page(
            pdf.make_indirect(
                Dictionary(
                    Type=Name.Page,
                    MediaBox=Array([0, 0, *(round(side * POINT, 4) for side in A4)]),
                    Resources=Dictionary(XObject=forms),
                    Contents=pdf.make_stream(b"\n".join(drawn)),
                )
            )
        )
    )


def _form(pdf: pikepdf.Pdf, page: pikepdf.Page) -> pikepdf.Object:
    """Return the page, which is another document's, as a form of this one."""
    return pdf.copy_foreign(page.as_form_xobject())


def _cut_marks(size_mm: tuple[float, float]) -> bytes:
    """Return hairlines in the margins, in line with each edge of the cards."""
    left, bottom = _margins(size_mm)
    xs = [left + column * (size_mm[0] + GAP) + edge for column in range(COLUMNS) for edge in (0, size_mm[0])]
    ys = [bottom + row * (size_mm[1] + GAP) + edge for row in range(ROWS) for edge in (0, size_mm[1])]
    lines = [(x, start, x, start + MARK) for x in xs for start in _outside(bottom, A4[1])]
    lines += [(start, y, start + MARK, y) for y in ys for start in _outside(left, A4[0])]
    drawn = [b"q 0.25 w 0 G"]
    for line in lines:
        drawn.append(b"%.4f %.4f m %.4f %.4f l S" % tuple(each * POINT for each in line))
    return b"\n".join([*drawn, b"Q"])


def _outside(margin: float, side: float) -> tuple[float, float]:
    """Return where the marks before and behind the cards begin."""
    return margin - CLEAR - MARK, side - margin + CLEAR
