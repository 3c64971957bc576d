"""How an installation looks after a story: what there is of everything, told so that two ways to it can be compared.

Left out is what may differ though all is well: ids, codes, moments, attempts, and what only tells who is alive.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select

from app import files
from app.database import db, settings
from app.domain import invariants, reaping, sweeping
from app.models import (
    Artifact,
    AuditEntry,
    Beneficiary,
    Campaign,
    Card,
    Chunk,
    ImportBatch,
    InstallationFact,
    Job,
    LedgerEntry,
    Organisation,
    Print,
)

COUNTED = {
    "job": (Job.state, Job.total_cards, Job.cards_generated, Job.cards_drawn, Job.cards_failed, Job.quota_refunded),
    "chunk": (Chunk.number, Chunk.state),
    "print": (Print.ordinal, Print.state, Print.charged, Print.new_card),
    "card": (Card.card_index, Card.state),
    "artifact": (Artifact.kind,),
    "campaign": (Campaign.prefix, Campaign.cards_made, Campaign.total_cards),
    "import": (ImportBatch.state, ImportBatch.rows_read, ImportBatch.rows_new, ImportBatch.rows_same),
    "ledger": (LedgerEntry.kind, LedgerEntry.amount),
    "organisation": (Organisation.name, Organisation.balance),
    "person": (Beneficiary.beneficiary_id, Beneficiary.last_name),
    "audit": (AuditEntry.action, AuditEntry.subject_type),
}
NOT_COUNTED = {"worker", "duty", "check_up", "installation_fact", "alembic_version"}


def look() -> dict[str, Any]:
    """Return the outcome and the breaches of invariants, in JSON values; strays are swept first, as they would be."""
    sweeping.sweep(older_than=timedelta(0))
    return {"rows": rows_sha256(), "outcome": outcome(), "breaches": [str(breach) for breach in invariants.breaches()]}


def outcome() -> dict[str, list[str]]:
    """Return how many rows each table has, what the important ones say, and how many files there are."""
    rows = {
        table.name: db.session.scalar(select(func.count()).select_from(table))
        for table in db.metadata.sorted_tables
        if table.name not in NOT_COUNTED
    }
    told = {name: _tally(db.session.execute(select(*columns))) for name, columns in COUNTED.items()}
    left = [path.name for path in settings().home.iterdir() if path.is_file() and ".db" not in path.name]
    return {
        "rows": _lines(rows),
        "files": [str(len(list(files.store().keys())))],
        "home": sorted(name for name in left if not name.startswith(".")),
        "fact": sorted(set(db.session.scalars(select(InstallationFact.name))) - {reaping.FACT}),
        **told,
    }


def rows_sha256() -> str:
    """Return the SHA-256 of everything in every table, so that one changed value shows."""
    text = hashlib.sha256()
    for table in db.metadata.sorted_tables:
        for line in sorted(repr(tuple(row)) for row in db.session.execute(select(table))):
            text.update(f"{table.name} {line}\n".encode())
    return text.hexdigest()


def _tally(rows: Iterable[Any]) -> list[str]:
    return _lines(Counter(" ".join(map(str, row)) for row in rows))


def _lines(counted: dict[str, int]) -> list[str]:
    return sorted(f"{what}: {number}" for what, number in counted.items())
