"""Starting a campaign in five short steps, each kept as a draft, so that it can be finished on another day."""

from dataclasses import asdict, dataclass, fields
from typing import Any

from flask import flash, request, url_for
from flask_babel import gettext as _
from flask_login import current_user

from app.domain import access, designs, drafts, ordering
from app.domain import campaigns as rooms
from app.domain.campaigns import NewCampaign, PrefixTaken
from app.domain.errors import Invalid, NotFound, Refusal
from app.models import Campaign, CampaignDraft
from app.web import forms, words
from app.web.accounts import Answer, words_of
from app.web.designs import qualities
from app.web.door import actor, bp, go, page, signed_in

Answers = dict[str, Any]


@dataclass(frozen=True)
class General:
    """Step 1: what the campaign is called and what it is for."""

    name: str = ""
    campaign_type: str = ""
    prefix: str = ""
    description: str = ""


@dataclass(frozen=True)
class Language:
    """Step 2: the language of its cards."""

    language: str = ""


@dataclass(frozen=True)
class Design:
    """Step 3: the design of its cards."""

    template_id: str = ""


@dataclass(frozen=True)
class Quality:
    """Step 4: how fine its cards are drawn, in dots per inch."""

    dpi: str = ""


@dataclass(frozen=True)
class Everything(General, Language, Design, Quality):
    """Step 5: all answers, as they were shown and confirmed."""


FORMS = {"general": General, "language": Language, "design": Design, "quality": Quality}
STEPS = (*FORMS, "check")


@bp.get("/app/campaigns/new")
@signed_in(to="edit campaigns")
def new_campaign() -> str:
    """Ask the first questions; nothing is kept before they are answered."""
    return _step_page("general", None, _first_answers())


@bp.post("/app/campaigns/new")
@signed_in(to="edit campaigns")
def begin_campaign() -> Answer:
    """Take the first answers and keep them as a new draft."""
    return _take("general", None)


@bp.get("/app/campaigns/new/prefix")
@signed_in(to="edit campaigns")
def propose_prefix() -> str:
    """Say which prefix the name would give: the fragment that the name's field fetches. It replaces nothing typed."""
    name = request.args.get("name", "").strip()
    proposed = rooms.suggest_prefix(actor().organisation_id, name) if name else ""
    return page("campaigns/_prefix.html", proposed=proposed)


@bp.get("/app/campaigns/new/<draft_id>/<any(general,language,design,quality,check):step>")
@signed_in(to="edit campaigns")
def new_campaign_step(draft_id: str, step: str) -> Answer:
    """Ask one step's questions, with what was answered before; an earlier one when that one is not answered yet."""
    answers = _first_answers() | _draft(draft_id).answers
    missing = _first_unanswered(answers)
    if STEPS.index(step) > STEPS.index(missing):
        return go("web.new_campaign_step", draft_id=draft_id, step=missing)
    return _step_page(step, draft_id, answers)


@bp.post("/app/campaigns/new/<draft_id>/<any(general,language,design,quality):step>")
@signed_in(to="edit campaigns")
def save_campaign_step(draft_id: str, step: str) -> Answer:
    """Keep one step's answers and go on."""
    return _take(step, draft_id)


@bp.post("/app/campaigns/new/<draft_id>/check")
@signed_in(to="edit campaigns")
def create_campaign(draft_id: str) -> Answer:
    """Make the campaign from the answers that were confirmed; a second click finds the first one's campaign."""
    answers = asdict(forms.read(Everything))
    try:
        campaign, _again = ordering.open_campaign(_wanted(answers), by=actor(), repeat=forms.repeat(answers))
    except Refusal as refusal:
        return _step_page("check", draft_id, answers, {"": words_of(refusal).popitem()[1]}), 422
    _forget(draft_id)
    flash(_("The campaign is there. Now bring in the people who will have a card."), "good")
    return go("web.campaign", campaign_id=campaign.id)


@bp.post("/app/campaigns/new/<draft_id>/discard")
@signed_in(to="edit campaigns")
def discard_draft(draft_id: str) -> Answer:
    """Forget a campaign that nobody wants to finish."""
    _forget(draft_id)
    flash(_("The unfinished campaign was discarded."), "good")
    return go("web.campaigns")


