"""The quota: how many cards an organisation may still make, and the ledger that proves it.

Every movement is one row of the ledger and one guarded change of the balance in the same transaction.
"""

import uuid

from sqlalchemy import func, select, update

from app.database import db, one_transaction
from app.domain import audit
from app.domain.access import Actor
from app.domain.errors import Invalid, QuotaExceeded
from app.models import LedgerEntry, LedgerKind, Organisation
from app.sentences import say

LARGEST_GRANT = 100_000_000


@one_transaction
def grant(organisation_id: uuid.UUID, cards: int, reason: str, *, by: Actor, key: str | None = None) -> int:
    """Give the organisation `cards` more and return its new balance; a `key` grants once only."""
    if not 1 <= cards <= LARGEST_GRANT:
        raise Invalid({"cards": say("Grant between 1 and %(most)s cards.", most=LARGEST_GRANT)})
    if not reason.strip():
        raise Invalid({"reason": say("Say why, so that the ledger can be read later.")})
    entry = add_grant(organisation_id, cards, reason, key=key, by=by.user_id)
    audit.note(by, "quota.granted", "organisation", organisation_id, cards=cards)
    return entry.balance_after


def add_grant(
    organisation_id: uuid.UUID,
    cards: int,
    reason: str,
    *,
    key: str | None = None,
    by: uuid.UUID | None = None,
) -> LedgerEntry:
    """Grant inside the open transaction."""
    return _move(organisation_id, LedgerKind.grant, cards, reason, key or f"grant:{uuid.uuid4()}", by=by)


def reserve(organisation_id: uuid.UUID, job_id: uuid.UUID, cards: int) -> None:
    """Take `cards` for a job inside the open transaction; QuotaExceeded when the balance does not reach.

    An organisation without a limit is granted what it lacks first, so that its ledger balances like any other.
    """
    if not cards:
        return
    organisation = db.session.get(Organisation, organisation_id, populate_existing=True)
    if organisation.unlimited and organisation.balance < cards:
        add_grant(organisation_id, cards, "No limit", key=f"grant:{job_id}")
    _move(organisation_id, LedgerKind.debit, -cards, "Cards ordered", f"debit:{job_id}", job_id=job_id)


def refund(organisation_id: uuid.UUID, job_id: uuid.UUID, cards: int, reason: str, cause: str) -> None:
    """Give back what a job could not use, inside the open transaction; `cause` refunds once only."""
    if cards:
        _move(organisation_id, LedgerKind.refund, cards, reason, f"refund:{job_id}:{cause}", job_id=job_id)


def balance(organisation_id: uuid.UUID) -> int:
    """Return how many cards the organisation may still make."""
    return db.session.scalar(select(Organisation.balance).where(Organisation.id == organisation_id)) or 0


def unlimited(organisation_id: uuid.UUID) -> bool:
    """Return whether the organisation makes as many cards as it likes."""
    return bool(db.session.scalar(select(Organisation.unlimited).where(Organisation.id == organisation_id)))


def used_this_period(organisation_id: uuid.UUID) -> int:
    """Return how many cards the ledger has debited and not refunded since the last grant of the month."""
    since = (
        select(func.max(LedgerEntry.created_at))
        .where(LedgerEntry.organisation_id == organisation_id, LedgerEntry.key.like("grant:month:%"))
        .scalar_subquery()
    )
    spent = select(func.sum(LedgerEntry.amount)).where(
        LedgerEntry.organisation_id == organisation_id,
        LedgerEntry.kind.in_([LedgerKind.debit, LedgerKind.refund]),
        LedgerEntry.created_at >= func.coalesce(since, LedgerEntry.created_at),
    )
    return -int(db.session.scalar(spent) or 0)  # PostgreSQL sums large numbers as decimals


def _move(
    organisation_id: uuid.UUID,
    kind: LedgerKind,
    amount: int,
    reason: str,
    key: str,
    *,
    job_id: uuid.UUID | None = None,
    by: uuid.UUID | None = None,
) -> LedgerEntry:
    after = db.session.scalar(
        update(Organisation)
        .where(Organisation.id == organisation_id, Organisation.balance + amount >= 0)
        .values(balance=Organisation.balance + amount)
        .returning(Organisation.balance)
        .execution_options(synchronize_session=False)
    )
    if after is None:
        raise QuotaExceeded(asked=-amount, left=balance(organisation_id))
    entry = LedgerEntry(
        organisation_id=organisation_id,
        kind=kind,
        amount=amount,
        balance_after=after,
        reason=reason,
        key=key,
        job_id=job_id,
        made_by=by,
    )
    db.session.add(entry)
    db.session.flush()
    return entry
