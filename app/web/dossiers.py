"""Everything about one person as a file that they can read: JSON with the portal's own words for its keys."""

import json
from typing import Any

from flask import Response
from flask_babel import gettext as _

from app.database import spell, utc_now
from app.domain import access, dossiers
from app.domain.dossiers import Dossier, Listed, Printed
from app.models import Beneficiary, Card, CardState
from app.web import words
from app.web.cards import CARD_PILLS
from app.web.door import actor, bp, signed_in
from app.web.languages import in_words
from app.web.people import labels


@bp.get("/app/people/<person_id>/everything.json")
@signed_in(to="see phone numbers")
def person_file(person_id: str) -> Response:
    """Hand out everything about the person; the audit log says who took it."""
    person = access.find(Beneficiary, actor(), person_id, to="see phone numbers")
    found = dossiers.hand_out(person, by=actor())
    text = json.dumps(_labelled(found), ensure_ascii=False, indent=2, default=str)
    answer = Response(text + "\n", mimetype="application/json")
    answer.headers.set("Content-Disposition", "attachment", filename=f"{spell('person', person.id)}.json")
    answer.headers["Cache-Control"] = "no-store"
    return answer


def _labelled(found: Dossier) -> dict[str, Any]:
    person = found.person
    return {
        _("Made on"): _moment(utc_now()),
        _("What is known about this person"): {
            **_values(vars(person)),
            "MPI ID": person.mpi_id or "",
            _("Brought in"): _moment(person.created_at),
            _("Last changed"): _moment(person.updated_at),
        },
        _("Your own columns"): person.custom_fields,
        _("Campaigns"): [
            {_("Campaign"): campaign.name, _("Brought in"): _moment(since)} for campaign, since in found.enrolments
        ],
        _("Cards"): [
            {
                _("Code"): card.code,
                _("State"): _state(card),
                _("Campaign"): campaign.name,
                _("Issued on"): card.issued_on,
                _("Valid until"): card.expires_on or _("No last day"),
            }
            for card, campaign in found.cards
        ],
        _("What was printed"): [_print(one) for one in found.prints],
        _("Rows of lists"): [_row(one) for one in found.rows],
        _("What was done"): [
            {
                _("When"): _moment(act.created_at),
                _("Who"): act.actor_name,
                _("What"): words.act_in_words(act),
            }
            for act in found.acts
        ],
    }


def _print(one: Printed) -> dict[str, Any]:
    return {
        _("When"): _moment(one.at),
        _("Code"): one.code,
        _("State"): words.print_state(one.state),
        _("On the card"): _values(one.facts) | {"MPI ID": one.facts.get("mpi_id", "")},
        _("Reason"): in_words(one.problem) if one.problem else "",
    }


def _row(one: Listed) -> dict[str, Any]:
    return {
        _("File"): one.file_name,
        _("Handed in"): _moment(one.at),
        _("Row"): one.number,
        _("Cells"): one.cells,
        _("Reason"): [in_words(problem) for problem in one.problems],
    }


def _values(known: dict[str, Any]) -> dict[str, Any]:
    return {text: known[name] or "" for name, text in labels() if name in known}


def _state(card: Card) -> str:
    return _(CARD_PILLS[CardState(card.state)][0])


def _moment(at: Any) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
