"""Packaging a job whose cards are drawn: its four files, and the one commit that issues its cards."""

import hashlib
import logging
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select, update

from app import files
from app.database import db, one_transaction, utc_now
from app.domain import audit, campaigns, claims, designs, jobs
from app.domain.access import Actor
from app.domain.claims import MOST_PACKAGINGS, PackagingClaim, Pieces
from app.domain.drawing import job_facts, token_of
from app.domain.errors import Gone
from app.domain.leases import RELEASED, Checkpoint, LeaseLost
from app.domain.workshop import AWAY, Stopping, patiently, sha256_of, workbench
from app.models import (
    Artifact,
    Beneficiary,
    Campaign,
    Card,
    CardState,
    Chunk,
    ChunkState,
    Job,
    JobState,
    Print,
    PrintState,
)
from app.rendering.chunk import Member
from app.rendering.design import Design
from app.rendering.facts import JobFacts
from app.rendering.package import ArtifactFile, PackedCard, PackedChunk, package
from app.sentences import say

log = logging.getLogger(__name__)
READ_AT_ONCE = 1 << 20  # bytes


@dataclass(frozen=True)
class Parcel:
    """A drawn job in plain values, ready for `rendering.package`."""

    job: JobFacts
    design: Design
    chunks: tuple[PackedChunk, ...]
    pieces: tuple[Pieces, ...]


class Spoilt(Exception):
    """A stored file is not what was written."""


def finish(claim: PackagingClaim, *, stopping: Callable[[], bool]) -> bool:
    """Package the job and end it; return whether the claim led anywhere.

    Every file is read back from the store before its cards count. After many attempts the job fails, and everything is
    refunded.
    """
    if claim.attempts > MOST_PACKAGINGS:
        _fail(claim)
        return True
    try:
        with workbench(claim.holder, stopping) as (folder, checkpoint):
            parcel = gather(claim, checkpoint)
            _prove_drawn(parcel, checkpoint)
            made = package(parcel.job, parcel.design, parcel.chunks, files.store().open, folder, checkpoint)
            artifacts = [_stored(claim, file, checkpoint) for file in made]
        _issue(claim, artifacts)
    except LeaseLost:
        log.info("Job %s is packaged by another worker now.", claim.job_id)
    except Stopping:
        claims.hand_back(claim, counts=False)
        return False
    except FileNotFoundError:
        log.exception("A piece of job %s is missing at attempt %s.", claim.job_id, claim.attempts)
        claims.hand_back(claim, counts=True)
    except AWAY:
        log.exception("The files of job %s could not be written; it rests for a while.", claim.job_id)
        patiently(lambda: claims.let_rest(claim), stopping)
    except Exception:
        log.exception("Packaging job %s failed at attempt %s.", claim.job_id, claim.attempts)
        claims.hand_back(claim, counts=True)
    return True


def gather(claim: PackagingClaim, checkpoint: Checkpoint) -> Parcel:
    """Return what was drawn, chunk by chunk in card order, and let go of the database."""
    job = db.session.get(Job, claim.job_id)
    campaign = db.session.get(Campaign, job.campaign_id)
    settled = (Chunk.job_id == job.id, Chunk.state == ChunkState.settled)
    chunks, drawn = [], []
    for chunk in db.session.scalars(select(Chunk).where(*settled).order_by(Chunk.number)):
        checkpoint()
        pieces = Pieces(**(chunk.pieces or {}))
        drawn.append(pieces)
        chunks.append(
            PackedChunk(
                zip_key=pieces.zip_key,
                zip_length=pieces.zip_length,
                pages_key=pieces.pages_key,
                cards=tuple(_packed_cards(chunk, campaign)),
            )
        )
    parcel = Parcel(job_facts(job, campaign), designs.of_job(job.design_id), tuple(chunks), tuple(drawn))
    db.session.remove()
    return parcel


def _packed_cards(chunk: Chunk, campaign: Campaign) -> list[PackedCard]:
    rows = db.session.execute(
        select(Print, Card, Beneficiary.beneficiary_id)
        .join(Card, (Card.campaign_id == Print.campaign_id) & (Card.card_index == Print.card_index))
        .join(Beneficiary, Beneficiary.id == Card.person_id)
        .where(
            Print.job_id == chunk.job_id,
            Print.ordinal >= chunk.first_ordinal,
            Print.ordinal < chunk.first_ordinal + chunk.cards,
        )
        .order_by(Print.ordinal)
    )
    return [
        PackedCard(
            code=card.code,
            beneficiary_id=beneficiary_id,
            mpi_id=printed.facts["mpi_id"],
            state="valid" if printed.state == PrintState.drawn else "void",
            token=token_of(card, campaign),
            issued_on=card.issued_on,
            members=tuple(Member.from_json(member) for member in printed.files or ()),
        )
        for printed, card, beneficiary_id in rows
    ]


