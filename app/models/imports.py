"""Spreadsheets brought in: one batch per file, one row per line of it that matters."""

import uuid
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Boolean, Integer, String

from app.models.base import (
    JSON,
    Identified,
    Leased,
    Mapped,
    Model,
    Plain,
    Tenant,
    UTCDateTime,
    mapped_column,
    reachable,
    same_organisation,
)


class ImportState(StrEnum):
    """uploaded → matching → matched → checked → confirmed → added; failed when it cannot be read.

    Workers take up what is uploaded, matched or confirmed; matching and checked wait for a person.
    """

    uploaded = "uploaded"
    matching = "matching"
    matched = "matched"
    checked = "checked"
    confirmed = "confirmed"
    added = "added"
    failed = "failed"


class ImportBatch(Identified, Tenant, Leased, Model):
    """One uploaded file on its way to becoming people. `columns` maps each column's index to a field or null."""

    __tablename__ = "import_batch"
    __table_args__ = (
        reachable(),
        same_organisation("campaign_id", "campaign"),
        same_organisation("created_by", "user"),
    )

    campaign_id: Mapped[uuid.UUID] = mapped_column(index=True)
    created_by: Mapped[uuid.UUID | None]
    file_name: Mapped[str] = mapped_column(String(255))
    file_key: Mapped[str] = mapped_column(String(200))
    file_sha256: Mapped[str] = mapped_column(String(64))
    file_size: Mapped[int] = mapped_column(Integer)
    state: Mapped[str] = mapped_column(String(10), default=ImportState.uploaded, index=True)
    look: Mapped[Plain] = mapped_column(JSON, default=dict)
    columns: Mapped[Plain] = mapped_column(JSON, default=dict)
    rows_total: Mapped[int] = mapped_column(Integer, default=0)
    rows_read: Mapped[int] = mapped_column(Integer, default=0)
    rows_good: Mapped[int] = mapped_column(Integer, default=0)
    rows_refused: Mapped[int] = mapped_column(Integer, default=0)
    rows_new: Mapped[int] = mapped_column(Integer, default=0)
    rows_updated: Mapped[int] = mapped_column(Integer, default=0)
    rows_same: Mapped[int] = mapped_column(Integer, default=0)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    problem: Mapped[Plain | None] = mapped_column(JSON)
    finished_at: Mapped[datetime | None] = mapped_column(UTCDateTime)


class ImportRow(Tenant, Model):
    """One line of the file under its spreadsheet number.

    `person` holds what was read from a good one, `problems` what is wrong with a refused one.
    """

    __tablename__ = "import_row"
    __table_args__ = (same_organisation("batch_id", "import_batch"),)

    batch_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    refused: Mapped[bool] = mapped_column(Boolean)
    original: Mapped[list[str]] = mapped_column(JSON)
    person: Mapped[Plain | None] = mapped_column(JSON)
    problems: Mapped[list[Plain]] = mapped_column(JSON, default=list)
