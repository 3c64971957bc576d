"""Organisations and the people who work in them: who they are, how they sign in, how they were invited."""

import uuid
from datetime import datetime
from enum import StrEnum

from flask_login import UserMixin
from sqlalchemy import BigInteger, CheckConstraint, Integer, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import relationship

from app.models.base import (
    Identified,
    Mapped,
    Model,
    Tenant,
    UTCDateTime,
    mapped_column,
    reachable,
    same_organisation,
)


class Role(StrEnum):
    """What a person may do; each includes the ones before it (see `domain/access.py`)."""

    viewer = "viewer"
    editor = "editor"
    admin = "admin"


class Organisation(Identified, Model):
    """A health programme, apart from all others; its balance says how many cards it may still make."""

    __tablename__ = "organisation"
    __table_args__ = (CheckConstraint("balance >= 0", name="balance_not_negative"),)

    name: Mapped[str] = mapped_column(String(200), unique=True)
    country: Mapped[str] = mapped_column(String(2), default="SN")
    region: Mapped[str] = mapped_column(String(3), default="DKR")
    time_zone: Mapped[str] = mapped_column(String(64), default="Africa/Dakar")
    language: Mapped[str] = mapped_column(String(2), default="fr")
    logo: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)
    balance: Mapped[int] = mapped_column(BigInteger, default=0)
    monthly_quota: Mapped[int] = mapped_column(BigInteger, default=10_000)
    unlimited: Mapped[bool] = mapped_column(default=False)


class User(UserMixin, Identified, Tenant, Model):
    """A person who signs in. `password_hash` is argon2id; None until the invitation is answered."""

    __tablename__ = "user"
    __table_args__ = (reachable(),)

    email: Mapped[str] = mapped_column(String(254), unique=True)
    name: Mapped[str] = mapped_column(String(200), default="")
    password_hash: Mapped[str | None] = mapped_column(String(200))
    role: Mapped[str] = mapped_column(String(10))
    language: Mapped[str | None] = mapped_column(String(2))
    removed_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    token_version: Mapped[int] = mapped_column(Integer, default=1)
    last_seen_at: Mapped[datetime | None] = mapped_column(UTCDateTime)

    organisation: Mapped[Organisation] = relationship(
        foreign_keys="User.organisation_id", lazy="joined", innerjoin=True
    )


class UserSession(Identified, Tenant, Model):
    """One browser signed in; only the SHA-256 of what its cookie carries is kept."""

    __tablename__ = "user_session"
    __table_args__ = (same_organisation("user_id", "user"),)

    user_id: Mapped[uuid.UUID] = mapped_column(index=True)
    token_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    expires_at: Mapped[datetime] = mapped_column(UTCDateTime)
    seen_at: Mapped[datetime] = mapped_column(UTCDateTime)


class InvitationKind(StrEnum):
    """Why a link was made: to join an organisation, or to choose a new password."""

    join = "join"
    reset = "reset"


class Invitation(Identified, Tenant, Model):
    """A link that was shown once; it works for 72 hours and one time. Only its SHA-256 is kept."""

    __tablename__ = "invitation"
    __table_args__ = (UniqueConstraint("token_sha256"), same_organisation("made_by", "user"))

    kind: Mapped[str] = mapped_column(String(10))
    email: Mapped[str] = mapped_column(String(254))
    role: Mapped[str] = mapped_column(String(10))
    token_sha256: Mapped[str] = mapped_column(String(64))
    expires_at: Mapped[datetime] = mapped_column(UTCDateTime)
    used_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    made_by: Mapped[uuid.UUID | None]


class InstallationFact(Model):
    """A thing that happens once in an installation, such as making the demo; the key makes it once."""

    __tablename__ = "installation_fact"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    value: Mapped[str] = mapped_column(String(200), default="")
