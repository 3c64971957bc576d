"""Pages of cards: one card found by its code, with its picture and what became of it."""

from dataclasses import dataclass
from datetime import datetime

from flask import Response, request, url_for
from flask_babel import gettext as _

from app.domain import cards
from app.domain.cards import Printing
from app.domain.errors import NotFound
from app.domain.people import today_of
from app.models import Card, CardState, PrintState
from app.sentences import N_
from app.web import words
from app.web.accounts import Answer
from app.web.door import actor, bp, go, page, signed_in

CARD_PILLS = {
    CardState.pending: (N_("Being made"), "running"),
    CardState.valid: (N_("Valid"), "good"),
    CardState.suspended: (N_("Suspended"), "warn"),
    CardState.revoked: (N_("Revoked"), "bad"),
    CardState.replaced: (N_("Replaced"), ""),
    CardState.void: (N_("Never issued"), ""),
}
STATES = {
    CardState.pending: N_("This card is just being made. It counts as soon as its files are ready."),
    CardState.valid: N_("Whoever verifies this card is told that it is genuine and in force."),
    CardState.suspended: N_("This card is stopped for now. Whoever verifies it is told not to accept it today."),
    CardState.revoked: N_("This card was withdrawn for good. Whoever verifies it is told not to accept it."),
    CardState.replaced: N_("A newer card has taken the place of this one, which no longer counts."),
    CardState.void: N_("This card was ordered and never made. Nobody holds it, and it did not use up any quota."),
}
SHOWN_DPI = 150


@dataclass(frozen=True)
class Happening:
    """One line of a card's history."""

    at: datetime
    what: str
    by: str
    reason: str = ""
    job_url: str = ""


@bp.get("/app/cards")
@signed_in()
def find_card() -> Answer:
    """Go to the card whose code was typed, or ask for a code."""
    code = request.args.get("code", "").strip()
    try:
        return go("web.card", code=cards.by_code(actor(), code).code) if code else page("card/find.html", code="")
    except NotFound:
        errors = {"code": _("No card of your organisation has this code. Compare it with the card.")}
        return page("card/find.html", code=code, errors=errors), 404


@bp.get("/app/cards/<code>")
@signed_in()
def card(code: str) -> Answer:
    """Show one card: its picture, whether it counts, who holds it, and what became of it."""
    found = cards.by_code(actor(), code)
    if found.code != code:
        return go("web.card", code=found.code)
    seen = cards.picture(found)
    person, campaign = cards.belongings(found)
    return page(
        "card/card.html",
        card=found,
        pill=card_pill(found),
        state=_(STATES[CardState(found.state)]),
        expired=has_expired(found),
        person=person,
        campaign=campaign,
        sides=cards.SIDES if seen else (),
        width=round(seen.design.size_mm[0] / 25.4 * SHOWN_DPI) if seen else 0,
        history=_history(found),
        words=words,
    )


@bp.get("/app/cards/<code>/<any(front, back):side>.png")
@signed_in()
def card_picture(code: str, side: str) -> Response:
    """Return one side of the card, drawn from what was frozen when it was last printed."""
    return Response(cards.draw(cards.by_code(actor(), code), side), mimetype="image/png")


def card_pill(card: Card) -> tuple[str, str]:
    """Return the card's state in a word, and the kind of pill it stands in."""
    if card.state == CardState.valid and has_expired(card):
        return _("Expired"), "warn"
    text, kind = CARD_PILLS[CardState(card.state)]
    return _(text), kind


def has_expired(card: Card) -> bool:
    """Return whether the card's last day has passed where the organisation works."""
    return card.expires_on is not None and card.expires_on < today_of(card.organisation_id)


def _history(card: Card) -> list[Happening]:
    """Return what was done to the card and each time it was printed, newest first."""
    printed = [
        Happening(line.at, _printed(line), line.by, job_url=url_for("web.job", job_id=line.job_id))
        for line in cards.printings(card)
    ]
    done = [
        Happening(act.created_at, words.act_in_words(act), act.actor_name, str(act.facts.get("reason", "")))
        for act in cards.acts(card)
    ]
    return sorted(printed + done, key=lambda happening: happening.at, reverse=True)


def _printed(line: Printing) -> str:
    if line.state == PrintState.void:
        return _("Ordered, but not made")
    if line.state in (PrintState.pending, PrintState.drawn):
        return _("Being made") if line.first else _("Being printed again")
    return _("Made") if line.first else _("Printed again")
