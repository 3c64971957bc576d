"""Pages of the team: who is in it, inviting, roles, links to get back in, and removing."""

from flask import flash, request, url_for
from flask_babel import gettext as _

from app.database import settings, spell
from app.domain import team as people
from app.domain.errors import Conflict, Invalid
from app.models import Role, User
from app.web import forms
from app.web.accounts import Answer, words_of
from app.web.door import actor, bp, go, page, signed_in


@bp.get("/app/team")
@signed_in()
def team() -> Answer:
    """List the people of the team; administrators also see who was invited."""
    return _team_page()


@bp.post("/app/team/invite")
@signed_in(to="manage the team")
def invite() -> Answer:
    """Show, once, a link by which a new person joins."""
    email, role = request.form.get("email", ""), request.form.get("role", "")
    try:
        token = people.invite(email, role, by=actor(), repeat=forms.repeat({"email": email, "role": role}))
    except (Invalid, Conflict) as refusal:
        return _team_page(_at_email(refusal), email=email, role=role), 422
    return page("team/link.html", kind="join", email=email, link=_address(token))


@bp.post("/app/team/invitations/<invitation_id>/withdraw")
@signed_in(to="manage the team")
def withdraw_invitation(invitation_id: str) -> Answer:
    """End an invitation that nobody answered."""
    people.withdraw(invitation_id, by=actor())
    flash(_("The invitation is withdrawn; its link does not work any more."), "good")
    return go("web.team")


@bp.get("/app/team/<person_id>")
@signed_in(to="manage the team")
def member(person_id: str) -> Answer:
    """Show one person of the team and what can be done."""
    return _person_page(people.find_member(person_id, by=actor()))


@bp.post("/app/team/<person_id>/role")
@signed_in(to="manage the team")
def change_role(person_id: str) -> Answer:
    """Give a person another role."""
    found = people.find_member(person_id, by=actor())
    try:
        people.change_role(found, request.form.get("role", ""), by=actor())
    except (Invalid, Conflict) as refusal:
        return _person_page(found, words_of(refusal)), 422
    flash(_("The role of %(email)s is changed.", email=found.email), "good")
    return go("web.team")


@bp.post("/app/team/<person_id>/reset")
@signed_in(to="manage the team")
def reset_link(person_id: str) -> Answer:
    """Show, once, a link by which a person chooses a new password."""
    found = people.find_member(person_id, by=actor())
    token = people.make_reset_link(found, by=actor(), repeat=forms.repeat({"reset": str(found.id)}))
    return page("team/link.html", kind="reset", email=found.email, link=_address(token))


@bp.route("/app/team/<person_id>/remove", methods=["GET", "POST"])
@signed_in(to="manage the team")
def remove_member(person_id: str) -> Answer:
    """Ask before taking a person out of the team, and do it."""
    found, errors = people.find_member(person_id, by=actor()), {}
    if request.method == "POST":
        email = found.email
        try:
            people.remove(found, by=actor())
        except Conflict as refusal:
            errors = words_of(refusal)
        else:
            flash(_("%(email)s is removed from the team.", email=email), "good")
            return go("web.team")
    values = {"person": found, "person_id": spell("user", found.id), "errors": errors}
    return page("team/remove.html", **values), 409 if errors else 200


def _team_page(errors: dict[str, str] | None = None, email: str = "", role: str = Role.viewer) -> str:
    by = actor()
    manages = by.may("manage the team")
    return page(
        "team/team.html",
        people=[(spell("user", member.id), member) for member in people.members(by)],
        invitations=[(spell("inv", row.id), row) for row in people.open_invitations(by)] if manages else [],
        manages=manages,
        me=by.user_id,
        email=email,
        role=role,
        errors=errors or {},
    )


def _person_page(member: User, errors: dict[str, str] | None = None) -> str:
    is_me = member.id == actor().user_id
    return page("team/person.html", person=member, person_id=spell("user", member.id), is_me=is_me, errors=errors or {})


def _at_email(refusal: Invalid | Conflict) -> dict[str, str]:
    """Return the sentences at their fields; a conflict of an invitation is about its e-mail."""
    words = words_of(refusal)
    return {"email": words[""]} if "" in words else words


def _address(token: str) -> str:
    """Return the link's whole address, made from the settings: a request's Host header may be anybody's."""
    return settings().public_url + url_for("web.invitation", token=token)
