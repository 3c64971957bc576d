"""A finished page as a picture, drawn by pdfium at exactly the size that its resolution promises."""

from math import floor

import pypdfium2 as pdfium
import pypdfium2.raw as raw
from PIL import Image

INCH = 25.4  # millimetres


def pixels(size_mm: tuple[float, float], dpi: int) -> tuple[int, int]:
    """Return width and height: the size at 300 dpi rounded, other resolutions scaled from it, halves up.

    A CR80 card is 1011 x 638 at 300 dpi, 1517 x 957 at 450 and 2022 x 1276 at 600.
    """
    width, height = (floor(round(side / INCH * 300) * dpi / 300 + 0.5) for side in size_mm)
    return width, height


def draw(pdf: bytes, size_mm: tuple[float, float], dpi: int) -> Image.Image:
    """Return the one page of `pdf` as an RGB picture. Not for several threads at once: pdfium is not."""
    width, height = pixels(size_mm, dpi)
    document = pdfium.PdfDocument(pdf)
    try:
        page = document[0]
        bitmap = pdfium.PdfBitmap.new_native(width, height, raw.FPDFBitmap_BGR)
        bitmap.fill_rect((255, 255, 255, 255), 0, 0, width, height)
        # The scale is exact, not stretched to whole pixels: a QR module stays whole pixels wide.
        scale = dpi / 72
        raw.FPDF_RenderPageBitmapWithMatrix(
            bitmap,
            page,
            raw.FS_MATRIX(scale, 0, 0, scale, 0, 0),
            raw.FS_RECTF(0, 0, width, height),
            raw.FPDF_REVERSE_BYTE_ORDER,
        )
        picture = Image.frombuffer("RGB", (width, height), bitmap.buffer, "raw", "RGB", bitmap.stride, 1).copy()
        page.close()
        bitmap.close()
    finally:
        document.close()
    return _without_pale_rim(picture, size_mm, dpi)


def _without_pale_rim(picture: Image.Image, size_mm: tuple[float, float], dpi: int) -> Image.Image:
    """Return the picture with its last row and column repeated where the page covers them only in part."""
    width, height = picture.size
    if size_mm[1] / INCH * dpi < height:
        picture.paste(picture.crop((0, height - 2, width, height - 1)), (0, height - 1))
    if size_mm[0] / INCH * dpi < width:
        picture.paste(picture.crop((width - 2, 0, width - 1, height)), (width - 1, 0))
    return picture
