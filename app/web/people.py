"""Pages of people: a campaign's list of them, adding and correcting one, and a card for one person."""

from dataclasses import asdict, dataclass
from typing import Any

from flask import Response, flash, request, url_for
from flask_babel import gettext as _
from flask_login import current_user

from app import tasks
from app.domain import access, jobs, rosters
from app.domain import people as rooms
from app.domain.errors import Invalid, Refusal
from app.domain.orders import StartOrder
from app.domain.people_checks import check_person
from app.domain.rosters import WITH_CARD, WITHOUT_CARD, Line
from app.intake import FIELDS, PersonRow
from app.models import LIVE, Beneficiary, Campaign, CardState
from app.web import forms, words
from app.web.accounts import Answer, words_of
from app.web.campaigns import campaign_frame, find
from app.web.cards import CARD_PILLS, card_pill
from app.web.door import actor, bp, go, page, signed_in
from app.web.errors import status_of
from app.web.exports import csv_file
from app.web.pager import paged

PER_PAGE = 25
LONGEST_SEARCH = 100


@dataclass(frozen=True)
class Typed:
    """What a form says about a person."""

    first_name: str = ""
    last_name: str = ""
    beneficiary_id: str = ""
    date_of_birth: str = ""
    phone_number: str = ""
    gender: str = ""
    health_center: str = ""
    org_unit: str = ""
    zone: str = ""
    enrollment_date: str = ""


@bp.get("/app/campaigns/<campaign_id>/people")
@signed_in()
def people(campaign_id: str) -> str:
    """Show the campaign's people with the card each holds; search them by name, ID, phone number or code."""
    campaign = find(campaign_id)
    rosters.note_reading(campaign, by=actor())
    words, having = request.args.get("q", "").strip()[:LONGEST_SEARCH], _having()
    pager = paged(lambda **window: rosters.look(campaign, words, having, by=actor(), **window), per_page=PER_PAGE)
    frame = campaign_frame(campaign)
    return page(
        "people/list.html",
        tab="people",
        pager=pager,
        asked=words,
        having=having,
        chips=_chips(campaign, frame["overview"], words, having),
        card_pill=card_pill,
        **frame,
    )


@bp.get("/app/campaigns/<campaign_id>/people.csv")
@signed_in(to="see phone numbers")
def people_csv(campaign_id: str) -> Response:
    """Hand out everybody in the campaign with their codes, for a spreadsheet."""
    campaign = find(campaign_id)
    lines = list(rosters.export(campaign, by=actor()))
    own = sorted({name for line in lines for name in line.person.custom_fields})
    heads = [_("Code"), _("Card"), *(text for _name, text in labels()), *own]
    return csv_file(f"{campaign.prefix}-people.csv", heads, ([*_plain(line), *_own(line, own)] for line in lines))


@bp.get("/app/campaigns/<campaign_id>/people/new")
@signed_in(to="bring in people")
def new_beneficiary(campaign_id: str) -> str:
    """Ask for a person to add to the campaign."""
    return _new_page(find(campaign_id), Typed())


@bp.post("/app/campaigns/<campaign_id>/people/new")
@signed_in(to="bring in people")
def add_beneficiary(campaign_id: str) -> Answer:
    """Add the person to the campaign, and show them."""
    campaign, typed = find(campaign_id), forms.read(Typed)
    once = forms.repeat({"campaign": str(campaign.id), **asdict(typed)})
    try:
        person_id = rooms.add_person(campaign, _checked(typed), by=actor(), repeat=once)
    except Invalid as refusal:
        return _new_page(campaign, typed, words_of(refusal)), 422
    flash(_("%(name)s is in the campaign now.", name=f"{typed.first_name} {typed.last_name}"), "good")
    return go("web.beneficiary", person_id=person_id, campaign=campaign.id)


@bp.get("/app/people/<person_id>")
@signed_in(to="bring in people")
def beneficiary(person_id: str) -> str:
    """Show what is known about one person, to be corrected, and their cards."""
    found = access.find(Beneficiary, actor(), person_id, to="bring in people")
    return _person_page(found, _as_saved(found))


