"""`fieldcard bench render`: what a card costs here, side by side with the plain way of making the same card.

The plain way lays each side out with xhtml2pdf, draws the QR with qrcode, rasterises with pdfium and writes the PNG
with Pillow. Both make the same design for the same people: PDF pages and PNGs of both sides. Fieldcard's time holds
the proof of every card, the pieces and the packaging too.
"""

import argparse
import base64
import io
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from importlib.metadata import version
from pathlib import Path

import pypdfium2
import qrcode
from xhtml2pdf import pisa
from xhtml2pdf.config.resources import PERMISSIVE_POLICY

from app.domain.demo import fictitious_people
from app.rendering import design as designs
from app.rendering import facts
from app.rendering.chunk import DrawnCard, draw_chunk
from app.rendering.design import Design
from app.rendering.facts import CardFacts, JobFacts
from app.rendering.package import PackedCard, PackedChunk, package
from app.rendering.template import Template
from app.settings import ROOT

FONTS = ROOT / "static" / "fonts"
ADDRESS = "HTTPS://CARDS.EXAMPLE.ORG/V/" + "AEAQC" * 25 + "AA"


def main(words: Sequence[str]) -> int:
    """Print the table and return 0."""
    options = _options(words)
    design = designs.built_in(options.design)
    cards = _cards(options.cards)
    job = _job(options.design, options.dpi)
    ways: dict[str, Callable[[], None]] = {
        "xhtml2pdf + qrcode + pdfium + Pillow, card by card": lambda: _plainly(job, design, cards),
        "Fieldcard, with proof and packaging": lambda: _ours(job, design, cards),
    }
    _plainly(job, design, cards[:1])  # both have loaded their fonts before the clock starts
    _ours(job, design, cards[:1])
    spent = {name: _timed(way) * 1000 / len(cards) for name, way in ways.items()}
    _print(options, spent)
    return 0


def _options(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="fieldcard bench render", description=__doc__)
    parser.add_argument("--cards", type=int, default=30)
    parser.add_argument("--dpi", type=int, choices=(300, 450, 600), default=300)
    parser.add_argument("--design", choices=designs.BUILT_IN, default="vaccination")
    return parser.parse_args(words)


def _cards(count: int) -> list[CardFacts]:
    return [
        CardFacts(
            code=f"BENCH-{number:08d}",
            first_name=person.first_name,
            last_name=person.last_name,
            beneficiary_id=person.beneficiary_id,
            address=ADDRESS,
            issued_on=date(2026, 1, 1),
            date_of_birth=person.date_of_birth,
            health_center=person.health_center or "",
            mpi_id="SN-DKR-26-9XQ7LM2A",
        )
        for number, person in enumerate(fictitious_people(count))
    ]


def _job(name: str, dpi: int) -> JobFacts:
    return JobFacts(
        job_id="job_bench",
        campaign_id="camp_bench",
        campaign_name="Campaign",
        campaign_type=name,
        prefix="BENCH",
        programme="Programme",
        language="fr",
        dpi=dpi,
        sheet=None,
        generated_at=datetime(2026, 1, 1, tzinfo=UTC),
        verify_address="https://cards.example.org/verify",
    )


def _plainly(job: JobFacts, design: Design, cards: Sequence[CardFacts]) -> None:
    for card in cards:
        texts = facts.of_job(job) | facts.of_card(card)
        for side in (design.front, design.back):
            _png(_pdf(design, _filled(design, side, texts, job.language, card.address)), job.dpi)


def _filled(design: Design, side: Template, texts: dict[str, str], language: str, address: str) -> str:
    labels = {
        name: design.label(name.removeprefix("label."), language) for name in side.names if name.startswith("label.")
    }
    images = {"qr": _qr(address), "logo": ""} | {
        name: _source(design.files[name.removeprefix("asset.")]) for name in side.names if name.startswith("asset.")
    }
    return side.fill(texts | labels, images)


def _qr(text: str) -> str:
    out = io.BytesIO()
    qrcode.make(text, error_correction=qrcode.ERROR_CORRECT_Q).save(out, "PNG")
    return _source(out.getvalue())


def _source(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _pdf(design: Design, body: str) -> bytes:
    out = io.BytesIO()
    width, height = design.size_mm
    css = f"""
        @font-face {{ font-family: Card; src: url("{FONTS / "NotoSans-Regular.ttf"}") }}
        @font-face {{ font-family: Card; src: url("{FONTS / "NotoSans-Bold.ttf"}"); font-weight: bold }}
        @page {{ size: {width}mm {height}mm; margin: 0 }} {design.css}
    """
    pisa.CreatePDF(f"<style>{css}</style>{body}", dest=out, resource_policy=PERMISSIVE_POLICY)
    return out.getvalue()


def _png(pdf: bytes, dpi: int) -> bytes:
    out = io.BytesIO()
    document = pypdfium2.PdfDocument(pdf)
    document[0].render(scale=dpi / 72).to_pil().save(out, "PNG")
    document.close()
    return out.getvalue()


def _ours(job: JobFacts, design: Design, cards: Sequence[CardFacts]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (folder / "zip").open("wb") as zip_out, (folder / "pages").open("wb") as pages_out:
            drawn = draw_chunk(job, design, cards, zip_out, pages_out, lambda: None)
        packed = tuple(_packed(card, result) for card, result in zip(cards, drawn, strict=True))
        chunk = PackedChunk("zip", (folder / "zip").stat().st_size, "pages", packed)
        package(job, design, [chunk], lambda key: (folder / key).open("rb"), folder, lambda: None)


def _packed(card: CardFacts, result: object) -> PackedCard:
    assert isinstance(result, DrawnCard), f"{card.code} could not be drawn"
    return PackedCard(card.code, card.beneficiary_id, "", "valid", card.token, card.issued_on, result.members)


def _timed(way: Callable[[], None]) -> float:
    began = time.perf_counter()
    way()
    return time.perf_counter() - began


def _print(options: argparse.Namespace, spent: dict[str, float]) -> None:
    slowest = max(spent.values())
    print(f"{options.cards} cards, both sides, {options.dpi} dpi, design {options.design}, one core")
    print(f"Python {platform.python_version()}, xhtml2pdf {version('xhtml2pdf')}, {platform.machine()}\n")
    print(f"{'way':<52} {'ms a card':>10} {'times as fast':>14}")
    for name, each in spent.items():
        print(f"{name:<52} {each:>10.1f} {slowest / each:>14.2f}")
