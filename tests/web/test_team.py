"""The team's pages: who sees what, links shown once, roles, removing."""

import re

import pytest
from sqlalchemy import select

from app.database import db, spell
from app.domain import team
from app.models import Invitation, Role, User
from tests.web.client import Client


def test_it_works(cast, client):
    page = client.sign_in(cast.owner).get("/app/team")
    names = [row.get_text() for row in page.soup.select("#people tbody th")]
    assert names == ["editor@example.org", "owner@example.org you", "viewer@example.org"]

    shown = page.submit("#invite", email="nurse@example.org", role="editor")
    link = shown.soup.select_one("#link").get_text().strip()
    assert re.fullmatch(r"http://localhost:8000/invite/[\w-]{43}", link)

    again = client.get("/app/team")
    assert "nurse@example.org" in again.soup.select_one("#invitations").get_text()
    assert link.rsplit("/", 1)[1] not in again.body.decode()


def test_the_address_of_a_link_never_comes_from_the_request(cast, client):
    client.sign_in(cast.owner)
    data = {"email": "nurse@example.org", "role": "viewer"}
    page = client.post("/app/team/invite", data, headers={"Host": "evil.example"})
    assert "evil.example" not in page.body.decode()


@pytest.mark.parametrize("who", ["editor", "viewer"])
def test_others_see_the_people_and_nothing_to_change(cast, client, who):
    team.invite("nurse@example.org", "viewer", by=cast.owner)
    page = client.sign_in(getattr(cast, who)).get("/app/team")
    assert page.status == 200 and "owner@example.org" in page.text
    assert "nurse@example.org" not in page.text and not page.has("main form")


def test_an_invitation_that_cannot_be_made_comes_back_with_what_was_typed(cast, client):
    page = client.sign_in(cast.owner).get("/app/team").submit("#invite", email="nurse", role="admin")
    assert page.status == 422 and page.errors == ["Write an e-mail address like name@example.org."]
    assert page.soup.select_one("#email")["value"] == "nurse"
    assert page.soup.select_one("input[name=role][checked]")["value"] == "admin"

    taken = page.submit("#invite", email="viewer@example.org")
    assert taken.status == 422 and "already signs in" in taken.errors[0]


def test_an_invitation_is_withdrawn(cast, client):
    token = team.invite("nurse@example.org", "viewer", by=cast.owner)
    page = client.sign_in(cast.owner).get("/app/team").submit("#invitations form")
    assert "withdrawn" in page.text and not page.has("#invitations")
    assert client.get(f"/invite/{token}").status == 404


def test_a_role_changes_what_the_person_may_do_at_their_next_request(cast, client, app):
    theirs = Client(app).sign_in(cast.viewer)
    assert theirs.get("/app/settings").status == 403
    page = client.sign_in(cast.owner).get(_path(cast.viewer)).submit("#role-form", role="admin")
    assert page.path == "/app/team" and "viewer@example.org is changed" in page.text
    assert theirs.get("/app/settings").status == 200


def test_a_role_that_does_not_exist_is_refused(cast, client):
    page = client.sign_in(cast.owner).post(_path(cast.viewer, "/role"), {"role": "owner"})
    assert page.status == 422 and _role(cast.viewer) == Role.viewer


def test_a_reset_link_is_shown_once(cast, client):
    page = client.sign_in(cast.owner).get(_path(cast.viewer)).submit("#reset")
    assert "/invite/" in page.soup.select_one("#link").get_text()
    assert "You see this link only now" in page.text


def test_removing_asks_first_and_acts_at_once(cast, client, app):
    theirs = Client(app).sign_in(cast.viewer)
    question = client.sign_in(cast.owner).get(_path(cast.viewer)).click("Remove from the team")
    assert "Remove viewer@example.org from the team?" in question.text
    assert theirs.get("/app/team").status == 200

    page = question.submit()
    assert "viewer@example.org is removed" in page.text
    assert theirs.get("/app/team").status == 303


def test_nobody_removes_or_demotes_themself(cast, client):
    client.sign_in(cast.owner)
    assert not client.get(_path(cast.owner)).has("main form")
    assert client.post(_path(cast.owner, "/remove")).status == 409
    assert client.post(_path(cast.owner, "/role"), {"role": "viewer"}).status == 422
    assert _role(cast.owner) == Role.admin


ACTS = [("GET", ""), ("POST", "/role"), ("POST", "/reset"), ("GET", "/remove"), ("POST", "/remove")]


@pytest.mark.parametrize(("method", "act"), ACTS)
@pytest.mark.parametrize(("who", "status"), [("editor", 403), ("viewer", 403), ("stranger", 404), (None, 303)])
def test_who_may_not_manage_the_team(cast, client, method, act, who, status):
    if who:
        client.sign_in(getattr(cast, who))
    path = _path(cast.owner, act)
    page = client.get(path) if method == "GET" else client.post(path, {"role": "viewer"})
    assert page.status == status
    assert who is None or "owner@example.org" not in page.text
    assert _role(cast.owner) == Role.admin


@pytest.mark.parametrize(("who", "status"), [("editor", 403), ("viewer", 403), ("stranger", 404)])
def test_who_may_not_withdraw_an_invitation(cast, client, who, status):
    team.invite("nurse@example.org", "viewer", by=cast.owner)
    invitation = db.session.scalar(select(Invitation))
    path = f"/app/team/invitations/{spell('inv', invitation.id)}/withdraw"
    assert client.sign_in(getattr(cast, who)).post(path).status == status
    assert team.open_invitations(cast.owner)


@pytest.mark.parametrize("made_up", ["user_01ARZ3NDEKTSV4RRFFQ69G5FAV", "x", "%00", "../team"])
def test_a_made_up_id_looks_like_a_strangers(cast, client, made_up):
    client.sign_in(cast.owner)
    page = client.get(f"/app/team/{made_up}/remove")
    strangers = client.get(_path(cast.stranger, "/remove"))
    assert (page.status, page.text) == (strangers.status, strangers.text) == (404, strangers.text)


def _path(actor, act: str = "") -> str:
    return f"/app/team/{spell('user', actor.user_id)}{act}"


def _role(actor) -> str:
    return db.session.get(User, actor.user_id).role
