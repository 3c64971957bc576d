"""Rows as the card API shows them."""

from datetime import datetime

from app.api.schemas import (
    Artifacts,
    CampaignListed,
    CampaignMade,
    CampaignShown,
    JobCancelled,
    JobCompleted,
    JobFailed,
    JobInProgress,
    JobListed,
    JobMade,
    JobPaused,
    JobShown,
)
from app.database import settings, spell
from app.domain import jobs
from app.domain.campaigns import NewCampaign
from app.models import ArtifactKind, Campaign, CardsStatus, Job, JobState
from app.sentences import Sentence

PENDING = "pending"
STATUS = {JobState.waiting: PENDING, JobState.paused: "generating"}  # the others are called as we call them


def moment(when: datetime) -> str:
    """Return the moment as ISO 8601 in UTC, to the second."""
    return f"{when:%Y-%m-%dT%H:%M:%SZ}"


def campaign_made(campaign: Campaign, wanted: NewCampaign) -> CampaignMade:
    """Return the answer to the request that made the campaign; the same whenever it is sent again."""
    return CampaignMade(
        id=spell("camp", campaign.id),
        name=wanted.name.strip(),
        campaign_type=wanted.campaign_type,
        prefix=wanted.prefix,
        language=wanted.language,
        template_id=wanted.template_id,
        status=CardsStatus.draft,
        total_cards=0,
        created_at=moment(campaign.created_at),
        updated_at=moment(campaign.created_at),
    )


def campaign_listed(campaign: Campaign) -> CampaignListed:
    """Return the campaign as the list shows it."""
    return CampaignListed(
        id=spell("camp", campaign.id),
        name=campaign.name,
        campaign_type=campaign.campaign_type,
        prefix=campaign.prefix,
        status=campaign.cards_status,
        total_cards=campaign.total_cards,
        created_at=moment(campaign.created_at),
    )


def campaign_shown(campaign: Campaign) -> CampaignShown:
    """Return the campaign with its jobs."""
    return CampaignShown(
        id=spell("camp", campaign.id),
        name=campaign.name,
        campaign_type=campaign.campaign_type,
        prefix=campaign.prefix,
        language=campaign.language,
        template_id=campaign.template_id,
        status=campaign.cards_status,
        total_cards=campaign.total_cards,
        jobs=[_job_listed(job) for job in jobs.of_campaign(campaign)],
        created_at=moment(campaign.created_at),
        updated_at=moment(campaign.updated_at),
        description=campaign.description,
    )


def job_made(job: Job) -> JobMade:
    """Return the answer to the request that made the job; the same whenever it is sent again."""
    return JobMade(
        job_id=spell("job", job.id),
        campaign_id=spell("camp", job.campaign_id),
        status=PENDING,
        total_cards=job.total_cards,
        quota_consumed=job.quota_consumed,
        created_at=moment(job.created_at),
    )


def job_shown(job: Job) -> JobShown:
    """Return the job in the documented shape of its state."""
    shapes = {JobState.completed: _completed, JobState.failed: _failed, JobState.cancelled: _cancelled}
    return JobShown(shapes.get(JobState(job.state), _in_progress)(job))


def _job_listed(job: Job) -> JobListed:
    return JobListed(
        job_id=spell("job", job.id),
        status=STATUS.get(JobState(job.state), job.state),
        cards_generated=_cards_generated(job),
        created_at=moment(job.created_at),
    )


def _in_progress(job: Job) -> JobInProgress:
    progress = jobs.progress(job)
    shape = JobPaused if job.state == JobState.paused else JobInProgress
    return shape(
        job_id=spell("job", job.id),
        campaign_id=spell("camp", job.campaign_id),
        status=STATUS.get(JobState(job.state), job.state),
        progress=progress.percent,
        cards_generated=_cards_generated(job),
        total_cards=job.total_cards,
        eta_seconds=progress.eta_seconds,
        started_at=job.started_at and moment(job.started_at),
    )


def _completed(job: Job) -> JobCompleted:
    return JobCompleted(
        job_id=spell("job", job.id),
        campaign_id=spell("camp", job.campaign_id),
        status=job.state,
        progress=jobs.progress(job).percent,
        cards_generated=_cards_generated(job),
        total_cards=job.total_cards,
        artifacts=_artifacts(job),
        started_at=moment(job.started_at),
        completed_at=moment(job.finished_at),
    )


def _failed(job: Job) -> JobFailed:
    return JobFailed(
        job_id=spell("job", job.id),
        status=job.state,
        error=str(Sentence.from_json(job.problem)) if job.problem else "The job failed.",
        quota_refunded=job.quota_refunded,
        failed_at=moment(job.finished_at),
    )


def _cancelled(job: Job) -> JobCancelled:
    return JobCancelled(
        job_id=spell("job", job.id),
        status=job.state,
        error="The job was cancelled.",
        quota_refunded=job.quota_refunded,
        failed_at=moment(job.finished_at),
        artifacts=_artifacts(job) if job.cards_generated else None,
    )


def _cards_generated(job: Job) -> int:
    """Return how many cards there are: those drawn so far while the job lives, those issued once it ended."""
    return job.cards_generated if job.finished else job.cards_drawn


def _artifacts(job: Job) -> Artifacts:
    downloads = f"{settings().public_url}/jobs/{spell('job', job.id)}/download"
    return Artifacts(
        pdf_url=f"{downloads}/{ArtifactKind.pdf}",
        zip_url=f"{downloads}/{ArtifactKind.zip}",
        verification_portal_url=f"{downloads}/{ArtifactKind.portal}",
        manifest_url=f"{downloads}/{ArtifactKind.manifest}",
    )