def _stored(claim: PackagingClaim, file: ArtifactFile, checkpoint: Checkpoint) -> dict[str, Any]:
    """Put the file's new pieces into the store and return its row; pieces drawn earlier are there already."""
    pieces = []
    for piece in file.pieces:
        checkpoint()
        key = piece
        if isinstance(piece, Path):
            key = f"jobs/{claim.job_id}/{file.kind}.{claim.holder.fence}.{piece.name}"
            length, sha256 = piece.stat().st_size, sha256_of(piece)
            files.store().put(key, piece, checkpoint)
            _prove(key, length, sha256, checkpoint)
        pieces.append({"key": key, "length": files.store().size(key)})
    if sum(piece["length"] for piece in pieces) != file.length:
        raise Spoilt(f"The {file.kind} of job {claim.job_id} is not as long as what was written.")
    return {"kind": file.kind, "pieces": pieces, "length": file.length, "sha256": file.sha256}


def _prove_drawn(parcel: Parcel, checkpoint: Checkpoint) -> None:
    """Read what the chunks left in the store, and raise Spoilt unless it is what they wrote."""
    for pieces in parcel.pieces:
        _prove(pieces.zip_key, pieces.zip_length, pieces.zip_sha256, checkpoint)
        _prove(pieces.pages_key, pieces.pages_length, pieces.pages_sha256, checkpoint)


def _prove(key: str, length: int, sha256: str, checkpoint: Checkpoint) -> None:
    digest, read = hashlib.sha256(), 0
    with files.store().open(key) as stored:
        while block := stored.read(READ_AT_ONCE):
            checkpoint()
            digest.update(block)
            read += len(block)
    if (read, digest.hexdigest()) != (length, sha256):
        raise Spoilt(f"{key} was read back with {read} bytes, and is not the {length} bytes that were written.")


@one_transaction
def _issue(claim: PackagingClaim, artifacts: Sequence[dict[str, Any]]) -> None:
    """End the job: its files are there, its drawn cards count from now on. LeaseLost when it is not ours."""
    now = utc_now()
    job = _end(claim, now)
    db.session.execute(
        insert(Artifact),
        [
            artifact | {"organisation_id": claim.organisation_id, "job_id": claim.job_id, "created_at": now}
            for artifact in artifacts
        ],
    )
    new, printed = _issue_cards(job, now)
    db.session.execute(update(Job).where(Job.id == job.id).values(cards_generated=printed))
    db.session.execute(
        update(Campaign).where(Campaign.id == job.campaign_id).values(total_cards=Campaign.total_cards + new)
    )
    campaigns.refresh_status(job.campaign_id)
    audit.note(Actor.portal(job.organisation_id), "job.packaged", "job", job.id, cards=printed, new=new)


def _end(claim: PackagingClaim, now: datetime) -> Job:
    ended = db.session.execute(
        update(Job)
        .where(Job.id == claim.job_id, Job.state == JobState.packaging, Job.lease_fence == claim.holder.fence)
        .values(state=Job.ends_as, finished_at=now, **RELEASED)
        .execution_options(synchronize_session=False)
    )
    if ended.rowcount != 1:
        raise LeaseLost
    return db.session.get(Job, claim.job_id, populate_existing=True)


def _issue_cards(job: Job, now: datetime) -> tuple[int, int]:
    """Issue what was drawn; return how many cards are new and how many were printed in all."""
    drawn = (Print.job_id == job.id, Print.state == PrintState.drawn)
    new = db.session.execute(
        update(Card)
        .where(
            Card.campaign_id == job.campaign_id,
            Card.card_index.in_(select(Print.card_index).where(*drawn, Print.new_card)),
            Card.state == CardState.pending,
        )
        .values(state=CardState.valid, issued_at=now)
        .execution_options(synchronize_session=False)
    ).rowcount
    printed = db.session.execute(
        update(Print).where(*drawn).values(state=PrintState.issued).execution_options(synchronize_session=False)
    ).rowcount
    return new, printed


@one_transaction
def _fail(claim: PackagingClaim) -> None:
    ours = (Job.id == claim.job_id, Job.lease_fence == claim.holder.fence)
    held = db.session.execute(update(Job).where(*ours).values(**RELEASED).execution_options(synchronize_session=False))
    if held.rowcount:
        job = db.session.get_one(Job, claim.job_id, populate_existing=True)
        jobs.fail(job, say("The finished files could not be put together. Start the job again; it cost nothing."))


def artifact_of(job: Job, kind: str) -> Artifact | None:
    """Return one of the job's files, None while it is not there, or not any more."""
    artifact = db.session.get(Artifact, (job.id, kind))
    return artifact if artifact is not None and artifact.removed_at is None else None


def refuse_removed(job: Job, kind: str) -> None:
    """Raise Gone when the job's file was there and is not kept any more."""
    artifact = db.session.get(Artifact, (job.id, kind))
    if artifact is not None and artifact.removed_at is not None:
        raise Gone(say("This file is not kept any more. Order the files of these cards again; it costs nothing."))


def open_artifact(artifact: Artifact) -> files.JoinedPieces:
    """Return a seekable reader of the whole file, its first piece open: OSError when the store is away."""
    stream = files.JoinedPieces(files.store(), [files.Piece(**piece) for piece in artifact.pieces])
    stream.begin()
    return stream


def artifacts_of(job_id: uuid.UUID) -> list[Artifact]:
    """Return the files of a job in the order of the card API."""
    order = ("pdf", "zip", "portal", "manifest")
    rows = db.session.scalars(select(Artifact).where(Artifact.job_id == job_id))
    return sorted(rows, key=lambda artifact: order.index(artifact.kind))
