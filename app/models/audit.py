"""Who did what: rows that are added and never changed."""

import uuid

from sqlalchemy import Index, String, text

from app.models.base import JSON, Identified, Mapped, Model, Plain, Tenant, mapped_column

QUOTA_PERIOD = "quota period"  # the subject of what is told of a month once: its quota began, ran low, was used up


class AuditEntry(Identified, Tenant, Model):
    """One act: who, what, on which thing. `facts` holds numbers and ids, never a name or a phone number."""

    __tablename__ = "audit_entry"
    __table_args__ = (
        Index("ix_audit_entry_subject", "organisation_id", "subject_type", "subject_id"),
        Index(
            "uq_audit_entry_once_a_period",
            "organisation_id",
            "action",
            "subject_id",
            unique=True,
            sqlite_where=text(f"subject_type = '{QUOTA_PERIOD}'"),
            postgresql_where=text(f"subject_type = '{QUOTA_PERIOD}'"),
        ),
    )

    actor_id: Mapped[uuid.UUID | None]
    actor_name: Mapped[str] = mapped_column(String(254))
    action: Mapped[str] = mapped_column(String(60))
    subject_type: Mapped[str] = mapped_column(String(30))
    subject_id: Mapped[str] = mapped_column(String(60))
    facts: Mapped[Plain] = mapped_column(JSON, default=dict)
