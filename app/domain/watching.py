"""Watching jobs: all that a page, a stream or a list shows of them, in plain values; and who reads along.

What is done to a job is in `jobs`; nothing here changes one.
"""

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import func, select

from app import files
from app.database import db, one_transaction, spell, utc_now
from app.domain import access, accounts, audit, claims, jobs, keeping, packaging, reorders, workers
from app.domain.access import Actor
from app.domain.claims import CLAIMABLE_JOBS
from app.domain.jobs import FailedPrint, Progress
from app.domain.reorders import Again
from app.domain.work import LEAST_FREE_BYTES
from app.models import ArtifactKind, AuditEntry, Campaign, Job, JobState, Print, PrintState, User, UserSession
from app.sentences import Sentence

PROBLEMS_WHILE_LIVE = 20
PROBLEMS_AT_THE_END = 200
MOVING = frozenset({JobState.waiting, JobState.generating, JobState.packaging})
ONE_READING = timedelta(minutes=10)
FILE_NAMES = {
    ArtifactKind.pdf: "cards.pdf",
    ArtifactKind.zip: "cards.zip",
    ArtifactKind.portal: "verification-portal.zip",
    ArtifactKind.manifest: "manifest.json",
}


class Hindrance(StrEnum):
    """Why a job does not move, though nobody paused it. All of them pass, and nothing is lost."""

    no_worker = "no worker"
    disk_full = "disk full"
    resting = "resting"


@dataclass(frozen=True)
class FinishedFile:
    """One of a job's files: its kind, the name it is saved under, bytes, and SHA-256 in hex."""

    kind: str
    name: str
    length: int
    sha256: str


@dataclass(frozen=True)
class JobView:
    """A job at one moment. `problems` are the first few cards not made, `problems_in_all` counts every one.

    `before` counts the orders that a waiting one takes turns with; `removed_at` says since when its files are gone.
    """

    id: uuid.UUID
    campaign_id: uuid.UUID
    campaign_name: str
    progress: Progress
    asked_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    dpi: int
    sheet: str | None
    paid: int
    refunded: int
    skipped: int
    problem: Sentence | None
    problems: tuple[FailedPrint, ...]
    problems_in_all: int
    files: tuple[FinishedFile, ...]
    kept_until: datetime | None
    removed_at: datetime | None
    hindrance: Hindrance | None
    before: int
    again: Again

    @property
    def state(self) -> str:
        return self.progress.state

    @property
    def done(self) -> int:
        """Return how many cards are decided: drawn, or given up."""
        return self.progress.drawn + self.progress.failed

    @property
    def stopped(self) -> bool:
        """Return whether somebody cancelled the job, even if its files are still being put together."""
        return self.progress.ends_as == "cancelled"

    @property
    def cost(self) -> int:
        """Return how many cards of the quota the job has used up."""
        return self.paid - self.refunded


def view(job_id: uuid.UUID, organisation_id: uuid.UUID) -> JobView:
    """Return the job as it is saved at this moment, read from the organisation's rows only.

    The caller has asked `access.find` for it before.
    """
    access.confine(organisation_id)
    job, campaign = db.session.execute(
        select(Job, Campaign)
        .join(Campaign, Campaign.id == Job.campaign_id)
        .where(Job.id == job_id)
        .execution_options(populate_existing=True)
    ).one()
    progress = jobs.progress(job)
    in_all = _problems_in_all(job)
    artifacts = packaging.artifacts_of(job.id)
    kept = [artifact for artifact in artifacts if artifact.removed_at is None]
    removed_at = max((artifact.removed_at for artifact in artifacts if artifact.removed_at), default=None)
    most = PROBLEMS_AT_THE_END if job.finished else PROBLEMS_WHILE_LIVE
    return JobView(
        id=job.id,
        campaign_id=job.campaign_id,
        campaign_name=campaign.name,
        progress=progress,
        asked_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        dpi=job.dpi,
        sheet=job.sheet,
        paid=job.quota_consumed,
        refunded=job.quota_refunded,
        skipped=len(job.skipped),
        problem=Sentence.from_json(job.problem) if job.problem else None,
        problems=tuple(jobs.failed_prints(job, most)) if in_all else (),
        problems_in_all=in_all,
        files=tuple(
            FinishedFile(file.kind, _file_name(campaign.prefix, job, file.kind), file.length, file.sha256)
            for file in kept
        ),
        kept_until=keeping.kept_until(kept[0].created_at) if kept else None,
        removed_at=None if kept else removed_at,
        hindrance=_hindrance(job),
        before=_before(job),
        again=_again(job, gone=not kept and removed_at is not None),
    )


