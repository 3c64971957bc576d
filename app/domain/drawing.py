"""Drawing a claimed chunk: facts out of the database, cards drawn without it, pieces stored, and the claim settled."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy import select

from app import files
from app.database import db, spell
from app.domain import claims, designs, isolation, keys, tokens
from app.domain.claims import CHILD_FROM_ATTEMPT, MOST_ATTEMPTS, ChunkClaim, Pieces
from app.domain.leases import LeaseLost
from app.domain.workshop import AWAY, Stopping, patiently, sha256_of, workbench
from app.models import Campaign, Card, Job, Print
from app.rendering.chunk import DrawnCard, FailedCard, draw_chunk
from app.rendering.design import Design
from app.rendering.facts import CardFacts, JobFacts
from app.sentences import say

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ChunkWork:
    """A chunk as the engine needs it: the job's facts, the design, and the cards in order."""

    job: JobFacts
    design: Design
    cards: tuple[CardFacts, ...]


def draw(claim: ChunkClaim, *, stopping: Callable[[], bool]) -> bool:
    """Draw the chunk and settle it; return whether the claim led anywhere.

    A chunk that failed twice is drawn in a child process, so that a card that kills its process is found out. One
    that fails five times there without a culprit is voided whole. A stopping worker hands it back; on a full disk, or
    while database or file store are away, it rests.
    """
    try:
        if claim.attempts > MOST_ATTEMPTS:
            claims.give_up(claim, say("This card could not be drawn, although it was tried several times."))
            return True
        work = gather(claim)
        with workbench(claim.holder, stopping) as (folder, checkpoint):
            results = _results(claim, work, folder, checkpoint)
            pieces = _store(claim, folder, checkpoint)
        claims.settle(claim, pieces, results)
    except LeaseLost:
        log.info("Chunk %s of job %s belongs to another worker now.", claim.number, claim.job_id)
        return True
    except Stopping:
        claims.hand_back(claim, counts=False)
        return False
    except AWAY:
        log.exception("Chunk %s of job %s could not be written; it rests for a while.", claim.number, claim.job_id)
        patiently(lambda: claims.let_rest(claim), stopping)
    except Exception:
        log.exception("Chunk %s of job %s failed at attempt %s.", claim.number, claim.job_id, claim.attempts)
        claims.hand_back(claim, counts=True)
    return True


def gather(claim: ChunkClaim) -> ChunkWork:
    """Return the frozen facts of the chunk in plain values, and let go of the database."""
    job = db.session.get(Job, claim.job_id)
    campaign = db.session.get(Campaign, job.campaign_id)
    rows = db.session.execute(
        select(Print.facts, Card)
        .join(Card, (Card.campaign_id == Print.campaign_id) & (Card.card_index == Print.card_index))
        .where(
            Print.job_id == claim.job_id,
            Print.ordinal >= claim.first_ordinal,
            Print.ordinal < claim.first_ordinal + claim.cards,
        )
        .order_by(Print.ordinal)
    )
    work = ChunkWork(
        job=job_facts(job, campaign),
        design=designs.of_job(job.design_id),
        cards=tuple(card_facts(card, facts, campaign) for facts, card in rows),
    )
    db.session.remove()
    return work


def job_facts(job: Job, campaign: Campaign) -> JobFacts:
    """Return what all cards of the job share."""
    return JobFacts(
        job_id=spell("job", job.id),
        campaign_id=spell("camp", campaign.id),
        campaign_name=job.campaign_name,
        campaign_type=campaign.campaign_type,
        prefix=campaign.prefix,
        programme=job.programme,
        language=job.language,
        dpi=job.dpi,
        sheet=job.sheet,
        generated_at=job.created_at,
        verify_address=f"{job.public_url}/verify",
        sensitive=campaign.sensitive,
        test=job.test_cards,
        logo=job.logo,
        keys=keys.published(job.organisation_id),
    )


def card_facts(card: Card, facts: dict[str, Any], campaign: Campaign) -> CardFacts:
    """Return what stands on one card; `facts` are those its print froze."""
    return CardFacts(
        **facts
        | {
            "code": card.code,
            "address": tokens.address(card.public_url, token_of(card, campaign)),
            "issued_on": card.issued_on,
            "expires_on": card.expires_on,
            "date_of_birth": _date(facts["date_of_birth"]),
            "enrollment_date": _date(facts["enrollment_date"]),
        }
    )


def token_of(card: Card, campaign: Campaign) -> str:
    """Return the card's signed token; Ed25519 is deterministic, so it is the same every time."""
    token = tokens.Token(card.key_id, campaign.number, card.card_index, card.issued_on, card.expires_on)
    return tokens.sign(token, *keys.signer(card.key_id))


def _results(
    claim: ChunkClaim, work: ChunkWork, folder: Path, checkpoint: Callable[[], None]
) -> Sequence[DrawnCard | FailedCard]:
    if claim.attempts >= CHILD_FROM_ATTEMPT:
        claims.shield(claim)
        return isolation.draw_in_child(work.job, work.design, work.cards, folder, checkpoint, _deaths(claim))
    with (folder / "zip").open("wb") as zip_out, (folder / "pages").open("wb") as pages_out:
        return draw_chunk(work.job, work.design, work.cards, zip_out, pages_out, checkpoint)


def _deaths(claim: ChunkClaim) -> Callable[[int], int]:
    return lambda place: claims.count_death(claim, claim.first_ordinal + place)


def _store(claim: ChunkClaim, folder: Path, checkpoint: Callable[[], None]) -> Pieces:
    """Put the chunk's two pieces under names that carry the fence, so that no other attempt can meet them."""
    stem = f"parts/{claim.job_id}/{claim.number}.{claim.holder.fence}"
    zip_file, pages_file = folder / "zip", folder / "pages"
    pieces = Pieces(
        zip_key=f"{stem}.zip",
        zip_length=zip_file.stat().st_size,
        zip_sha256=sha256_of(zip_file),
        pages_key=f"{stem}.pages",
        pages_length=pages_file.stat().st_size,
        pages_sha256=sha256_of(pages_file),
    )
    files.store().put(pieces.zip_key, zip_file, checkpoint)
    files.store().put(pieces.pages_key, pages_file, checkpoint)
    return pieces


def _date(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None
