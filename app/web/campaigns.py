"""Campaigns: the list of them, and one campaign with its tabs. Starting one step by step is in `new_campaign.py`,
naming, copying and putting away in `campaign_settings.py`.
"""

from dataclasses import dataclass
from typing import Any

from flask import Response, request, url_for
from flask_babel import format_date, gettext
from flask_babel import gettext as _

from app.database import settings
from app.domain import campaigns as rooms
from app.domain import jobs, overviews, packaging
from app.domain.overviews import Overview
from app.models import ArtifactKind, Campaign, CardsStatus, JobState
from app.sentences import N_
from app.web import words
from app.web.door import actor, bp, page, signed_in
from app.web.exports import csv_file
from app.web.pager import paged

TABS = {
    "": (N_("All"), None),
    "draft": (N_("Draft"), CardsStatus.draft),
    "running": (N_("Running"), CardsStatus.generating),
    "done": (N_("Done"), CardsStatus.completed),
    "archived": (N_("Archived"), CardsStatus.archived),
}
PER_PAGE = 20
ACTS_PER_PAGE = 30


@dataclass(frozen=True)
class Asked:
    """What the address of the list asks for: a tab, a type, words."""

    tab: str
    campaign_type: str
    words: str

    @property
    def filters(self) -> dict[str, Any]:
        """Return what the room searches by."""
        return {"status": TABS[self.tab][1], "campaign_type": self.campaign_type or None, "words": self.words}

    def address(self, endpoint: str = "web.campaigns", **changes: str) -> str:
        """Return the address of the same list with something changed, without what is empty."""
        wanted = {"tab": self.tab, "type": self.campaign_type, "q": self.words} | changes
        return url_for(endpoint, **{name: value for name, value in wanted.items() if value})


@bp.get("/app/campaigns")
@signed_in()
def campaigns() -> str:
    """Show the organisation's campaigns: a tab for each state, a chip for each type, words to search for."""
    asked = _asked()
    pager = paged(lambda **window: rooms.search(actor().organisation_id, **asked.filters, **window), per_page=PER_PAGE)
    return page(
        "campaigns/list.html",
        "campaigns/_list.html",
        asked=asked,
        pager=pager,
        tabs=_tabs(asked),
        chips=_chips(asked),
        overviews=overviews.of_campaigns(pager.items),
        drafts=overviews.drafts_of(actor()),
        words=words,
    )


@bp.get("/app/campaigns.csv")
@signed_in()
def campaigns_csv() -> Response:
    """Hand out the list as the page shows it, all pages of it, for a spreadsheet."""
    found = overviews.export_campaigns(by=actor(), **_asked().filters)
    numbers = overviews.of_campaigns(found)
    heads = (_("Name"), _("Prefix"), _("Type"), _("Language"), _("State"), _("People"), _("Cards"), _("Started on"))
    rows = ([*_named(campaign), *_counted(campaign, numbers[campaign.id])] for campaign in found)
    return csv_file("campaigns.csv", heads, rows)


@bp.get("/app/campaigns/<campaign_id>")
@signed_in()
def campaign(campaign_id: str) -> str:
    """Show one campaign: how far it is, and what to do next."""
    found = find(campaign_id)
    return page("campaigns/overview.html", tab="overview", jobs=jobs.of_campaign(found)[:3], **campaign_frame(found))


@bp.get("/app/campaigns/<campaign_id>/cards")
@signed_in()
def campaign_cards(campaign_id: str) -> str:
    """Show the campaign's jobs: what was ordered, how far it is, where the files are."""
    found = find(campaign_id)
    made = jobs.of_campaign(found)
    return page(
        "campaigns/cards.html",
        "campaigns/_jobs.html",
        tab="cards",
        jobs=made,
        progress={job.id: jobs.progress(job) for job in made},
        **campaign_frame(found),
    )


