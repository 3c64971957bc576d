"""The QR code of a card: its modules, and how they are drawn as sharp rectangles in a PDF."""

import base64
import io
from math import floor

import pikepdf
import qrcode
from PIL import Image
from qrcode.constants import ERROR_CORRECT_M, ERROR_CORRECT_Q

QUIET = 4  # modules of white on each side, ISO/IEC 18004
LARGEST_AT_Q = 53  # modules a side; above it a card's modules get too small, and level M keeps them larger
GRID = 72 / 150  # points; a module that is a multiple of it is whole pixels at 300, 450 and 600 dpi
KEEP = 0.9  # of its box: how far a code may shrink to reach the grid

Box = tuple[float, float, float, float]  # left, bottom, width, height in points


def modules(text: str) -> list[list[bool]]:
    """Return the dark modules of `text`, row by row, without quiet zone: level Q where it stays readable, or M.

    An address in upper case, figures and /.:- is written in alphanumeric mode, 5.5 bits a letter.
    """
    code = _encode(text, ERROR_CORRECT_Q)
    if code.modules_count > LARGEST_AT_Q:
        code = _encode(text, ERROR_CORRECT_M)
    return code.modules


def operators(rows: list[list[bool]], box: Box, page_height: float) -> bytes:
    """Return PDF operators that draw the code in `box`: white ground, one rectangle for each run of dark modules.

    The code is moved to the grid counted from the page's upper left corner, where rasters begin.
    """
    left, bottom, width, height = box
    count = len(rows) + 2 * QUIET
    side = min(width, height)
    module = side / count
    if (snapped := floor(module / GRID) * GRID) >= KEEP * module:
        module = snapped
        x = _on_grid(left + (width - count * module) / 2)
        top = page_height - _on_grid(page_height - bottom - (height + count * module) / 2)
    else:
        x, top = left + (width - side) / 2, bottom + (height + side) / 2

    drawn = [
        b"q 1 g %.3f %.3f %.3f %.3f re f 0 g" % box,
        b"%.6f 0 0 %.6f %.6f %.6f cm" % (module, -module, x + QUIET * module, top - QUIET * module),
    ]
    for y, row in enumerate(rows):
        drawn += [b"%d %d %d 1 re" % (start, y, length) for start, length in _runs(row)]
    return b"\n".join([*drawn, b"f Q\n"])


def is_marker(image: pikepdf.Stream) -> bool:
    """Tell whether an image of a page keeps the code's place."""
    size = image.get("/Width"), image.get("/Height")
    return size == (MARKER_SIDE, MARKER_SIDE) and image.read_bytes() in (MARKER_PIXELS, _as_rgb(MARKER_PIXELS))


def _encode(text: str, level: int) -> qrcode.QRCode:
    code = qrcode.QRCode(error_correction=level, border=0)
    code.add_data(text, optimize=0)
    code.make(fit=True)
    return code


def _on_grid(points: float) -> float:
    return round(points / GRID) * GRID


def _runs(row: list[bool]) -> list[tuple[int, int]]:
    """Return (start, length) of each run of dark modules."""
    runs: list[tuple[int, int]] = []
    start = None
    for x, dark in enumerate([*row, False]):
        if dark and start is None:
            start = x
        elif not dark and start is not None:
            runs.append((start, x - start))
            start = None
    return runs


def _as_rgb(grey: bytes) -> bytes:
    return bytes(value for value in grey for _ in range(3))


def _as_data_uri(pixels: bytes) -> str:
    file = io.BytesIO()
    Image.frombytes("L", (MARKER_SIDE, MARKER_SIDE), pixels).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


# The image that keeps the code's place while xhtml2pdf lays a card out; its pixels are no picture of anything.
MARKER_SIDE = 7
MARKER_PIXELS = bytes(37 * each % 251 for each in range(MARKER_SIDE**2))
MARKER = _as_data_uri(MARKER_PIXELS)
