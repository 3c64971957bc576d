"""Pages about a person's own rights: taking away everything that is known about them, and erasing them for good."""

from flask import flash, request
from flask_babel import gettext as _

from app.domain import access
from app.domain import erasure as rooms
from app.domain.errors import Conflict, Invalid
from app.models import Beneficiary
from app.web.accounts import Answer, words_of
from app.web.door import actor, bp, go, page, signed_in
from app.web.languages import in_words


@bp.get("/app/people/<person_id>/erase")
@signed_in(to="erase people")
def ask_erase(person_id: str) -> Answer:
    """Say exactly what goes and what stays, and ask for the reason."""
    return _ask(access.find(Beneficiary, actor(), person_id, to="erase people"))


@bp.post("/app/people/<person_id>/erase")
@signed_in(to="erase people")
def erase(person_id: str) -> Answer:
    """Erase the person, and show what is left of them. A second click finds them erased and changes nothing."""
    person = access.find(Beneficiary, actor(), person_id, to="erase people")
    reason = request.form.get("reason", "")
    try:
        if not request.form.get("sure"):
            raise Invalid({"sure": rooms.NOT_SURE})
        rooms.erase(person, reason, by=actor())
    except Invalid as refusal:
        return _ask(person, reason, words_of(refusal))
    except Conflict as refusal:
        flash(in_words(refusal.sentence), "info")
    else:
        flash(_("The person is erased. Their name is nowhere here any more."), "good")
    return go("web.beneficiary", person_id=person_id, campaign=request.args.get("campaign"))


def _ask(person: Beneficiary, reason: str = "", errors: dict[str, str] | None = None) -> Answer:
    campaign = request.args.get("campaign")
    try:
        outlook = rooms.outlook(person)
    except Conflict as refusal:
        flash(in_words(refusal.sentence), "info")
        return go("web.beneficiary", person_id=person.id, campaign=campaign)
    shown = page(
        "people/erase.html",
        person=person,
        outlook=outlook,
        reasons=[(name, _(text)) for name, text in rooms.REASONS.items()],
        reason=reason,
        campaign=campaign,
        errors=errors or {},
    )
    return (shown, 422) if errors else shown
