"""The card API: campaigns, the jobs that make their cards, and the files that come out."""

from flask import request

from app import answers, tasks
from app.api import payloads
from app.api.door import actor, bp, described, repeat_of, replayed, signed_in, takes
from app.api.schemas import (
    CampaignChange,
    CampaignFilter,
    CampaignMade,
    CampaignPage,
    CampaignShown,
    CampaignWanted,
    JobMade,
    JobShown,
    JobWanted,
    Refused,
)
from app.database import spell
from app.domain import access, campaigns, ordering, packaging, people, people_checks, watching
from app.domain.campaigns import NewCampaign
from app.domain.errors import Conflict, NotFound
from app.domain.orders import StartOrder
from app.models import Artifact, ArtifactKind, Campaign, Job
from app.sentences import say


@bp.post("/campaigns/")
@signed_in("edit campaigns")
@takes(json=CampaignWanted, answers={201: CampaignMade, 400: Refused, 402: Refused})
def create_campaign(json: CampaignWanted):
    """Create a campaign."""
    wanted = NewCampaign(**json.model_dump())
    campaign, before = ordering.open_campaign(wanted, by=actor(), repeat=repeat_of(request.get_json()))
    return payloads.campaign_made(campaign, wanted), 201, replayed(before)


@bp.get("/campaigns/")
@signed_in("see")
@takes(query=CampaignFilter, answers={200: CampaignPage})
def list_campaigns(query: CampaignFilter):
    """List the campaigns of the organisation, newest first."""
    total, found = campaigns.search(actor().organisation_id, **query.model_dump())
    items = [payloads.campaign_listed(campaign) for campaign in found]
    return CampaignPage(total=total, limit=query.limit, offset=query.offset, items=items)


@bp.get("/campaigns/<campaign_id>")
@signed_in("see")
@takes(answers={200: CampaignShown, 404: Refused})
def show_campaign(campaign_id: str):
    """Show a campaign with its jobs."""
    return payloads.campaign_shown(access.find(Campaign, actor(), campaign_id, to="see"))


@bp.patch("/campaigns/<campaign_id>")
@signed_in("edit campaigns")
@takes(json=CampaignChange, answers={200: CampaignShown, 404: Refused})
def change_campaign(campaign_id: str, json: CampaignChange):
    """Give a campaign another name or description."""
    campaign = access.find(Campaign, actor(), campaign_id, to="edit campaigns")
    now = {"name": campaign.name, "description": campaign.description}
    campaigns.edit(campaign, **now | json.model_dump(exclude_unset=True), by=actor())
    return payloads.campaign_shown(campaign)


@bp.delete("/campaigns/<campaign_id>")
@signed_in("archive campaigns")
@takes(answers={204: None, 404: Refused})
def archive_campaign(campaign_id: str):
    """Archive a campaign; its cards and files stay."""
    campaigns.archive(access.find(Campaign, actor(), campaign_id, to="archive campaigns"), by=actor())
    return "", 204


@bp.post("/campaigns/<campaign_id>/jobs")
@signed_in("generate cards")
@takes(json=JobWanted, answers={202: JobMade, 402: Refused, 404: Refused, 409: Refused})
def start_job(campaign_id: str, json: JobWanted):
    """Make cards for these beneficiaries."""
    campaign = access.find(Campaign, actor(), campaign_id, to="generate cards")
    rows = people_checks.check_people(json.beneficiaries, today=people.today_of(campaign.organisation_id))
    order = StartOrder(dpi=json.dpi, include_mpi_id=json.include_mpi_id)
    repeat = repeat_of({"campaign": str(campaign.id), "body": request.get_json()})
    job, before = ordering.start_for(campaign, rows, order, by=actor(), repeat=repeat)
    tasks.ring()
    return payloads.job_made(job), 202, replayed(before)


@bp.get("/jobs/<job_id>")
@signed_in("see")
@takes(answers={200: JobShown, 404: Refused})
def show_job(job_id: str):
    """Show where a job stands."""
    return payloads.job_shown(access.find(Job, actor(), job_id, to="see"))


@bp.get("/jobs/<job_id>/download/<kind>")
@signed_in("see")
@described(answers={200: None, 206: None, 304: None, 404: Refused, 409: Refused, 410: Refused})
def download(job_id: str, kind: str):
    """Download a file of a job: pdf, zip, portal or manifest; ranges may be asked for."""
    job = access.find(Job, actor(), job_id, to="see")
    artifact = _artifact(job, kind)
    watching.note_download(job, by=actor())
    return answers.send_artifact(artifact, f"{spell('job', job.id)}-{watching.FILE_NAMES[ArtifactKind(kind)]}")


def _artifact(job: Job, kind: str) -> Artifact:
    if kind not in set(ArtifactKind):
        raise NotFound(say("A job has the files pdf, zip, portal and manifest."))
    packaging.refuse_removed(job, kind)
    artifact = packaging.artifact_of(job, kind)
    if artifact is None and job.finished:
        raise Conflict(say("This job made no files."))
    if artifact is None:
        raise Conflict(say("This file is not ready yet. Ask for the job until it is completed."))
    return artifact
