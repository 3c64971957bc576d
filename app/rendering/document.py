"""Finished pages bound into one PDF: dates, title and language from the job, nothing that runs, same bytes again."""

import io
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import pikepdf
from pikepdf import Array, Dictionary, Name, String

from app.rendering.facts import JobFacts
from app.rendering.page import Finished

PRODUCER = "Fieldcard"


def bind(pages: Iterable[Finished], out: BinaryIO, job: JobFacts) -> None:
    """Write the pages in order as one PDF; a page given again is stored once."""
    with pikepdf.new() as pdf:
        sources: dict[Finished, pikepdf.Pdf] = {}
        for page in pages:
            if page not in sources:
                sources[page] = pikepdf.open(io.BytesIO(page.pdf))
            pdf.pages.append(sources[page].pages[0])
        save(pdf, out, job)
        for source in sources.values():
            source.close()


def save(pdf: pikepdf.Pdf, out: BinaryIO | Path, job: JobFacts, checkpoint: Callable[[], None] = lambda: None) -> None:
    """Write the PDF with the job's title, language and date; print dialogues start at full size.

    `checkpoint` is called now and then, for thousands of pages take a while, and may raise to stop.
    """
    title = job.campaign_name if job.campaign_name and not job.sensitive else "Cards"
    pdf.docinfo = pdf.make_indirect(
        Dictionary(
            Title=String(title),
            Producer=String(PRODUCER),
            CreationDate=String(_pdf_date(job.generated_at)),
            ModDate=String(_pdf_date(job.generated_at)),
        )
    )
    pdf.Root.Lang = String(job.language)
    pdf.Root.ViewerPreferences = Dictionary(
        DisplayDocTitle=True, PrintScaling=Name("/None"), Enforce=Array([Name("/PrintScaling")])
    )
    pdf.save(
        out,
        min_version="1.7",
        deterministic_id=True,
        object_stream_mode=pikepdf.ObjectStreamMode.generate,
        linearize=False,
        progress=lambda _percent: checkpoint(),
    )


def _pdf_date(moment: datetime) -> str:
    return f"D:{moment:%Y%m%d%H%M%S}Z"