@bp.post("/app/people/<person_id>")
@signed_in(to="bring in people")
def save_beneficiary(person_id: str) -> Answer:
    """Keep what was corrected; cards that exist keep what is printed on them."""
    found = access.find(Beneficiary, actor(), person_id, to="bring in people")
    typed = forms.read(Typed)
    try:
        rooms.correct_person(found, _checked(typed, found.custom_fields), by=actor())
    except Invalid as refusal:
        return _person_page(found, typed, words_of(refusal)), 422
    flash(_("The changes are saved. Cards that exist stay as they were printed."), "good")
    return go("web.beneficiary", person_id=found.id, campaign=request.args.get("campaign"))


@bp.post("/app/people/<person_id>/card")
@signed_in(to="generate cards")
def make_card(person_id: str) -> Answer:
    """Order a card for this one person, or the same card once more, and go to its job."""
    found = access.find(Beneficiary, actor(), person_id, to="generate cards")
    campaign = find(request.form.get("campaign", ""), to="generate cards")
    rosters.refuse_outsider(campaign, found)
    once = forms.repeat({"person": str(found.id), "campaign": str(campaign.id)})
    try:
        job = jobs.start(campaign, StartOrder(people=[found.id], dpi=campaign.dpi), by=actor(), repeat=once)
    except Refusal as refusal:
        return _person_page(found, _as_saved(found), words_of(refusal)), status_of(refusal)
    tasks.ring()
    return go("web.job", job_id=job.id)


def _having() -> str:
    having = request.args.get("having", "")
    return having if having in (WITH_CARD, WITHOUT_CARD) else ""


def _chips(campaign: Campaign, overview: Any, words: str, having: str) -> list[dict[str, Any]]:
    choices = (
        ("", _("All"), overview.people),
        (WITH_CARD, _("With a card"), overview.with_card),
        (WITHOUT_CARD, _("Without a card"), overview.without_card),
    )
    return [
        {
            "text": text,
            "url": url_for("web.people", campaign_id=campaign.id, q=words or None, having=value or None),
            "current": value == having,
            "count": count,
        }
        for value, text, count in choices
    ]


def labels() -> list[tuple[str, str]]:
    """Return the fields of a person in the order of forms and files, with their names."""
    return [
        ("first_name", _("First name")),
        ("last_name", _("Last name")),
        ("beneficiary_id", _("Beneficiary ID")),
        ("date_of_birth", _("Date of birth")),
        ("phone_number", _("Phone number")),
        ("gender", _("Gender")),
        ("health_center", _("Health centre")),
        ("org_unit", _("Organisation unit")),
        ("zone", _("Zone")),
        ("enrollment_date", _("Enrolment date")),
    ]


def _plain(line: Line) -> list[Any]:
    """Return a person as a line of the file: the code and state of the card, then what is known."""
    card, saved = line.card, asdict(_as_saved(line.person))
    code, state = (card.code, _(CARD_PILLS[CardState(card.state)][0])) if card else ("", "")
    return [code, state, *(saved[name] for name, _text in labels())]


def _own(line: Line, names: list[str]) -> list[str]:
    return [line.person.custom_fields.get(name, "") for name in names]


def _checked(typed: Typed, custom: dict[str, Any] | None = None) -> PersonRow:
    """Return the person of the form; what came in extra columns stays as it is. Raises Invalid."""
    own = {name: value for name, value in (custom or {}).items() if name not in FIELDS}
    organisation = current_user.organisation
    return check_person(own | asdict(typed), today=rooms.today_of(organisation.id), country=organisation.country)


def _as_saved(person: Beneficiary) -> Typed:
    saved = {name: getattr(person, name) for name in Typed.__dataclass_fields__}
    return Typed(**{name: "" if value is None else str(value) for name, value in saved.items()})


def _new_page(campaign: Campaign, typed: Typed, errors: dict[str, str] | None = None) -> str:
    return page("people/new.html", campaign=campaign, typed=typed, errors=errors or {})


def _person_page(person: Beneficiary, typed: Typed, errors: dict[str, str] | None = None) -> str:
    enrolled = rosters.campaigns_of(person)
    asked = request.args.get("campaign") or request.form.get("campaign", "")
    return page(
        "people/person.html",
        person=person,
        typed=typed,
        enrolled=enrolled,
        back=next((campaign for campaign, _card in enrolled if asked == str(campaign.id)), None),
        card_pill=card_pill,
        being_made=CardState.pending,
        live=LIVE,
        words=words,
        errors=errors or {},
    )
