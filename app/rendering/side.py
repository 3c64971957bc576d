"""One side of one card, as a page and as a picture."""

import base64
from dataclasses import dataclass
from functools import lru_cache
from threading import RLock

from app.rendering import facts, fonts, layout, png, qr, raster
from app.rendering.design import Design
from app.rendering.facts import CardFacts, JobFacts
from app.rendering.page import Finished
from app.rendering.template import Template

# ReportLab keeps its fonts in module globals, and pdfium is not safe with threads: one page at a time in a process.
ENGINE = RLock()


@dataclass(frozen=True)
class Side:
    """A side drawn: its page for the PDF, and its PNG."""

    page: Finished
    png: bytes


def front(job: JobFacts, design: Design, card: CardFacts, dpi: int) -> Side:
    """Return the front of a card, with its QR code; raises CannotDraw."""
    return _draw(job, design, design.front, card, dpi)


def back(job: JobFacts, design: Design, card: CardFacts, dpi: int) -> Side:
    """Return the back of a card, drawn once for all cards where the design allows it; raises CannotDraw."""
    if design.back_is_shared:
        return _shared_back(job, design, dpi)
    return _draw(job, design, design.back, card, dpi)


@lru_cache(maxsize=4)
def _shared_back(job: JobFacts, design: Design, dpi: int) -> Side:
    return _draw(job, design, design.back, None, dpi)


def _draw(job: JobFacts, design: Design, template: Template, card: CardFacts | None, dpi: int) -> Side:
    texts = facts.of_job(job) | ({} if card is None else facts.of_card(card))
    texts |= _labels(design, template, job.language)
    with ENGINE:
        for name in sorted(template.names & texts.keys()):
            fonts.check_letters(texts[name])
        body = template.fill(texts, _images(job, design, template))
        code = qr.modules(card.address) if card is not None and "qr" in template.names else None
        page = layout.lay_out(body, design.css, design.size_mm, code)
        picture = raster.draw(page.pdf, design.size_mm, dpi)
    return Side(page, png.encode(picture, dpi))


def _labels(design: Design, template: Template, language: str) -> dict[str, str]:
    return {
        name: design.label(name.removeprefix("label."), language)
        for name in template.names
        if name.startswith("label.")
    }


def _images(job: JobFacts, design: Design, template: Template) -> dict[str, str]:
    """Return the sources of the side's images as data URIs, so that nothing is ever fetched."""
    images = {"qr": qr.MARKER, "logo": ""}
    if job.logo is not None and not job.sensitive:
        images["logo"] = _data_uri("logo.png", job.logo)
    for name in template.names:
        if name.startswith("asset."):
            file = name.removeprefix("asset.")
            images[name] = _data_uri(file, design.files[file])
    return images


def _data_uri(file: str, data: bytes) -> str:
    kind = "png" if file.lower().endswith(".png") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
