"""Jobs that make cards: the job, its chunks, the prints in them, and the files that come out."""

import uuid
from datetime import date, datetime
from enum import StrEnum

from sqlalchemy import BigInteger, Boolean, Date, ForeignKeyConstraint, Index, Integer, LargeBinary, String

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


class JobState(StrEnum):
    """waiting → generating ⇄ paused → packaging → completed | failed | cancelled."""

    waiting = "waiting"
    generating = "generating"
    paused = "paused"
    packaging = "packaging"
    completed = "completed"
    failed = "failed"
    cancelled = "cancelled"


FINISHED = frozenset({JobState.completed, JobState.failed, JobState.cancelled})


class ChunkState(StrEnum):
    """waiting → claimed → settled | void."""

    waiting = "waiting"
    claimed = "claimed"
    settled = "settled"
    void = "void"


class PrintState(StrEnum):
    """pending → drawn (with its chunk) → issued (with the job's end) | void."""

    pending = "pending"
    drawn = "drawn"
    issued = "issued"
    void = "void"


class Job(Identified, Tenant, Leased, Model):
    """A request to make cards, with everything the workers need frozen in it.

    The lease is for packaging; chunks carry leases of their own. `created_at` is the only clock of its files.
    `served` counts the claims of the installation: it is the number of the last claim of one of the job's chunks.
    """

    __tablename__ = "job"
    __table_args__ = (
        reachable(),
        same_organisation("campaign_id", "campaign"),
        same_organisation("created_by", "user"),
        same_organisation("design_id", "design_version"),
        Index("ix_job_state_created_at", "state", "created_at"),
        Index("ix_job_served", "served"),
        Index("ix_job_organisation_id_served", "organisation_id", "served"),
    )

    campaign_id: Mapped[uuid.UUID] = mapped_column(index=True)
    created_by: Mapped[uuid.UUID | None]
    state: Mapped[str] = mapped_column(String(12), default=JobState.waiting)
    ends_as: Mapped[str] = mapped_column(String(12), default=JobState.completed)

    design_id: Mapped[uuid.UUID]
    dpi: Mapped[int] = mapped_column(Integer)
    sheet: Mapped[str | None] = mapped_column(String(20))
    language: Mapped[str] = mapped_column(String(2))
    campaign_name: Mapped[str] = mapped_column(String(200))
    programme: Mapped[str] = mapped_column(String(200))
    logo: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)
    include_mpi_id: Mapped[bool] = mapped_column(Boolean, default=True)
    key_id: Mapped[int] = mapped_column(Integer)
    issuer: Mapped[str] = mapped_column(String(60))
    public_url: Mapped[str] = mapped_column(String(200))
    test_cards: Mapped[bool] = mapped_column(Boolean, default=False)
    issued_on: Mapped[date] = mapped_column(Date)

    total_cards: Mapped[int] = mapped_column(Integer)
    quota_consumed: Mapped[int] = mapped_column(Integer)
    quota_refunded: Mapped[int] = mapped_column(Integer, default=0)
    cards_drawn: Mapped[int] = mapped_column(Integer, default=0)
    cards_failed: Mapped[int] = mapped_column(Integer, default=0)
    cards_generated: Mapped[int] = mapped_column(Integer, default=0)
    chunk_size: Mapped[int] = mapped_column(Integer)
    chunks_left: Mapped[int] = mapped_column(Integer)
    served: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    skipped: Mapped[list[Plain]] = mapped_column(JSON, default=list)
    problem: Mapped[Plain | None] = mapped_column(JSON)
    started_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UTCDateTime)

    @property
    def finished(self) -> bool:
        """Whether the job has reached a state that it never leaves."""
        return self.state in FINISHED


class Chunk(Tenant, Leased, Model):
    """A run of neighbouring prints that one worker draws and settles in one commit."""

    __tablename__ = "chunk"
    __table_args__ = (
        same_organisation("job_id", "job"),
        Index("ix_chunk_job_id_state_number", "job_id", "state", "number"),
        Index("ix_chunk_state", "state"),
    )

    job_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    first_ordinal: Mapped[int] = mapped_column(Integer)
    cards: Mapped[int] = mapped_column(Integer)
    state: Mapped[str] = mapped_column(String(10), default=ChunkState.waiting)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    pieces: Mapped[Plain | None] = mapped_column(JSON)


class Print(Tenant, Model):
    """One card's place in one job: what is printed on it, and what came of it.

    A person's first print in a campaign makes the card; a later one prints the same card again, uncharged.
    """

    __tablename__ = "print"
    __table_args__ = (
        same_organisation("job_id", "job"),
        ForeignKeyConstraint(["campaign_id", "card_index"], ["card.campaign_id", "card.card_index"]),
        Index("ix_print_campaign_id_card_index", "campaign_id", "card_index"),
    )

    job_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    ordinal: Mapped[int] = mapped_column(Integer, primary_key=True)
    campaign_id: Mapped[uuid.UUID]
    card_index: Mapped[int] = mapped_column(BigInteger)
    new_card: Mapped[bool] = mapped_column(Boolean)
    charged: Mapped[int] = mapped_column(Integer)
    facts: Mapped[Plain] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(String(10), default=PrintState.pending)
    deaths: Mapped[int] = mapped_column(Integer, default=0)
    files: Mapped[list[Plain] | None] = mapped_column(JSON)
    problem: Mapped[Plain | None] = mapped_column(JSON)


class ArtifactKind(StrEnum):
    """The four files of a job, as the card API names them."""

    pdf = "pdf"
    zip = "zip"
    portal = "portal"
    manifest = "manifest"


class Artifact(Tenant, Model):
    """A finished file: an ordered list of stored pieces, whole or absent.

    When its time is over, or a person on it was erased, the pieces go and the row stays: `removed_at` says since when.
    """

    __tablename__ = "artifact"
    __table_args__ = (same_organisation("job_id", "job"),)

    job_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(10), primary_key=True)
    pieces: Mapped[list[Plain]] = mapped_column(JSON)
    length: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)
    removed_at: Mapped[datetime | None] = mapped_column(UTCDateTime)


class RequestKey(Identified, Tenant, Model):
    """A request that was answered once, so that sending it again changes nothing.

    `result_id` is the row it made, `body_sha256` what it asked for.
    """

    __tablename__ = "request_key"
    __table_args__ = (Index("uq_request_key", "organisation_id", "actor", "operation", "key", unique=True),)

    actor: Mapped[str] = mapped_column(String(60))
    operation: Mapped[str] = mapped_column(String(40))
    key: Mapped[str] = mapped_column(String(200))
    body_sha256: Mapped[str] = mapped_column(String(64))
    result_id: Mapped[uuid.UUID]
