"""What the installation does by the clock, who of its processes is alive, and what its last check-up found."""

from datetime import datetime

from sqlalchemy import Float, Integer, String

from app.models.base import (
    JSON,
    Identified,
    Leased,
    Mapped,
    Model,
    UTCDateTime,
    mapped_column,
)


class Duty(Leased, Model):
    """Something that falls due again and again, once however many workers there are.

    `scope` is the organisation it is done for, as text, or empty for the installation.
    """

    __tablename__ = "duty"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    scope: Mapped[str] = mapped_column(String(40), primary_key=True, default="")
    next_due: Mapped[datetime] = mapped_column(UTCDateTime, index=True)


class Worker(Model):
    """A worker process, and when it was last heard of."""

    __tablename__ = "worker"

    name: Mapped[str] = mapped_column(String(80), primary_key=True)
    host: Mapped[str] = mapped_column(String(80))
    pid: Mapped[int] = mapped_column(Integer)
    started_at: Mapped[datetime] = mapped_column(UTCDateTime)
    seen_at: Mapped[datetime] = mapped_column(UTCDateTime, index=True)


class CheckUp(Identified, Model):
    """One look at everything that must always be true: the sentences it found, and how many seconds it took."""

    __tablename__ = "check_up"

    breaches: Mapped[list[str]] = mapped_column(JSON, default=list)
    seconds: Mapped[float] = mapped_column(Float)
