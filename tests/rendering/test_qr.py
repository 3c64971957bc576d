"""QR codes: what they hold, how large they are, and that they stay sharp."""

import base64
import io

import pypdfium2
import pytest
import zxingcpp
from PIL import Image

from app.rendering import qr, raster
from app.rendering.layout import lay_out

CR80 = (85.60, 53.98)
ADDRESS = "HTTPS://CARDS.EXAMPLE.ORG/V/" + "ABCDEFGH234567" * 9 + "Z"
BODY = f'<div style="position: absolute; left: 60mm; top: 15mm"><img src="{qr.MARKER}"></div>'
CSS = "img {{ width: {0}mm; height: {0}mm; }}"


def test_it_works():
    picture = raster.draw(_page(21), CR80, 300)
    codes = zxingcpp.read_barcodes(picture)
    assert [code.text for code in codes] == [ADDRESS]
    assert codes[0].ec_level == "Q"


def test_an_address_in_capitals_takes_fewer_modules():
    assert len(qr.modules(ADDRESS)) == 49
    assert len(qr.modules(ADDRESS.lower())) == 53


def test_a_long_address_gives_up_some_repair_for_larger_modules():
    """189 letters are the most at level Q in 53 modules; at level M there is room for 262."""
    assert len(qr.modules("A" * 189)) == 53
    assert len(qr.modules("A" * 190)) == 49
    assert len(qr.modules("A" * 262)) == 53


@pytest.mark.parametrize("dpi", [300, 450, 600])
def test_modules_are_whole_pixels_at_every_resolution(dpi):
    """A sharp code has no grey at all."""
    picture = raster.draw(_page(21), CR80, dpi).convert("L")
    left, top, side = (round(length / 25.4 * dpi) for length in (60, 15, 21))
    code = picture.crop((left + 2, top + 2, left + side - 2, top + side - 2))
    assert {colour for _, colour in code.getcolors()} == {0, 255}


def test_a_code_whose_box_is_far_from_the_grid_fills_it_anyway():
    picture = raster.draw(_page(18), CR80, 300)
    code = zxingcpp.read_barcode(picture)
    width = code.position.top_right.x - code.position.top_left.x
    assert width / 300 * 25.4 == pytest.approx(18 * 49 / 57, abs=0.3)


def test_the_code_is_vectors_not_an_image():
    page = pypdfium2.PdfDocument(_page(21))[0]
    kinds = {each.type for each in page.get_objects()}
    assert pypdfium2.raw.FPDF_PAGEOBJ_IMAGE not in kinds
    assert pypdfium2.raw.FPDF_PAGEOBJ_PATH in kinds


def test_the_quiet_zone_is_white_on_a_coloured_card():
    body = '<div style="position: absolute; left: 0mm; top: 0mm; width: 85.6mm; height: 53.98mm; '
    body += f'background-color: #003366"></div>{BODY}'
    page = lay_out(body, CSS.format(21), CR80, qr.modules(ADDRESS)).pdf
    picture = raster.draw(page, CR80, 300)
    edge = round(60.5 / 25.4 * 300)
    column = picture.crop((edge, round(15.5 / 25.4 * 300), edge + 1, round(35.5 / 25.4 * 300)))
    assert column.getcolors() == [(column.height, (255, 255, 255))]
    assert zxingcpp.read_barcode(picture).text == ADDRESS


def test_another_small_image_is_not_taken_for_the_marker():
    file = io.BytesIO()
    Image.new("L", (qr.MARKER_SIDE, qr.MARKER_SIDE)).save(file, "PNG")
    other = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    page = lay_out(f'{BODY}<div><img src="{other}"></div>', CSS.format(21), CR80, qr.modules(ADDRESS)).pdf
    kinds = [each.type for each in pypdfium2.PdfDocument(page)[0].get_objects()]
    assert kinds.count(pypdfium2.raw.FPDF_PAGEOBJ_IMAGE) == 1


def _page(side_mm: float) -> bytes:
    return lay_out(BODY, CSS.format(side_mm), CR80, qr.modules(ADDRESS)).pdf