@bp.get("/app/campaigns/<campaign_id>/verification")
@signed_in()
def campaign_verification(campaign_id: str) -> str:
    """Show how the campaign's cards are verified: the public address, and the page that works without a network."""
    found = find(campaign_id)
    done = [job for job in jobs.of_campaign(found) if job.state in (JobState.completed, JobState.cancelled)]
    portals = [(job, packaging.artifact_of(job, ArtifactKind.portal)) for job in done]
    return page(
        "campaigns/verification.html",
        tab="verification",
        verify_address=f"{settings().public_url}/verify",
        portals=[(job, artifact) for job, artifact in portals if artifact],
        **campaign_frame(found),
    )


@bp.get("/app/campaigns/<campaign_id>/activity")
@signed_in()
def campaign_activity(campaign_id: str) -> str:
    """Show who did what to the campaign, newest first."""
    found = find(campaign_id)
    pager = paged(lambda **window: overviews.history(found, **window), per_page=ACTS_PER_PAGE)
    return page("campaigns/activity.html", tab="activity", pager=pager, **campaign_frame(found))


def find(campaign_id: str, *, to: str = "see") -> Campaign:
    """Return the campaign of the reader's organisation that an id or a prefix in an address names."""
    return rooms.find_by_outer(actor(), campaign_id, to=to)


def campaign_frame(campaign: Campaign) -> dict[str, Any]:
    """Return what `campaigns/_frame.html` needs besides `tab`, the name of the open tab.

    The names it fills: campaign, overview (the numbers), pill (text, kind), campaign_tabs, words.
    """
    overview = overviews.of_campaign(campaign)
    return {
        "campaign": campaign,
        "overview": overview,
        "pill": words.campaign_pill(campaign),
        "campaign_tabs": _campaign_tabs(campaign, overview),
        "words": words,
    }


def _campaign_tabs(campaign: Campaign, overview: Overview) -> list[dict[str, Any]]:
    """Return the sides of a campaign: name, text, address, and how many there are of what it lists."""
    sides = (
        ("overview", _("Overview"), "campaign", None),
        ("people", _("People"), "people", overview.people),
        ("cards", _("Cards"), "campaign_cards", overview.issued),
        ("verification", _("Verification"), "campaign_verification", None),
        ("activity", _("Activity"), "campaign_activity", None),
    )
    return [
        {"name": name, "text": text, "url": url_for(f"web.{endpoint}", campaign_id=campaign.id), "count": count}
        for name, text, endpoint, count in sides
    ]


def _asked() -> Asked:
    tab, kind = request.args.get("tab", ""), request.args.get("type", "")
    return Asked(
        tab=tab if tab in TABS else "",
        campaign_type=kind if kind in words.TYPES else "",
        words=request.args.get("q", "").strip()[:200],
    )


def _tabs(asked: Asked) -> list[dict[str, Any]]:
    return [
        {"text": gettext(text), "url": asked.address(tab=name), "current": name == asked.tab}
        for name, (text, _status) in TABS.items()
    ]


def _chips(asked: Asked) -> list[dict[str, Any]]:
    """Return a chip for each type the organisation has used, none when that leaves nothing to choose."""
    used = overviews.types_in_use(actor().organisation_id)
    if len(used) < 2 and not asked.campaign_type:
        return []
    kinds = [("", _("All types")), *((kind, words.type_name(kind)) for kind in used)]
    return [
        {"text": text, "url": asked.address(type=kind), "current": kind == asked.campaign_type} for kind, text in kinds
    ]


def _named(campaign: Campaign) -> list[str]:
    return [
        campaign.name,
        campaign.prefix,
        words.type_name(campaign.campaign_type),
        words.language_name(campaign.language),
        words.campaign_pill(campaign)[0],
    ]


def _counted(campaign: Campaign, overview: Overview) -> list[Any]:
    return [overview.people, overview.issued, format_date(campaign.created_at, "yyyy-MM-dd")]
