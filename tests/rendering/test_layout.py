"""One page laid out: texts in their boxes, letters in their scripts, and nothing fetched."""

import io
import unicodedata
from itertools import pairwise

import pikepdf
import pypdfium2
import pytest

from app.rendering import qr
from app.rendering.errors import CannotDraw
from app.rendering.layout import lay_out

CR80 = (85.60, 53.98)
BOX = "div { position: absolute; left: 10mm; top: 10mm; width: 40mm; height: 5mm; font-size: 11pt; }"


def test_it_works():
    page = _page("<div>Aïssatou Ñaŋ</div>")
    assert _text(page) == "Aïssatou Ñaŋ"
    assert page.get_size() == pytest.approx((242.646, 153.014), abs=0.001)


@pytest.mark.parametrize("name", ["Awa", "Mame Diarra Bousso Ndiaye", "Mouhamadou Moustapha Al Amine Bachir Mbacké"])
def test_a_name_stays_in_its_box(name):
    page = _page(f"<div>{name}</div>")
    assert _text(page).split() == name.split()
    left, bottom, right, top = _extent(page)
    assert left >= 10
    assert right <= 50
    # Letters may reach a little below their line, never into the next box.
    assert bottom >= 53.98 - 10 - 5 - 0.5
    assert top <= 53.98 - 10 + 0.5


def test_a_short_name_keeps_its_size_and_a_long_one_is_smaller():
    short, long = _extent(_page("<div>Ndiaye</div>")), _extent(_page("<div>Ndiaye Ndiaye Ndiaye Ndiaye</div>"))
    assert long[3] - long[1] < 0.9 * (short[3] - short[1])


def test_a_high_box_takes_several_lines_at_full_size():
    page = _page(f"<div>{'Ndiaye ' * 8}</div>", BOX.replace("height: 5mm", "height: 20mm"))
    heights = {round(page.get_textpage().get_charbox(index)[3], 1) for index in (0, len(_text(page)) - 1)}
    assert len(heights) == 2


@pytest.mark.parametrize("name", ["W" * 40, "Ndiaye " * 20])
def test_a_text_that_would_be_too_small_is_refused(name):
    with pytest.raises(CannotDraw, match="is too long for its place on this card"):
        _page(f"<div>{name}</div>")


def test_a_box_without_width_ends_with_the_card():
    css = BOX.replace("width: 40mm;", "").replace("left: 10mm", "left: 60mm")
    _, _, right, _ = _extent(_page("<div>Mouhamadou Ndiaye</div>", css))
    assert right <= 85.6


def test_a_line_break_of_the_design_is_a_new_line():
    page = _page("<div>Un<br>Deux</div>", BOX.replace("height: 5mm", "height: 12mm"))
    assert _text(page).split() == ["Un", "Deux"]


@pytest.mark.parametrize(("word", "strokes"), [("محمد", 1), ("دور", 3)])
def test_arabic_letters_are_joined_where_they_join(word, strokes):
    """Between joined letters there is no white column; dal, waw and reh do not join to the left."""
    picture = _page(f"<div>{word}</div>").render(scale=6).to_pil().convert("L")
    inked = [picture.crop((x, 0, x + 1, picture.height)).getextrema()[0] < 128 for x in range(picture.width)]
    assert sum(after and not before for before, after in pairwise(inked)) == strokes


def test_arabic_runs_from_right_to_left_beside_latin():
    textpage = _page("<div>Awa دم</div>").get_textpage()
    places = {textpage.get_text_range(index, 1): textpage.get_charbox(index)[0] for index in range(6)}
    by_letter = {unicodedata.normalize("NFKC", letter): place for letter, place in places.items()}
    assert by_letter["w"] < by_letter["م"] < by_letter["د"]


def test_bold_text_is_another_face():
    pdf = lay_out("<div>Awa <b>Diop</b></div>", BOX, CR80, None).pdf
    with pikepdf.open(io.BytesIO(pdf)) as document:
        fonts = {str(font.BaseFont).split("+")[-1] for font in document.pages[0].Resources.Font.values()}
    assert {"NotoSans-Regular", "NotoSans-Bold"} <= fonts


@pytest.mark.parametrize(
    "source", ["/etc/hostname", "file:///etc/hostname", "http://127.0.0.1:9/a.png", "data:image/png;base64,AAAA"]
)
def test_an_image_that_cannot_be_shown_is_an_error(source):
    with pytest.raises(CannotDraw):
        _page(f'<div><img src="{source}"></div>')


def test_an_unknown_font_is_an_error():
    with pytest.raises(CannotDraw, match="cannot be drawn"):
        _page("<div>Awa</div>", BOX + "div { font-family: Comic; }")


def test_a_second_page_is_refused():
    with pytest.raises(CannotDraw, match="larger than its card"):
        _page("<p>a</p>" * 60)


def test_a_code_needs_its_place():
    with pytest.raises(CannotDraw, match="no place for its QR code"):
        lay_out("<div>Awa</div>", BOX, CR80, qr.modules("HTTPS://A.ORG"))


def test_the_page_tells_nothing_about_its_making():
    pdf = lay_out("<div>Awa</div>", BOX, CR80, None).pdf
    with pikepdf.open(io.BytesIO(pdf)) as document:
        assert "/Info" not in document.trailer
    assert b"ReportLab" not in pdf


def _page(body: str, css: str = BOX) -> pypdfium2.PdfPage:
    return pypdfium2.PdfDocument(lay_out(body, css, CR80, None).pdf)[0]


def _text(page: pypdfium2.PdfPage) -> str:
    return page.get_textpage().get_text_range()


def _extent(page: pypdfium2.PdfPage) -> tuple[float, float, float, float]:
    """Return left, bottom, right and top of all letters, in millimetres."""
    textpage = page.get_textpage()
    boxes = [textpage.get_charbox(index) for index in range(textpage.count_chars())]
    boxes = [box for box in boxes if box[2] > box[0]]
    sides = (
        min(box[0] for box in boxes),
        min(box[1] for box in boxes),
        max(box[2] for box in boxes),
        max(box[3] for box in boxes),
    )
    return tuple(side / 72 * 25.4 for side in sides)