def _take(step: str, draft_id: str | None) -> Answer:
    """Keep the posted answers and lead to the next step; show the step again with what is wrong."""
    typed = asdict(forms.read(FORMS[step]))
    before = _draft(draft_id).answers if draft_id else {}
    answers = _completed(_first_answers() | before, typed)
    if errors := _errors(step, answers):
        return _step_page(step, draft_id, answers | typed, errors), 422
    once = None if draft_id else forms.repeat(typed)
    kept = drafts.keep(draft_id and _draft(draft_id).id, answers, by=actor(), repeat=once)
    following = "check" if request.form.get("then") == "check" else STEPS[STEPS.index(step) + 1]
    return go("web.new_campaign_step", draft_id=kept, step=following)


def _completed(before: Answers, typed: Answers) -> Answers:
    """Return all answers so far: a prefix in capitals, proposed where none was typed, and the design of the type."""
    answers = before | typed
    answers["prefix"] = answers["prefix"].upper()
    if answers["name"] and not answers["prefix"]:
        answers["prefix"] = rooms.suggest_prefix(actor().organisation_id, answers["name"])
    if before["template_id"] in ("", before["campaign_type"]) and "template_id" not in typed:
        answers["template_id"] = answers["campaign_type"]
    return answers


def _errors(step: str, answers: Answers) -> dict[str, str]:
    """Return what is wrong with this step's answers, in the order of its form."""
    asked = {field.name for field in fields(FORMS[step])}
    try:
        rooms.check(_wanted(answers))
        problems = {}
    except Invalid as refusal:
        problems = {name: text for name, text in words_of(refusal).items() if name in asked}
    if step == "general" and "prefix" not in problems and _is_taken(answers["prefix"]):
        problems["prefix"] = words_of(PrefixTaken(answers["prefix"]))[""]
    return problems


def _is_taken(prefix: str) -> bool:
    try:
        return bool(access.find(Campaign, actor(), prefix, to="see", by="prefix"))
    except NotFound:
        return False


def _first_unanswered(answers: Answers) -> str:
    return next((step for step in FORMS if _errors(step, answers)), "check")


def _wanted(answers: Answers) -> NewCampaign:
    return NewCampaign(
        name=answers["name"],
        campaign_type=answers["campaign_type"],
        prefix=answers["prefix"],
        language=answers["language"],
        template_id=answers["template_id"],
        description=answers["description"] or None,
        dpi=forms.whole_number(answers["dpi"]),
    )


def _first_answers() -> Answers:
    return asdict(Everything(language=current_user.organisation.language, dpi="300"))


def _draft(draft_id: str) -> CampaignDraft:
    """Return the reader's own draft; somebody else's is not found."""
    draft = drafts.find(draft_id, by=actor())
    if draft is None:
        raise NotFound()
    return draft


def _forget(draft_id: str) -> None:
    """Drop the draft; a second click finds it gone, which is as well."""
    try:
        drafts.drop(draft_id, by=actor())
    except NotFound:
        return


def _step_page(step: str, draft_id: str | None, answers: Answers, errors: dict[str, str] | None = None) -> str:
    return page(
        f"campaigns/new/{step}.html",
        step=step,
        steps=_steps(draft_id),
        draft_id=draft_id,
        answers=answers,
        errors=errors or {},
        then=request.values.get("then", ""),
        gallery=designs.gallery() if step in ("design", "check") else (),
        qualities=qualities(),
        card_languages=_card_languages(answers),
        words=words,
    )


def _card_languages(answers: Answers) -> list[tuple[str, str, str]]:
    """Return each language with a few words as they stand on the cards of this type."""
    names = [design.name for design in designs.gallery()]
    design = designs.gallery()[names.index(answers["campaign_type"]) if answers["campaign_type"] in names else 0]
    samples = {
        code: [design.label(name, code) for name in ("title", "date_of_birth", "code")] for code in words.LANGUAGES
    }
    return [(code, words.language_name(code), " · ".join(sample)) for code, sample in samples.items()]


def _steps(draft_id: str | None) -> list[dict[str, str]]:
    """Return each step's name, its title, and where it is; without a draft there is only the first."""
    titles = {
        "general": _("General"),
        "language": _("Language"),
        "design": _("Design"),
        "quality": _("Quality"),
        "check": _("Check your answers"),
    }
    return [
        {
            "name": name,
            "title": titles[name],
            "url": url_for("web.new_campaign_step", draft_id=draft_id, step=name) if draft_id else "",
        }
        for name in STEPS
    ]
