"""The key pairs that sign cards."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import Index, Integer, LargeBinary, String, text

from app.models.base import Identified, Mapped, Model, Tenant, UTCDateTime, mapped_column


class KeyStatus(StrEnum):
    """active signs and verifies, retired verifies, compromised does neither."""

    active = "active"
    retired = "retired"
    compromised = "compromised"


class SigningKey(Identified, Tenant, Model):
    """An Ed25519 pair of one organisation and year; the private half is encrypted under the installation's secret."""

    __tablename__ = "signing_key"
    __table_args__ = (
        Index(
            "uq_signing_key_active",
            "organisation_id",
            "year",
            unique=True,
            sqlite_where=text("status = 'active'"),
            postgresql_where=text("status = 'active'"),
        ),
    )

    key_id: Mapped[int] = mapped_column(Integer, unique=True)
    issuer: Mapped[str] = mapped_column(String(60))
    public_key: Mapped[bytes] = mapped_column(LargeBinary)
    private_key: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)
    year: Mapped[int] = mapped_column(Integer)
    status: Mapped[str] = mapped_column(String(12), default=KeyStatus.active)
    not_before: Mapped[datetime] = mapped_column(UTCDateTime)
