"""One side of one card, laid out by xhtml2pdf: HTML and CSS in, a one-page PDF out; warnings are errors."""

import io
import logging
import re

import pikepdf
from reportlab import rl_config
from xhtml2pdf.config.resources import ResourceAccessPolicy, render_budget, use_policy
from xhtml2pdf.context import pisaContext
from xhtml2pdf.default import DEFAULT_PAGE_NAME
from xhtml2pdf.document import pisaStory
from xhtml2pdf.files import cleanFiles
from xhtml2pdf.util import reset_caches
from xhtml2pdf.xhtml2pdf_reportlab import PmlBaseDoc

from app.rendering import fitting, fonts, qr
from app.rendering.errors import CannotDraw
from app.rendering.page import Finished
from app.sentences import say

# No file and no address: fonts are registered, and images arrive inside the page as data. No clock either: a machine
# that stood still is no fault of the card, and a card that hangs loses its worker's lease.
POLICY = ResourceAccessPolicy.server(
    None, allow_remote=False, max_render_seconds=None, max_document_bytes=8 * 1024 * 1024
)
# Far shorter than xhtml2pdf's own defaults, whose parsing costs a third of a card.
DEFAULTS = """
html { font-family: Card; font-size: 8pt; line-height: 1.2; color: #000000; margin: 0; padding: 0;
       border: 1px none; display: inline; width: auto; height: auto; white-space: normal; }
body, div, p, h1, h2, h3, table, ul, ol, li { display: block; margin: 0; padding: 0; }
b, strong, h1, h2, h3, th { font-weight: bold; }
table { display: table; } tr { display: table-row; } td, th { display: table-cell; }
"""

# Bytes as they are: text encoding would add a quarter to each font and image.
rl_config.useA85 = 0
# What xhtml2pdf warns of is counted and refused below; its log would repeat names of people.
logging.getLogger("xhtml2pdf").setLevel(logging.CRITICAL)


def lay_out(body: str, css: str, size_mm: tuple[float, float], code: list[list[bool]] | None) -> Finished:
    """Return the page that `body` and `css` describe, with the QR modules `code` in the marker's place.

    Raises CannotDraw for a text that does not fit and for whatever xhtml2pdf warns of. Not for several threads at once.
    """
    width, height = size_mm
    page = f"@page {{ size: {width}mm {height}mm; margin: 0; }} body {{ font-family: {fonts.STACK}; }}\n"
    html = f"<html><head><style>{page}{_with_fallback(css)}</style></head><body>{body}</body></html>"
    pdf = _draw(html)
    return Finished(_finish(pdf, code))


def _draw(html: str) -> bytes:
    """Return xhtml2pdf's PDF of a page: what its pisaDocument does, with our fonts and texts fitted in between."""
    context = pisaContext()
    context.resource_policy = POLICY
    fonts.give_to(context)
    out = io.BytesIO()
    try:
        with use_policy(POLICY), render_budget(POLICY):
            pisaStory(html, context=context, default_css=DEFAULTS, encoding="utf-8", resource_policy=POLICY)
            fitting.fit(context)
            document = PmlBaseDoc(out, pagesize=context.pageSize, invariant=1)
            document.addPageTemplates([context.templateList[DEFAULT_PAGE_NAME]])
            document.pisaPositioned = context.positioned
            document.build(context.story)
    finally:
        cleanFiles()
        reset_caches()

    if context.err or context.warn:
        raise CannotDraw(
            say("The design cannot be drawn: %(why)s", why="; ".join(str(line[2])[:200] for line in context.log))
        )
    return out.getvalue()


def _finish(data: bytes, code: list[list[bool]] | None) -> bytes:
    """Return the page with its QR code drawn, and nothing in it that tells when it was made."""
    with pikepdf.open(io.BytesIO(data)) as pdf:
        if len(pdf.pages) != 1:
            raise CannotDraw(say("The design is larger than its card. Make its boxes smaller."))
        if code is not None:
            _draw_code(pdf, code)
        del pdf.docinfo
        out = io.BytesIO()
        pdf.save(out, static_id=True, object_stream_mode=pikepdf.ObjectStreamMode.disable)
    return out.getvalue()


def _draw_code(pdf: pikepdf.Pdf, code: list[list[bool]]) -> None:
    """Take the markers out of the page and draw the code in their places."""
    page = pdf.pages[0]
    images = page.Resources.get("/XObject", pikepdf.Dictionary())
    markers = {name for name, image in images.items() if qr.is_marker(image)}
    kept, boxes = [], []
    matrix, saved = pikepdf.Matrix(), []
    for instruction in pikepdf.parse_content_stream(page):
        operator = str(instruction.operator)
        if operator == "q":
            saved.append(matrix)
        elif operator == "Q":
            matrix = saved.pop()
        elif operator == "cm":
            matrix = pikepdf.Matrix(*(float(each) for each in instruction.operands)) @ matrix
        elif operator == "Do" and str(instruction.operands[0]) in markers:
            boxes.append((matrix.e, matrix.f, matrix.a, matrix.d))
            continue
        kept.append(instruction)
    if not boxes:
        raise CannotDraw(say("The design has no place for its QR code. Add an image of {{ qr }}."))

    height = float(page.MediaBox[3])
    drawn = b"".join(qr.operators(code, box, height) for box in boxes)
    for name in markers:
        del images[name]
    page.Contents = pdf.make_stream(pikepdf.unparse_content_stream(kept) + b"\n" + drawn)


def _with_fallback(css: str) -> str:
    """Return the stylesheet with the faces of other scripts behind the one that designs name."""
    return re.sub(r"(font-family\s*:\s*)[\"']?Card[\"']?\s*(?=[;}])", rf"\g<1>{fonts.STACK}", css)
