"""Beneficiaries, and their enrolment in campaigns."""

import uuid
from datetime import date, datetime

from sqlalchemy import Date, String, UniqueConstraint

from app.models.base import (
    JSON,
    Identified,
    Mapped,
    Model,
    Plain,
    Tenant,
    UTCDateTime,
    mapped_column,
    reachable,
    same_organisation,
)


class Beneficiary(Identified, Tenant, Model):
    """A person a programme serves. The same `beneficiary_id` in one organisation is the same person.

    `search_text` holds names, id and phone without case and accents. Of a person who was erased only the row is
    left: `erased_at` says since when, names are empty, and `beneficiary_id` is a word of ours.
    """

    __tablename__ = "beneficiary"
    __table_args__ = (reachable(), UniqueConstraint("organisation_id", "beneficiary_id"))

    beneficiary_id: Mapped[str] = mapped_column(String(100))
    first_name: Mapped[str] = mapped_column(String(100))
    last_name: Mapped[str] = mapped_column(String(100))
    date_of_birth: Mapped[date | None] = mapped_column(Date)
    phone_number: Mapped[str | None] = mapped_column(String(20))
    gender: Mapped[str] = mapped_column(String(1), default="")
    health_center: Mapped[str] = mapped_column(String(200), default="")
    org_unit: Mapped[str] = mapped_column(String(200), default="")
    zone: Mapped[str] = mapped_column(String(200), default="")
    enrollment_date: Mapped[date | None] = mapped_column(Date)
    custom_fields: Mapped[Plain] = mapped_column(JSON, default=dict)
    mpi_id: Mapped[str | None] = mapped_column(String(20), unique=True)
    search_text: Mapped[str] = mapped_column(String(500), default="")
    updated_at: Mapped[datetime] = mapped_column(UTCDateTime)
    erased_at: Mapped[datetime | None] = mapped_column(UTCDateTime)


class Enrolment(Identified, Tenant, Model):
    """A beneficiary in a campaign, once."""

    __tablename__ = "enrolment"
    __table_args__ = (
        reachable(),
        UniqueConstraint("campaign_id", "person_id"),
        same_organisation("campaign_id", "campaign"),
        same_organisation("person_id", "beneficiary"),
    )

    campaign_id: Mapped[uuid.UUID]
    person_id: Mapped[uuid.UUID] = mapped_column(index=True)


class Tombstone(Tenant, Model):
    """That a person was erased: kept for good, so that a backup made before cannot bring the person back."""

    __tablename__ = "tombstone"

    person_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    erased_at: Mapped[datetime] = mapped_column(UTCDateTime)
