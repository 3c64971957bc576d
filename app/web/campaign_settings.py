"""Naming a campaign again, copying it, putting it away and bringing it back."""

from dataclasses import asdict, dataclass

from flask import flash
from flask_babel import gettext as _

from app.domain import campaigns as rooms
from app.domain.errors import Refusal
from app.models import Campaign
from app.web import forms
from app.web.accounts import Answer, words_of
from app.web.campaigns import campaign_frame, find
from app.web.door import actor, bp, go, page, signed_in


@dataclass(frozen=True)
class Named:
    """What may change about a campaign after it was started."""

    name: str = ""
    description: str = ""


@dataclass(frozen=True)
class Copy:
    """What a copy needs of its own."""

    prefix: str = ""


@bp.get("/app/campaigns/<campaign_id>/edit")
@signed_in(to="edit campaigns")
def edit_campaign(campaign_id: str) -> str:
    """Ask for another name or description."""
    campaign = find(campaign_id)
    return _edit_page(campaign, Named(campaign.name, campaign.description or ""))


@bp.post("/app/campaigns/<campaign_id>/edit")
@signed_in(to="edit campaigns")
def save_campaign(campaign_id: str) -> Answer:
    """Save the name and the description."""
    campaign, typed = find(campaign_id), forms.read(Named)
    try:
        rooms.edit(campaign, name=typed.name, description=typed.description or None, by=actor())
    except Refusal as refusal:
        return _edit_page(campaign, typed, words_of(refusal)), 422
    flash(_("The campaign was saved."), "good")
    return go("web.campaign", campaign_id=campaign.id)


@bp.get("/app/campaigns/<campaign_id>/duplicate")
@signed_in(to="edit campaigns")
def duplicate_campaign(campaign_id: str) -> str:
    """Ask for the prefix of the copy, and propose one."""
    campaign = find(campaign_id)
    return _copy_page(campaign, Copy(rooms.suggest_prefix(campaign.organisation_id, campaign.prefix)))


@bp.post("/app/campaigns/<campaign_id>/duplicate")
@signed_in(to="edit campaigns")
def make_duplicate(campaign_id: str) -> Answer:
    """Make the copy: the same settings, nobody in it. A second click finds the first one's copy."""
    campaign, typed = find(campaign_id), forms.read(Copy)
    once = forms.repeat({"copy of": str(campaign.id), **asdict(typed)})
    try:
        twin = rooms.duplicate(campaign, typed.prefix.upper(), by=actor(), repeat=once)
    except Refusal as refusal:
        return _copy_page(campaign, typed, words_of(refusal)), 422
    flash(_("The copy is there. Give it a name of its own, then bring in its people."), "good")
    return go("web.edit_campaign", campaign_id=twin)


@bp.get("/app/campaigns/<campaign_id>/archive")
@signed_in(to="archive campaigns")
def archive_campaign(campaign_id: str) -> str:
    """Say what archiving does, and ask."""
    return page("campaigns/archive.html", tab="overview", **campaign_frame(find(campaign_id)))


@bp.post("/app/campaigns/<campaign_id>/archive")
@signed_in(to="archive campaigns")
def do_archive_campaign(campaign_id: str) -> Answer:
    """Put the campaign away."""
    campaign = find(campaign_id, to="archive campaigns")
    rooms.archive(campaign, by=actor())
    flash(_("The campaign is archived. Its cards stay valid."), "good")
    return go("web.campaign", campaign_id=campaign.id)


@bp.get("/app/campaigns/<campaign_id>/restore")
@signed_in(to="archive campaigns")
def restore_campaign(campaign_id: str) -> str:
    """Say what restoring does, and ask."""
    return page("campaigns/restore.html", tab="overview", **campaign_frame(find(campaign_id)))


@bp.post("/app/campaigns/<campaign_id>/restore")
@signed_in(to="archive campaigns")
def do_restore_campaign(campaign_id: str) -> Answer:
    """Bring the campaign back."""
    campaign = find(campaign_id, to="archive campaigns")
    rooms.restore(campaign, by=actor())
    flash(_("The campaign is back. You can make cards again."), "good")
    return go("web.campaign", campaign_id=campaign.id)


def _edit_page(campaign: Campaign, typed: Named, errors: dict[str, str] | None = None) -> str:
    return page("campaigns/edit.html", campaign=campaign, typed=typed, errors=errors or {})


def _copy_page(campaign: Campaign, typed: Copy, errors: dict[str, str] | None = None) -> str:
    return page("campaigns/duplicate.html", campaign=campaign, typed=typed, errors=errors or {})
