"""The ledger: every change of an organisation's balance, never altered once written."""

import uuid
from enum import StrEnum

from sqlalchemy import BigInteger, CheckConstraint, Index, String, UniqueConstraint

from app.models.base import Identified, Mapped, Model, Tenant, mapped_column, same_organisation


class LedgerKind(StrEnum):
    """Why a balance moved."""

    grant = "grant"
    debit = "debit"
    refund = "refund"
    expiry = "expiry"
    correction = "correction"


class LedgerEntry(Identified, Tenant, Model):
    """One movement. `key` names the cause, so that a cause can move the balance once only.

    `created_at` goes up with every movement of an organisation, whatever the wall clock did (see `domain/quotas.py`).
    """

    __tablename__ = "ledger_entry"
    __table_args__ = (
        UniqueConstraint("organisation_id", "key"),
        Index("ix_ledger_entry_in_order", "organisation_id", "created_at"),
        CheckConstraint("amount <> 0", name="amount_not_zero"),
        same_organisation("job_id", "job"),
    )

    kind: Mapped[str] = mapped_column(String(12))
    amount: Mapped[int] = mapped_column(BigInteger)
    balance_after: Mapped[int] = mapped_column(BigInteger)
    reason: Mapped[str] = mapped_column(String(300))
    key: Mapped[str] = mapped_column(String(120))
    job_id: Mapped[uuid.UUID | None] = mapped_column(index=True)
    made_by: Mapped[uuid.UUID | None]
