"""The stored files' invariants: every file of a job is there, as long, as full and byte for byte as recorded."""

import hashlib
import json
import zipfile
from collections.abc import Iterator
from math import ceil
from typing import Any

import pypdfium2
from sqlalchemy import Row, select

from app import files
from app.database import db, spell
from app.domain import sweeping
from app.domain.invariants.breach import Breach, Breaches, Progress, Step
from app.domain.leases import Checkpoint
from app.models import ISSUED, Artifact, ArtifactKind, Card, Job, JobState
from app.rendering.archive import count_members
from app.rendering.sheet import COLUMNS, ROWS
from app.sentences import say

WITH_FILES = (JobState.completed, JobState.cancelled)
BLOCK = 1 << 20  # bytes read at once
RECORD = (
    Artifact.job_id,
    Artifact.organisation_id,
    Artifact.kind,
    Artifact.pieces,
    Artifact.length,
    Artifact.sha256,
    Artifact.removed_at,
)
Record = Row[Any]  # of these columns


def files_are_whole(checkpoint: Checkpoint = lambda: None) -> Breaches:
    """Every job with files has all four, each as long as recorded and with as many cards as the job counts.

    Files whose time was over, or that held somebody who was erased, are fine without their pieces. `checkpoint` is
    passed at each piece.
    """
    wanted = select(Job.id, Job.organisation_id, Job.cards_generated, Job.sheet)
    for job in db.session.execute(wanted.where(Job.state.in_(WITH_FILES), Job.cards_generated > 0)).all():
        records = {row.kind: row for row in db.session.execute(select(*RECORD).where(Artifact.job_id == job.id))}
        missing = [str(kind) for kind in ArtifactKind if kind not in records]
        kept = {kind: record for kind, record in records.items() if record.removed_at is None}
        short = [kind for kind, record in kept.items() if not _is_there(record, checkpoint) and _is_still_kept(record)]
        for kind in missing + short:
            yield Breach(
                say(
                    "The %(kind)s file of job %(job)s is missing or not as long as recorded. Restore it from a backup, "
                    "or print the cards again.",
                    kind=kind,
                    job=spell("job", job.id),
                ),
                job.organisation_id,
            )
        if len(kept) == len(ArtifactKind) and not short:
            yield from _counts_agree(job, kept)


def files_have_rows(checkpoint: Checkpoint = lambda: None) -> Breaches:
    """Nothing lies in the file store that no row knows, but for pieces younger than a day."""
    for key in sweeping.strays(checkpoint=checkpoint):
        yield Breach(say("The stored file %(file)s belongs to nothing. Run: fieldcard doctor --reap", file=key))


def bytes_are_as_recorded(step: Step) -> Breaches:
    """Every file that is kept has the SHA-256 recorded. Reads all of them; `step` is told how far it is."""
    kept = select(Artifact.job_id, Artifact.kind, Artifact.length).where(Artifact.removed_at.is_(None))
    listed = db.session.execute(kept.order_by(Artifact.job_id, Artifact.kind)).all()
    db.session.rollback()  # reading may take an hour, and nobody shall keep our view of the database for so long
    total, done = sum(each.length for each in listed), 0
    for each in listed:  # pieces one file at a time: a large one has ten thousand
        mine = (Artifact.job_id == each.job_id, Artifact.kind == each.kind, Artifact.removed_at.is_(None))
        record = db.session.execute(select(*RECORD).where(*mine)).first()
        db.session.rollback()
        if record is None:
            continue
        if not _is_as_recorded(record, step, Progress(done, total)) and _is_still_kept(record):
            yield Breach(
                say(
                    "The %(kind)s file of job %(job)s is not byte for byte what was made. Restore it from a backup, or "
                    "print the cards again.",
                    kind=record.kind,
                    job=spell("job", record.job_id),
                ),
                record.organisation_id,
            )
        done += record.length


def _is_there(record: Record, checkpoint: Checkpoint) -> bool:
    checkpoint()
    lengths = []
    try:
        for piece in record.pieces:
            lengths.append(files.store().size(piece["key"]))
            checkpoint()
    except FileNotFoundError:
        return False
    return lengths == [piece["length"] for piece in record.pieces] and sum(lengths) == record.length


def _is_as_recorded(record: Record, step: Step, at: Progress) -> bool:
    """Read the file to its end; one whose pieces are missing was told of before, and is passed over."""
    digest, done = hashlib.sha256(), at.done
    try:
        with _opened(record) as stream:
            while block := stream.read(BLOCK):
                digest.update(block)
                done += len(block)
                step(Progress(done, at.total))
    except FileNotFoundError:
        return True
    return digest.hexdigest() == record.sha256


def _is_still_kept(record: Record) -> bool:
    """Return whether the row is as it was; the file may have been removed, by right, while we looked."""
    now = (Artifact.job_id == record.job_id, Artifact.kind == record.kind, Artifact.sha256 == record.sha256)
    found = db.session.scalar(select(Artifact.job_id).where(*now, Artifact.removed_at.is_(None)))
    db.session.rollback()
    return found is not None


def _counts_agree(job: Row[Any], kept: dict[str, Record]) -> Breaches:
    """Compare manifest, ZIP and PDF with what the job counts, and the manifest with the cards the job issued."""
    try:
        with _opened(kept[ArtifactKind.manifest]) as stream:
            cards = [card for card in json.loads(stream.read())["cards"] if card["state"] == "valid"]
        with _opened(kept[ArtifactKind.zip]) as stream:
            members = count_members(stream)
        pages = _pages(kept[ArtifactKind.pdf])
    except (OSError, ValueError, KeyError, pypdfium2.PdfiumError, zipfile.BadZipFile):
        if not all(_is_still_kept(record) for record in kept.values()):
            return
        sentence = "The files of job %(job)s cannot be read. Restore them from a backup, or print the cards again."
        yield Breach(say(sentence, job=spell("job", job.id)), job.organisation_id)
        return
    yield from _wrong_counts(job, len(cards), members, pages, sum(len(card["files"]) for card in cards))
    listed = {card["code"] for card in cards}
    issued = select(Card.code).where(Card.job_id == job.id, Card.state.in_(ISSUED))
    for code in db.session.scalars(issued):
        if code not in listed:
            yield Breach(
                say(
                    "Card %(code)s is not in the manifest of its job %(job)s. Print the card again.",
                    code=code,
                    job=spell("job", job.id),
                ),
                job.organisation_id,
            )


def _wrong_counts(job: Row[Any], cards: int, members: int, pages: int, sides: int) -> Iterator[Breach]:
    sheets = 2 * ceil(job.cards_generated / (COLUMNS * ROWS))
    wanted = {
        "manifest": (cards, job.cards_generated),
        "zip": (members, sides),
        "pdf": (pages, sheets if job.sheet else 2 * job.cards_generated),
    }
    for kind, (found, right) in wanted.items():
        if found != right:
            yield Breach(
                say(
                    "The %(kind)s file of job %(job)s holds %(found)s cards, images or pages instead of %(right)s. "
                    "Restore it from a backup, or print the cards again.",
                    kind=kind,
                    job=spell("job", job.id),
                    found=found,
                    right=right,
                ),
                job.organisation_id,
            )


def _pages(record: Record) -> int:
    document = pypdfium2.PdfDocument(_opened(record), autoclose=True)
    try:
        return len(document)
    finally:
        document.close()


def _opened(record: Record) -> files.JoinedPieces:
    return files.JoinedPieces(files.store(), [files.Piece(**piece) for piece in record.pieces])
