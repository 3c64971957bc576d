"""Designs: their preview pictures with fictitious people, and the design that a campaign's next cards wear."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache

from flask import Response, abort, flash, request
from flask_babel import force_locale, gettext
from flask_babel import gettext as _

from app.domain import campaigns as rooms
from app.domain import designs
from app.domain.errors import Refusal
from app.domain.orders import DPIS
from app.domain.sizes import USUAL_AT_300
from app.models import SENSITIVE_TYPES, Campaign
from app.rendering.chunk import preview
from app.rendering.facts import CardFacts, JobFacts
from app.web import forms
from app.web.accounts import Answer, words_of
from app.web.campaigns import campaign_frame, find
from app.web.door import actor, bp, go, page, signed_in

PREVIEW_DPI = 110  # 371 by 234 pixels: sharp at the 244 by 154 of the gallery, and light on a slow line
PREVIEW_SECONDS = 3600
ALL_PREVIEWS = 64
SIDES = ("front", "back")


@dataclass(frozen=True)
class Chosen:
    """A design and a resolution, as they were chosen."""

    template_id: str = ""
    dpi: str = ""


@bp.get("/app/designs/<name>/preview/<any(front,back):side>.png")
@signed_in()
def design_preview(name: str, side: str) -> Response:
    """Draw one side of a design with a fictitious person on it, in the language the address asks for."""
    language = request.args.get("language", "")
    if not designs.known(name) or language not in rooms.LANGUAGES:
        abort(404)
    answer = Response(_pictures(name, language)[SIDES.index(side)], mimetype="image/png")
    answer.cache_control.private = True
    answer.cache_control.max_age = PREVIEW_SECONDS
    return answer


@bp.get("/app/campaigns/<campaign_id>/design")
@signed_in(to="edit campaigns")
def campaign_design(campaign_id: str) -> str:
    """Show the gallery with the campaign's design chosen."""
    campaign = find(campaign_id)
    return _design_page(campaign, Chosen(campaign.template_id, str(campaign.dpi)))


@bp.post("/app/campaigns/<campaign_id>/design")
@signed_in(to="edit campaigns")
def choose_campaign_design(campaign_id: str) -> Answer:
    """Let the campaign's next cards wear what was chosen."""
    campaign, typed = find(campaign_id), forms.read(Chosen)
    try:
        rooms.choose_design(campaign, typed.template_id, forms.whole_number(typed.dpi), by=actor())
    except Refusal as refusal:
        return _design_page(campaign, typed, words_of(refusal)), 422
    flash(_("The next cards will look like this. Cards made before stay as they are."), "good")
    return go("web.campaign", campaign_id=campaign.id)


def qualities() -> list[tuple[int, str, str]]:
    """Return the resolutions with what each is for and what a thousand cards weigh."""
    uses = {
        300: (_("Good: 300 dpi"), _("For paper, and for sharing on a screen. The quickest to make.")),
        450: (_("Fine: 450 dpi"), _("For a laser printer and laminated cards.")),
        600: (_("Finest: 600 dpi"), _("For plastic cards from a print shop. The slowest to make.")),
    }
    return [(dpi, uses[dpi][0], f"{uses[dpi][1]} {_weight(dpi)}") for dpi in DPIS]


def _weight(dpi: int) -> str:
    megabytes = round(1000 * USUAL_AT_300 * (dpi / 300) ** 2 / 1_000_000)
    return _("1,000 cards take about %(size)s MB.", size=megabytes)


def _design_page(campaign: Campaign, typed: Chosen, errors: dict[str, str] | None = None) -> str:
    return page(
        "designs/choose.html",
        tab="overview",
        typed=typed,
        gallery=designs.gallery(),
        qualities=qualities(),
        errors=errors or {},
        **campaign_frame(campaign),
    )


@lru_cache(maxsize=ALL_PREVIEWS)
def _pictures(name: str, language: str) -> tuple[bytes, bytes]:
    """Return front and back. They depend on nothing but the design and the language, so each is drawn once."""
    design = next(design for design in designs.gallery() if design.name == name)
    return preview(_sample_job(name, language), design, _sample_card(language), PREVIEW_DPI)


def _sample_job(name: str, language: str) -> JobFacts:
    with force_locale(language):
        programme, campaign_name = gettext("Health programme"), gettext("Your campaign")
    return JobFacts(
        job_id="",
        campaign_id="",
        campaign_name=campaign_name,
        campaign_type=name,
        prefix="DKR",
        programme=programme,
        language=language,
        dpi=PREVIEW_DPI,
        sheet=None,
        generated_at=datetime(2026, 1, 15, tzinfo=UTC),
        verify_address="https://cards.example.org/verify",
        sensitive=name in SENSITIVE_TYPES,
        test=True,
    )


def _sample_card(language: str) -> CardFacts:
    with force_locale(language):
        center = gettext("District health centre")
    return CardFacts(
        code="DKR-9XQ7LM2G",
        first_name="Aïssatou",
        last_name="Ndiaye",
        beneficiary_id="BEN-00042",
        address="HTTPS://CARDS.EXAMPLE.ORG/V/" + "SPECIMEN" * 15 + "SAMPLES",
        issued_on=date(2026, 1, 15),
        expires_on=date(2027, 1, 14),
        date_of_birth=date(1994, 3, 8),
        enrollment_date=date(2026, 1, 10),
        gender="F",
        health_center=center,
        zone="Zone 4",
        mpi_id="SN-DKR-26-9XQ7LM2A",
    )
