"""Cards: who holds which code in which campaign, and whether it still counts."""

import uuid
from datetime import date, datetime
from enum import StrEnum

from sqlalchemy import BigInteger, Date, Index, Integer, String, text

from app.models.base import Mapped, Model, Tenant, UTCDateTime, mapped_column, same_organisation


class CardState(StrEnum):
    """pending until its job ends; valid, suspended, revoked or replaced once issued; void if it never was."""

    pending = "pending"
    valid = "valid"
    suspended = "suspended"
    revoked = "revoked"
    replaced = "replaced"
    void = "void"


ISSUED = frozenset({CardState.valid, CardState.suspended, CardState.revoked, CardState.replaced})
LIVE = frozenset({CardState.pending, CardState.valid, CardState.suspended})


class Card(Tenant, Model):
    """One card of one person. Its code is a name, not a secret; a person has at most one live card a campaign."""

    __tablename__ = "card"
    __table_args__ = (
        same_organisation("campaign_id", "campaign"),
        same_organisation("person_id", "beneficiary"),
        same_organisation("job_id", "job"),
        Index(
            "uq_card_live",
            "campaign_id",
            "person_id",
            unique=True,
            sqlite_where=text("state IN ('pending', 'valid', 'suspended')"),
            postgresql_where=text("state IN ('pending', 'valid', 'suspended')"),
        ),
    )

    campaign_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    card_index: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    job_id: Mapped[uuid.UUID] = mapped_column(index=True)
    person_id: Mapped[uuid.UUID] = mapped_column(index=True)
    code: Mapped[str] = mapped_column(String(17), unique=True)
    key_id: Mapped[int] = mapped_column(Integer)
    public_url: Mapped[str] = mapped_column(String(200))
    issued_on: Mapped[date] = mapped_column(Date)
    expires_on: Mapped[date | None] = mapped_column(Date)
    state: Mapped[str] = mapped_column(String(10), default=CardState.pending)
    issued_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
