"""Signing in and out, answering a link, one's own account."""

from dataclasses import replace

import pytest
from sqlalchemy import select

from app.database import db, transaction, utc_now
from app.domain import accounts, team
from app.factory import create_app, limiter
from app.models import User, UserSession
from app.web import people_in
from app.web.accounts import local_path
from tests.web.client import Client

GOOD = "Sahel-2026-rain"
BETTER = "Harmattan-2027-wind"


def test_it_works(cast, client):
    accounts.set_password("viewer@example.org", GOOD)
    wanted = client.get("/app/account").follow()
    assert wanted.path == "/signin?next=/app/account"

    account = wanted.submit(email="Viewer@example.org", password=GOOD)
    assert account.path == "/app/account" and "viewer@example.org" in account.text

    left = account.submit('form[action="/signout"]')
    assert left.path == "/signin" and "You are signed out." in left.text
    assert client.get("/app/account").status == 303


def test_a_copied_cookie_is_dead_after_signing_out(cast, client, app):
    copy = client.sign_in(cast.owner).cookie
    thief = Client(app)
    thief.cookie = copy
    assert thief.get("/app/account").status == 200

    client.post("/signout")

    thief.cookie = copy
    assert thief.get("/app/account").status == 303


def test_signing_in_makes_a_new_session_and_ends_the_one_that_was_there(cast, client):
    accounts.set_password("owner@example.org", GOOD)
    client.sign_in(cast.viewer)
    planted = _token(client)

    client.post("/signin", {"email": "owner@example.org", "password": GOOD})

    assert _token(client) != planted
    assert accounts.who_holds(planted) is None
    assert accounts.who_holds(_token(client)).id == cast.owner.user_id


def test_nothing_that_stood_in_the_cookie_before_survives_signing_in(cast, client):
    accounts.set_password("owner@example.org", GOOD)
    with client.browser.session_transaction() as session:
        session["planted"] = "by somebody else"
    client.post("/signin", {"email": "owner@example.org", "password": GOOD})
    with client.browser.session_transaction() as session:
        assert "planted" not in session and "csrf_token" not in session


@pytest.mark.parametrize("email", ["viewer@example.org", "nobody@example.org"])
def test_a_wrong_password_and_an_unknown_person_get_the_same_page(cast, client, email):
    accounts.set_password("viewer@example.org", GOOD)
    page = client.get("/signin").submit(email=email, password="wrong")
    assert page.status == 401 and page.title.startswith("Error:")
    assert page.errors == ["The e-mail address or the password is not right. Check both and try again."]
    assert page.soup.select_one("#email")["value"] == email
    assert "wrong" not in page.body.decode()


def test_the_eleventh_try_within_a_minute_is_refused_and_says_what_to_do(cast, client, app):
    form = client.get("/signin")
    for _ in range(10):
        assert form.submit(email="owner@example.org", password="wrong").status == 401

    page = form.submit(email="owner@example.org", password="wrong")

    assert page.status == 429 and "Too many tries" in page.text and "then try again" in page.text
    assert 1 <= int(page.headers["Retry-After"]) <= 60
    assert client.get("/signin").status == 200
    elsewhere = Client(app)
    elsewhere.browser.environ_base["REMOTE_ADDR"] = "192.0.2.7"
    assert elsewhere.get("/signin").submit(email="owner@example.org", password="wrong").status == 401


@pytest.mark.parametrize(
    "leading_away",
    [
        *("//evil.example", "https://evil.example", "/\\evil.example", "/\t/evil.example", "\\\\evil.example"),
        *("javascript:alert(1)", " //evil.example", "/\n/evil.example", "evil.example", ""),
    ],
)
def test_nobody_is_led_away_after_signing_in(cast, client, leading_away):
    accounts.set_password("owner@example.org", GOOD)
    answer = client.post("/signin", {"email": "owner@example.org", "password": GOOD, "next": leading_away})
    assert answer.location == "/app/"


def test_paths_of_the_portal_are_followed():
    assert local_path("/app/campaigns?page=2&q=v%C3%A9") == "/app/campaigns?page=2&q=v%C3%A9"


def test_a_removed_person_is_out_at_the_next_request(cast, client):
    client.sign_in(cast.viewer)
    assert client.get("/app/account").status == 200
    team.remove(db.session.get(User, cast.viewer.user_id), by=cast.owner)
    assert client.get("/app/account").location.startswith("/signin")


