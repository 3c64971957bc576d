"""A job's chunks made into what people download: one PDF, one ZIP, the verification portal and the manifest."""

import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import BinaryIO

import pikepdf

from app.rendering import archive, document, manifest, portal, sheet
from app.rendering.archive import Member
from app.rendering.design import Design
from app.rendering.facts import JobFacts

BLOCK = 1024 * 1024
GATHERED = 50  # chunks in memory at once


@dataclass(frozen=True)
class PackedCard:
    """A card as packaging knows it; `state` is "valid" or "void", and a void card has no members."""

    code: str
    beneficiary_id: str
    mpi_id: str
    state: str
    token: str
    issued_on: date
    members: tuple[Member, ...]


@dataclass(frozen=True)
class PackedChunk:
    """A chunk's stored pieces and its cards in order; the PDF holds two pages for each card with members."""

    zip_key: str
    zip_length: int
    pages_key: str
    cards: tuple[PackedCard, ...]


@dataclass(frozen=True)
class ArtifactFile:
    """A download: its pieces in order, a key for one that is stored already and a path for a new file."""

    kind: str
    pieces: tuple[str | Path, ...]
    length: int
    sha256: str


def package(
    job: JobFacts,
    design: Design,
    chunks: Sequence[PackedChunk],
    open_piece: Callable[[str], BinaryIO],
    folder: Path,
    checkpoint: Callable[[], None],
) -> list[ArtifactFile]:
    """Return pdf, zip, portal and manifest, in this order; new files are in `folder`.

    `checkpoint` is called between chunks and may raise to stop. ValueError means that a piece is not what its
    chunk says: it must be drawn again.
    """
    cards = [card for chunk in chunks for card in chunk.cards]
    made = [
        _pdf(job, design, chunks, open_piece, folder / "cards.pdf", checkpoint),
        _zip(job, chunks, open_piece, folder / "cards.directory", checkpoint),
        _portal(job, cards, open_piece, folder / "portal.zip", checkpoint),
    ]
    checkpoint()
    path = folder / "manifest.json"
    path.write_bytes(manifest.write(job, design, cards, {each.kind: each.sha256 for each in made}))
    return [*made, _measure("manifest", (path,), open_piece)]


def _pdf(
    job: JobFacts,
    design: Design,
    chunks: Sequence[PackedChunk],
    open_piece: Callable[[str], BinaryIO],
    path: Path,
    checkpoint: Callable[[], None],
) -> ArtifactFile:
    """Bind all pages, some chunks at a time into files: neither memory nor open files grow with the job."""
    with ExitStack() as opened, pikepdf.new() as pdf:
        parts = []
        for start in range(0, len(chunks), GATHERED):
            part = path.with_name(f"part-{start}.pdf")
            opened.callback(part.unlink, missing_ok=True)
            _gather(job, chunks[start : start + GATHERED], open_piece, part, checkpoint)
            parts.append(opened.enter_context(pikepdf.open(part)))

        cards = _cards(design, parts, checkpoint)
        if job.sheet is None:
            for front, back in cards:
                pdf.pages.append(front)
                pdf.pages.append(back)
        else:
            sheet.impose(pdf, cards, design.size_mm)
        document.save(pdf, path, job, checkpoint)
    return _measure("pdf", (path,), open_piece, checkpoint)


def _gather(
    job: JobFacts,
    chunks: Sequence[PackedChunk],
    open_piece: Callable[[str], BinaryIO],
    path: Path,
    checkpoint: Callable[[], None],
) -> None:
    with ExitStack() as opened, pikepdf.new() as pdf:
        for chunk in chunks:
            checkpoint()
            with open_piece(chunk.pages_key) as piece:
                source = opened.enter_context(pikepdf.open(io.BytesIO(piece.read())))
            drawn = sum(bool(card.members) for card in chunk.cards)
            if len(source.pages) != 2 * drawn:
                raise ValueError(f"{chunk.pages_key} has {len(source.pages)} pages for {drawn} cards")
            pdf.pages.extend(source.pages)
        document.save(pdf, path, job, checkpoint)


def _cards(design: Design, parts: Sequence[pikepdf.Pdf], checkpoint: Callable[[], None]) -> Iterator[sheet.Pair]:
    """Yield front and back of each card; a shared back is always the same page, so that it is stored once."""
    shared_back = None
    for part in parts:
        for index in range(0, len(part.pages), 2):
            checkpoint()
            back = part.pages[index + 1]
            if design.back_is_shared:
                shared_back = back = shared_back or back
            yield part.pages[index], back


def _zip(
    job: JobFacts,
    chunks: Sequence[PackedChunk],
    open_piece: Callable[[str], BinaryIO],
    path: Path,
    checkpoint: Callable[[], None],
) -> ArtifactFile:
    members = []
    start = 0
    for chunk in chunks:
        members += [(member, start) for card in chunk.cards for member in card.members]
        start += chunk.zip_length
    path.write_bytes(archive.directory(members, start, job.generated_at))
    pieces = tuple(chunk.zip_key for chunk in chunks if chunk.zip_length)
    made = _measure("zip", (*pieces, path), open_piece, checkpoint)
    if made.length != start + path.stat().st_size:
        raise ValueError(f"the pieces of the ZIP have {made.length} bytes, not {start + path.stat().st_size}")
    return made


def _portal(
    job: JobFacts,
    cards: Sequence[PackedCard],
    open_piece: Callable[[str], BinaryIO],
    path: Path,
    checkpoint: Callable[[], None],
) -> ArtifactFile:
    def passing() -> Iterator[PackedCard]:
        for card in cards:
            checkpoint()
            yield card

    with path.open("wb") as out:
        portal.write_portal(job, passing(), out)
    return _measure("portal", (path,), open_piece, checkpoint)


def _measure(
    kind: str,
    pieces: tuple[str | Path, ...],
    open_piece: Callable[[str], BinaryIO],
    checkpoint: Callable[[], None] = lambda: None,
) -> ArtifactFile:
    """Return the artifact with the length and hash of its pieces, one after the other."""
    digest = hashlib.sha256()
    length = 0
    for piece in pieces:
        checkpoint()
        with piece.open("rb") if isinstance(piece, Path) else open_piece(piece) as file:
            while block := file.read(BLOCK):
                digest.update(block)
                length += len(block)
    return ArtifactFile(kind, pieces, length, digest.hexdigest())