def all_jobs(organisation_id: uuid.UUID, *, limit: int, offset: int) -> tuple[int, list[tuple[Job, str]]]:
    """Return how many jobs the organisation has, and one page of them with their campaigns' names, newest first."""
    mine = Job.organisation_id == organisation_id
    total = db.session.scalar(select(func.count()).select_from(Job).where(mine)) or 0
    newest = (
        select(Job, Campaign.name)
        .join(Campaign, Campaign.id == Job.campaign_id)
        .where(mine)
        .order_by(Job.created_at.desc(), Job.id.desc())
    )
    rows = db.session.execute(newest.limit(limit).offset(offset))
    return total, [(job, name) for job, name in rows]


def file_name(job: Job, kind: str) -> str:
    """Return the name a file is saved under, such as DKR-VAC-2026-11-22-7K2Q-cards.pdf: nobody's name is in it.

    Prefix, day, and the end of the job's id, for two jobs of one day are two jobs.
    A prefix is made of capitals, digits and hyphens, so that every browser takes the name as it is.
    """
    prefix = db.session.scalar(select(Campaign.prefix).where(Campaign.id == job.campaign_id))
    return _file_name(prefix or "", job, kind)


def note_download(job: Job, *, by: Actor) -> None:
    """Have the audit log say who took files of the job: one entry a person, job and ten minutes."""
    if not _noted_lately(job, by):
        _note_download(job, by)


def signed_in(tokens: Collection[str]) -> set[str]:
    """Return those of the session tokens whose person is still signed in; one question, however many they are."""
    by_digest = {accounts.digest(token): token for token in tokens}
    now = utc_now()
    alive = db.session.scalars(
        select(UserSession.token_sha256)
        .join(User, User.id == UserSession.user_id)
        .where(
            UserSession.token_sha256.in_(by_digest),
            UserSession.expires_at > now,
            UserSession.seen_at > now - accounts.SESSION_RESTS,
            User.removed_at.is_(None),
        )
    )
    return {by_digest[digest] for digest in alive}


def _hindrance(job: Job) -> Hindrance | None:
    if job.state not in MOVING:
        return None
    if not workers.one_lives():
        return Hindrance.no_worker
    free = files.store().free_bytes()
    if free is not None and free < LEAST_FREE_BYTES:
        return Hindrance.disk_full
    return Hindrance.resting if claims.resting(job.id) else None


def _before(job: Job) -> int:
    """Return how many orders of the whole installation were there before this one, while it waits."""
    if job.state != JobState.waiting:
        return 0
    table = Job.__table__.c
    earlier = (table.state.in_(CLAIMABLE_JOBS), table.created_at <= job.created_at, table.id < job.id)
    return db.session.scalar(select(func.count()).select_from(Job.__table__).where(*earlier)) or 0


def _again(job: Job, *, gone: bool) -> Again:
    """Return what can be ordered again; nothing while the job lives, or where there is nothing to make good."""
    if not job.finished or not (gone or job.cards_failed or job.state == JobState.failed):
        return reorders.NOTHING
    return reorders.of_job(job)


def _problems_in_all(job: Job) -> int:
    if not job.cards_failed:  # those void for another reason share it, and the page says it once
        return 0
    void = (Print.job_id == job.id, Print.state == PrintState.void, Print.problem.is_not(None))
    return db.session.scalar(select(func.count()).select_from(Print).where(*void)) or 0


def _file_name(prefix: str, job: Job, kind: str) -> str:
    return f"{prefix}-{job.issued_on:%Y-%m-%d}-{spell('job', job.id)[-4:]}-{FILE_NAMES[ArtifactKind(kind)]}"


def _noted_lately(job: Job, by: Actor) -> bool:
    mine = (
        AuditEntry.organisation_id == by.organisation_id,
        AuditEntry.subject_type == "job",
        AuditEntry.subject_id == str(job.id),
        AuditEntry.actor_id == by.user_id,
        AuditEntry.action == "job.downloaded",
        AuditEntry.created_at > utc_now() - ONE_READING,
    )
    return db.session.scalar(select(AuditEntry.id).where(*mine).limit(1)) is not None


@one_transaction
def _note_download(job: Job, by: Actor) -> None:
    """Two downloads of the same moment may be noted twice; harmless, because both happened."""
    audit.note(by, "job.downloaded", "job", job.id)
