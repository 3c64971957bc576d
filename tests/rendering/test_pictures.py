"""Pages as pictures, pictures as PNG, and the proof that their codes can be read."""

import io
import zlib

import pytest
import qrcode
from PIL import Image

from app.rendering import png, proof, raster
from app.rendering.errors import CannotDraw
from app.rendering.layout import lay_out

CR80 = (85.60, 53.98)


@pytest.mark.parametrize(
    ("dpi", "size"), [(150, (506, 319)), (300, (1011, 638)), (450, (1517, 957)), (600, (2022, 1276))]
)
def test_it_works(dpi, size):
    css = "div { position: absolute; left: 0mm; top: 0mm; width: 85.6mm; height: 53.98mm; background-color: #006272; }"
    picture = raster.draw(lay_out("<div></div>", css, CR80, None).pdf, CR80, dpi)
    assert picture.size == size == raster.pixels(CR80, dpi)
    # One colour to the very edge: no pale rim where the card ends within a pixel.
    assert picture.getcolors() == [(size[0] * size[1], (0, 0x62, 0x72))]


def test_a_png_is_the_picture_with_its_resolution():
    picture = Image.effect_mandelbrot((120, 90), (-2, -1.5, 1, 1.5), 60).convert("RGB")
    data = png.encode(picture, 300)
    with Image.open(io.BytesIO(data)) as read:
        assert read.tobytes() == picture.tobytes()
        assert read.info["dpi"] == pytest.approx((300, 300), abs=0.02)
    assert png.encode(picture, 300) == data


def test_every_part_of_a_png_has_the_right_checksum():
    data = png.encode(Image.new("RGB", (40, 30), "#123456"), 600)
    place = len(png.SIGNATURE)
    kinds = []
    while place < len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        kinds.append(data[place + 4 : place + 8])
        end = place + 8 + length
        assert zlib.crc32(data[place + 4 : end]) == int.from_bytes(data[end : end + 4], "big")
        place = end + 4
    assert kinds == [b"IHDR", b"pHYs", b"IDAT", b"IEND"]


def test_a_code_is_proved_from_the_finished_bytes():
    proof.check(_code("HTTPS://A.ORG/V/ABC"), 300, "HTTPS://A.ORG/V/ABC")


def test_a_wrong_code_is_no_proof():
    with pytest.raises(CannotDraw, match="cannot be read"):
        proof.check(_code("HTTPS://A.ORG/V/ABC"), 300, "HTTPS://A.ORG/V/ABD")


def test_a_code_that_a_camera_would_miss_is_no_proof():
    """Sharp at 300 dpi, but two pixels a module are one in the camera's picture."""
    with pytest.raises(CannotDraw, match="cannot be read"):
        proof.check(_code("HTTPS://A.ORG/V/" + "ABC" * 40, box=1), 300, "HTTPS://A.ORG/V/" + "ABC" * 40)


def test_no_code_is_no_proof():
    with pytest.raises(CannotDraw):
        proof.check(png.encode(Image.new("RGB", (300, 300), "white"), 300), 300, "A")


def _code(text: str, box: int = 4) -> bytes:
    code = qrcode.QRCode(box_size=box)
    code.add_data(text)
    return png.encode(code.make_image().get_image().convert("RGB"), 300)
