"""The tables, one file per noun."""

from app.models.accounts import (
    InstallationFact,
    Invitation,
    InvitationKind,
    Organisation,
    Role,
    User,
    UserSession,
)
from app.models.audit import QUOTA_PERIOD, AuditEntry
from app.models.campaigns import SENSITIVE_TYPES, Campaign, CampaignDraft, CampaignType, CardsStatus
from app.models.cards import ISSUED, LIVE, Card, CardState
from app.models.designs import DesignVersion
from app.models.duties import CheckUp, Duty, Worker
from app.models.imports import ImportBatch, ImportRow, ImportState
from app.models.jobs import (
    FINISHED,
    Artifact,
    ArtifactKind,
    Chunk,
    ChunkState,
    Job,
    JobState,
    Print,
    PrintState,
    RequestKey,
)
from app.models.keys import KeyStatus, SigningKey
from app.models.people import Beneficiary, Enrolment, Tombstone
from app.models.quotas import LedgerEntry, LedgerKind

__all__ = [
    "FINISHED",
    "ISSUED",
    "LIVE",
    "QUOTA_PERIOD",
    "SENSITIVE_TYPES",
    "Artifact",
    "ArtifactKind",
    "AuditEntry",
    "Beneficiary",
    "Campaign",
    "CampaignDraft",
    "CampaignType",
    "Card",
    "CardState",
    "CardsStatus",
    "CheckUp",
    "Chunk",
    "ChunkState",
    "DesignVersion",
    "Duty",
    "Enrolment",
    "ImportBatch",
    "ImportRow",
    "ImportState",
    "InstallationFact",
    "Invitation",
    "InvitationKind",
    "Job",
    "JobState",
    "KeyStatus",
    "LedgerEntry",
    "LedgerKind",
    "Organisation",
    "Print",
    "PrintState",
    "RequestKey",
    "Role",
    "SigningKey",
    "Tombstone",
    "User",
    "UserSession",
    "Worker",
]
