"""What tables share: an id, an organisation, and foreign keys that cannot point into another organisation."""

import uuid
from datetime import datetime
from typing import Any

import sqlalchemy
from sqlalchemy import (
    BigInteger,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    String,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.orm import Mapped, declared_attr, mapped_column

from app.database import UTCDateTime, db, new_id, utc_now

Model = db.Model
JSON = sqlalchemy.JSON(none_as_null=True)  # nothing is NULL, never the JSON word null
Plain = dict[str, Any]


class Identified:
    """A row with an id of its own (UUIDv7) and the moment it was made."""

    id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True, default=new_id)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=utc_now)


class Tenant:
    """A row that belongs to one organisation and is never seen by another."""

    @declared_attr
    def organisation_id(cls) -> Mapped[uuid.UUID]:
        return mapped_column(Uuid, ForeignKey("organisation.id"))


class Leased:
    """Work that one worker holds at a time: who, its random fence, and until when on which machine's clock.

    `lease_expires` is in seconds: of CLOCK_BOOTTIME of the boot `lease_boot` on SQLite, of the server's epoch
    on PostgreSQL (see `domain/leases.py`).
    """

    lease_owner: Mapped[str | None] = mapped_column(String(80))
    lease_fence: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    lease_boot: Mapped[str | None] = mapped_column(String(40))
    lease_expires: Mapped[float | None] = mapped_column(Float)


def same_organisation(column: str, table: str, *, to: str = "id") -> ForeignKeyConstraint:
    """Return a foreign key to `table` that also carries the organisation, so that a row cannot point abroad."""
    return ForeignKeyConstraint(["organisation_id", column], [f"{table}.organisation_id", f"{table}.{to}"])


def reachable() -> UniqueConstraint:
    """Return the constraint that lets other tables point at (organisation, id)."""
    return UniqueConstraint("organisation_id", "id")


__all__ = [
    "JSON",
    "BigInteger",
    "Identified",
    "Leased",
    "Mapped",
    "Model",
    "Plain",
    "Tenant",
    "UTCDateTime",
    "Uuid",
    "mapped_column",
    "reachable",
    "same_organisation",
]
