"""The verdict on a run that has come to rest: the logs, the clients' books, and every invariant."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from sqlalchemy import func, select

from app.database import db, spell
from app.domain import invariants, organisations
from app.models import Card, CardState, Job, LedgerEntry
from bench.clients import Client

# The last line of a traceback: the kind of the exception, and what it says.
ENDING = re.compile(r"^(?:[a-z_]\w*\.)*([A-Z]\w*(?:Error|Exception|Exit|Interrupt|Lost|Timeout|Warning))\b.*$", re.M)


def problems(clients: Sequence[Client], log: Path) -> Iterator[str]:
    """Yield a sentence for everything that is not as it was promised."""
    yield from told_in_log(log)
    yield from _books_disagree(clients)
    yield from map(str, invariants.breaches())


def valid_cards() -> int:
    """Return how many cards were issued."""
    return db.session.scalar(select(func.count()).select_from(Card).where(Card.state == CardState.valid)) or 0


def told_in_log(log: Path) -> Iterator[str]:
    """Yield a sentence for every kind of exception in the log: killing processes is no reason for any."""
    told = log.read_text(errors="replace")
    kinds = Counter(found[0] for found in ENDING.finditer(told))
    for line, times in kinds.most_common():
        yield f"The log says {times} times: {line}"
    if (tracebacks := told.count("Traceback (most recent call last)")) and not kinds:
        yield f"The log holds {tracebacks} tracebacks."


def _books_disagree(clients: Sequence[Client]) -> Iterator[str]:
    """Yield a sentence for everything in which the portal's rows are not what the clients were promised."""
    promised = {order.job_id for client in clients for order in client.promised}
    kept = {spell("job", job_id) for job_id in db.session.scalars(select(Job.id))}
    for job_id in sorted(promised - kept):
        yield f"{job_id} was promised and does not exist."
    for job_id in sorted(kept - promised):
        yield f"{job_id} exists and was promised to nobody."
    for name in sorted({client.person.organisation for client in clients}):
        yield from _charges_disagree(name, [client for client in clients if client.person.organisation == name])


def _charges_disagree(name: str, clients: Sequence[Client]) -> Iterator[str]:
    """Compare what an organisation's clients were charged with its ledger and with the cards that are valid."""
    organisation = organisations.by_name(name)
    cost = sum(order.cost for client in clients for order in client.promised)
    spent = (LedgerEntry.organisation_id == organisation.id, LedgerEntry.job_id.is_not(None))
    used = -(db.session.scalar(select(func.sum(LedgerEntry.amount)).where(*spent)) or 0)
    valid = (Card.organisation_id == organisation.id, Card.state == CardState.valid)
    cards = db.session.scalar(select(func.count()).select_from(Card).where(*valid))
    if not cost == used == cards:
        yield f"{name} was charged {cost} cards by its clients' books, {used} by its ledger, and has {cards}."
