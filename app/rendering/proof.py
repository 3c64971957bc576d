"""The proof that a finished card can be read: its QR code, decoded from the PNG as a poor camera sees it."""

import io

import zxingcpp
from PIL import Image

from app.rendering.errors import CannotDraw
from app.sentences import say

CAMERA_DPI = 150  # about what an old telephone makes of a card in the hand


def check(png: bytes, dpi: int, address: str) -> None:
    """Raise CannotDraw unless the blurred picture shows exactly one code, and it says `address`."""
    with Image.open(io.BytesIO(png), formats=["PNG"]) as picture:
        grey = picture.convert("L")
    seen = tuple(max(1, side * CAMERA_DPI // dpi) for side in grey.size)
    blurred = grey.resize(seen, Image.Resampling.BOX)
    # Enlarged again, because the decoder looks for modules of some pixels; the blur stays.
    enlarged = blurred.resize((2 * seen[0], 2 * seen[1]), Image.Resampling.BICUBIC)
    codes = zxingcpp.read_barcodes(enlarged, formats=zxingcpp.BarcodeFormat.QRCode)
    if [code.text for code in codes] != [address]:
        raise CannotDraw(
            say("The QR code of this card cannot be read from its picture. Give it more room in the design.")
        )
