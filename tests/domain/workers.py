"""What the tests of jobs and claims do in a worker's place."""

import uuid
from pathlib import Path

from sqlalchemy import update

from app.database import db, transaction
from app.domain import claims, drawing, invariants
from app.models import (
    Chunk,
)


def healthy() -> bool:
    """Whether every invariant holds; prints the breaches when not."""
    found = list(invariants.breaches())
    print(*found, sep="\n")
    return not found


def settle(app, claim) -> None:
    """Settle a claim with cards really drawn, as its worker would."""
    with app.app_context():
        work_in_hand = drawing.gather(claim)
        folder = Path(app.config["FIELDCARD"].home) / f"bench-{uuid.uuid4()}"
        folder.mkdir()
        with (folder / "zip").open("wb") as zip_out, (folder / "pages").open("wb") as pages_out:
            results = drawing.draw_chunk(
                work_in_hand.job, work_in_hand.design, work_in_hand.cards, zip_out, pages_out, lambda: None
            )
        claims.settle(claim, drawing._store(claim, folder, lambda: None), results)
    db.session.rollback()


def expire_leases() -> None:
    """Let every lease run out, as time would."""
    with transaction():
        db.session.execute(update(Chunk).where(Chunk.lease_fence.is_not(None)).values(lease_expires=0.0))
