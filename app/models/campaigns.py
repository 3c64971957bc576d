"""Campaigns, and the answers of a campaign that is still being described step by step."""

import uuid
from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, Boolean, Integer, String, Text, UniqueConstraint

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


class CampaignType(StrEnum):
    """What a campaign hands cards out for, as the card API names it."""

    vaccination = "vaccination"
    mild = "mild"
    nutrition = "nutrition"
    antenatal = "antenatal"
    hiv = "hiv"
    assurance = "assurance"
    refugee = "refugee"
    identity = "identity"
    lab = "lab"
    cps = "cps"
    farmercard = "farmercard"


SENSITIVE_TYPES = frozenset({CampaignType.hiv})


class CardsStatus(StrEnum):
    """Where the cards of a campaign stand; what the card API shows as its status."""

    draft = "draft"
    preview_ready = "preview_ready"
    generating = "generating"
    completed = "completed"
    failed = "failed"
    archived = "archived"


class Campaign(Identified, Tenant, Model):
    """One programme's effort: its people, their cards. Prefix and type never change.

    `number` stands in every signed token; `cards_made` hands out the index of each card in the campaign.
    """

    __tablename__ = "campaign"
    __table_args__ = (
        reachable(),
        UniqueConstraint("organisation_id", "prefix"),
        same_organisation("created_by", "user"),
    )

    number: Mapped[int] = mapped_column(BigInteger, unique=True)
    name: Mapped[str] = mapped_column(String(200))
    campaign_type: Mapped[str] = mapped_column(String(20))
    prefix: Mapped[str] = mapped_column(String(8))
    language: Mapped[str] = mapped_column(String(2))
    template_id: Mapped[str] = mapped_column(String(40))
    dpi: Mapped[int] = mapped_column(Integer, default=300)
    description: Mapped[str | None] = mapped_column(Text)
    sensitive: Mapped[bool] = mapped_column(Boolean, default=False)
    cards_status: Mapped[str] = mapped_column(String(20), default=CardsStatus.draft)
    cards_made: Mapped[int] = mapped_column(BigInteger, default=0)
    total_cards: Mapped[int] = mapped_column(Integer, default=0)
    archived_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    updated_at: Mapped[datetime] = mapped_column(UTCDateTime)
    created_by: Mapped[uuid.UUID | None]


class CampaignDraft(Identified, Tenant, Model):
    """The answers given so far by someone describing a new campaign; gone once the campaign exists."""

    __tablename__ = "campaign_draft"
    __table_args__ = (same_organisation("user_id", "user"),)

    user_id: Mapped[uuid.UUID] = mapped_column(index=True)
    answers: Mapped[Plain] = mapped_column(JSON, default=dict)