def test_an_expired_session_sends_htmx_to_sign_in_and_swaps_nothing(cast, client):
    client.sign_in(cast.viewer)
    with transaction():
        db.session.scalar(select(UserSession)).expires_at = utc_now()
    answer = client.get("/app/account", htmx=True)
    assert (answer.status, answer.headers["HX-Redirect"], answer.body) == (401, "/signin", b"")


def test_who_is_signed_in_needs_no_sign_in_page(cast, client):
    assert client.sign_in(cast.viewer).get("/signin").location == "/app/"


def test_a_person_joins_by_the_link(cast, client):
    path = f"/invite/{team.invite('nurse@example.org', 'editor', by=cast.owner)}"
    form = client.get(path)
    assert "District sanitaire" in form.text and "nurse@example.org" in form.text

    weak = form.submit("#answer", name="Awa", password="weak")
    assert weak.status == 422 and len(weak.errors) == 1
    assert weak.soup.select_one("#name")["value"] == "Awa"

    assert weak.submit("#answer", password=GOOD, follow=False).location == "/app/"
    assert "nurse@example.org" in client.get("/app/account").text
    used = client.get(path)
    assert used.status == 404 and "used already" in used.text


def test_a_reset_link_asks_to_sign_in_with_the_new_password(cast, client):
    token = team.make_reset_link(db.session.get(User, cast.viewer.user_id), by=cast.owner)
    page = client.get(f"/invite/{token}").submit("#answer", password=GOOD)
    assert page.path == "/signin" and client.get("/app/account").status == 303
    assert page.submit(email="viewer@example.org", password=GOOD, follow=False).location == "/app/"


def test_a_made_up_link_says_what_to_do(client):
    page = client.get("/invite/made-up")
    assert page.status == 404 and "Ask the person who sent it" in page.text


def test_name_and_language_are_saved(cast, client):
    page = client.sign_in(cast.viewer).get("/app/account").submit("#profile", name="Awa", language="fr")
    assert page.soup.html["lang"] == "fr"
    assert db.session.get(User, cast.viewer.user_id).name == "Awa"

    bad = client.post("/app/account", {"name": "Awa", "language": "de"})
    assert bad.status == 422 and len(bad.errors) == 1


def test_the_language_of_the_person_comes_with_them(cast, client):
    accounts.set_password("viewer@example.org", GOOD)
    accounts.choose_language("fr", by=cast.viewer)
    page = client.get("/signin?next=/app/account").submit(email="viewer@example.org", password=GOOD)
    assert page.soup.html["lang"] == "fr"


def test_a_new_password_keeps_this_browser_and_ends_the_others(cast, client, app):
    accounts.set_password("viewer@example.org", GOOD)
    other = Client(app).sign_in(cast.viewer)
    page = client.sign_in(cast.viewer).get("/app/account")
    page = page.submit("#change-password", current=GOOD, password=BETTER)
    assert page.status == 200 and "Your password is changed" in page.text
    assert other.get("/app/account").status == 303


def test_a_wrong_present_password_changes_nothing(cast, client):
    accounts.set_password("viewer@example.org", GOOD)
    page = client.sign_in(cast.viewer).get("/app/account")
    page = page.submit("#change-password", current="wrong", password=BETTER)
    assert page.status == 422 and page.errors == ["This is not your password of today."]
    assert BETTER not in page.body.decode()


def test_sign_out_everywhere_ends_all_browsers(cast, client, app):
    other = Client(app).sign_in(cast.viewer)
    page = client.sign_in(cast.viewer).get("/app/account")
    assert len(page.soup.select("tbody tr")) == 2 and "this browser" in page.text
    assert page.submit("#sign-out-everywhere").path == "/signin"
    assert other.get("/app/account").status == 303


def _token(client: Client) -> str:
    with client.browser.session_transaction() as session:
        return session[people_in.SESSION_TOKEN]


def test_people_sign_in_while_redis_is_away(cast, settings, monkeypatch):
    monkeypatch.setattr(limiter, "_storage_dead", False)
    accounts.set_password("owner@example.org", GOOD)
    form = Client(create_app(replace(settings, queue_url="redis://127.0.0.1:1/0"))).get("/signin")

    assert form.submit(email="owner@example.org", password="wrong").status == 401
    assert form.submit(email="owner@example.org", password=GOOD, follow=False).status == 303
