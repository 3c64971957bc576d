"""What people see when something is refused or goes wrong."""

import errno
from collections.abc import Callable

import pytest
from flask import Flask
from flask_login import current_user
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError, IntegrityError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.database import db
from app.domain.errors import (
    Conflict,
    Invalid,
    NoRoom,
    NotAllowed,
    NotFound,
    NotSignedIn,
    QuotaExceeded,
    Refusal,
    TooLarge,
)
from app.models import Role
from app.s3 import S3Error
from app.sentences import say
from app.web import accounts, people_in
from app.web.errors import API_ANSWERS, is_api_path

SENTENCE = say("Wait for the job that runs.")
REFUSALS = [
    (NotFound(), 404, "Page not found"),
    (NotAllowed("edit", Role.viewer), 403, "Ask an administrator"),
    (NotSignedIn(SENTENCE), 401, "Please sign in"),
    (Conflict(SENTENCE), 409, "Wait for the job"),
    (Invalid({"name": SENTENCE}), 422, "Wait for the job"),
    (QuotaExceeded(asked=4_000, left=3_200), 402, "3,200 more cards"),
    (TooLarge(SENTENCE), 413, "Wait for the job"),
    (NoRoom(SENTENCE), 507, "Wait for the job"),
    (Refusal(SENTENCE), 400, "Wait for the job"),
]
IDS = [type(refusal).__name__ for refusal, *_ in REFUSALS]


@pytest.mark.parametrize(("refusal", "status", "says"), REFUSALS, ids=IDS)
def test_a_refusal_is_a_page_that_helps(app, client, refusal, status, says):
    _raise_at(app, "/app/act", refusal)
    page = client.get("/app/act")
    assert page.status == status and says in page.text
    assert page.has("h1") and page.has("main a")


@pytest.mark.parametrize(("refusal", "status", "says"), REFUSALS, ids=IDS)
def test_to_htmx_a_refusal_is_a_notice(app, client, refusal, status, says):
    _raise_at(app, "/app/act", refusal)
    page = client.get("/app/act", htmx=True)
    assert page.status == status and page.has('.notice[role="alert"] p') and not page.has("html")
    assert len(page.text) > 10


def test_an_unknown_address_and_a_wrong_method_have_pages(client):
    assert "Page not found" in client.get("/nowhere").text
    wrong = client.get("/signout")
    assert wrong.status == 405 and wrong.headers["Allow"] and "cannot be opened like that" in wrong.text


def test_a_form_without_its_token_is_refused(cast, client):
    page = client.sign_in(cast.owner).post("/app/account", {"name": "Awa", "language": "fr"}, token=False)
    assert page.status == 400 and "load the page again" in page.text
    assert client.post("/app/account", {"name": "Awa"}, token=False, htmx=True).status == 400
    assert client.get("/app/account").soup.select_one("#name")["value"] == ""


def test_a_stale_form_of_ours_is_offered_again_with_what_was_typed(cast, client):
    client.sign_in(cast.owner)
    typed = {"name": "Awa & co", "language": "en", "current": "secret", "password": "secret", "csrf_token": "old"}
    page = client.post("/app/account", typed, token=False, headers={"Sec-Fetch-Site": "same-origin"})
    assert page.status == 400 and "Send it once more" in page.text and "secret" not in page.body.decode()

    saved = page.submit()
    assert saved.path == "/app/account" and saved.soup.select_one("#name")["value"] == "Awa & co"


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none"])
def test_a_form_of_another_site_is_never_offered_again(cast, client, site):
    client.sign_in(cast.owner)
    page = client.post("/app/account", {"name": "Evil"}, token=False, headers={"Sec-Fetch-Site": site})
    assert page.status == 400 and "Evil" not in page.body.decode() and not page.has("main form")


def test_an_htmx_request_carries_its_token_in_a_header(cast, client):
    client.sign_in(cast.owner)
    headers = {"X-CSRFToken": client.csrf_token()}
    answer = client.post("/app/account", {"name": "Awa", "language": "en"}, token=False, htmx=True, headers=headers)
    assert (answer.status, answer.headers["HX-Redirect"]) == (204, "/app/account")


def test_a_form_that_is_too_large_is_refused(cast, client):
    client.sign_in(cast.owner)
    promised = {"CONTENT_LENGTH": str(33 << 20), "CONTENT_TYPE": "application/x-www-form-urlencoded"}
    page = client.send("POST", "/app/account", environ_overrides=promised)
    assert page.status == 413 and "32 MB" in page.text


def test_a_locked_database_asks_to_come_back(app, cast, client, monkeypatch):
    client.sign_in(cast.owner)
    monkeypatch.setattr(people_in.accounts, "who_holds", _locked)
    page = client.get("/app/account")
    assert (page.status, page.headers["Retry-After"]) == (503, "5")
    assert "it was not saved: send it once more" in page.text


def test_a_database_that_fails_in_the_middle_is_not_asked_again(app, cast, client):
    def view():
        assert current_user.email == "owner@example.org"
        event.listen(db.engine, "before_cursor_execute", _refuse_every_statement)
        db.session.rollback()
        return current_user.email

    _page_at(app, "/app/act", view)
    client.sign_in(cast.owner)
    try:
        page = client.get("/app/act")
    finally:
        event.remove(db.engine, "before_cursor_execute", _refuse_every_statement)
    assert page.status == 503 and "it was not saved: send it once more" in page.text
    assert client.get("/app/account").status == 200


def test_a_full_disk_is_said_in_words(app, client):
    _raise_at(app, "/app/act", OperationalError("INSERT", {}, Exception("database or disk is full")))
    page = client.get("/app/act")
    assert (page.status, page.headers["Retry-After"]) == (503, "60") and "disk is full" in page.text


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "disk is full"),
        (S3Error("The file store does not answer."), "files cannot be reached"),
        (OSError(errno.ESTALE, "Stale file handle"), "files cannot be reached"),
        (PoolTimeout("too many at once"), "busy"),
        (InternalError("SELECT", {}, Exception("cut off"), connection_invalidated=True), "busy"),
    ],
)
def test_what_is_away_for_a_while_is_said_in_words(app, client, error, says):
    _raise_at(app, "/app/act", error)
    for htmx in (False, True):
        page = client.get("/app/act", htmx=htmx)
        assert page.status == 503 and int(page.headers["Retry-After"]) and says in page.text


@pytest.mark.parametrize("error", [OSError(errno.EINVAL, "x"), IntegrityError("INSERT", {}, Exception("x"))])
def test_a_mistake_of_ours_is_nothing_that_passes(app, client, error):
    app.config["PROPAGATE_EXCEPTIONS"] = False
    _raise_at(app, "/app/act", error)
    page = client.get("/app/act")
    assert page.status == 500 and "Retry-After" not in page.headers


def test_our_own_mistake_shows_a_number_that_stands_in_the_log_and_nothing_else(app, client, caplog):
    app.config["PROPAGATE_EXCEPTIONS"] = False
    _raise_at(app, "/app/act", RuntimeError("a secret detail"))
    page = client.get("/app/act")
    assert page.status == 500 and "secret detail" not in page.text and "Traceback" not in page.text
    assert page.soup.select_one(".code").get_text() in caplog.text


def test_the_log_of_a_mistake_names_the_route_and_never_the_address(app, client, monkeypatch, caplog):
    def fail(_token):
        raise RuntimeError

    app.config["PROPAGATE_EXCEPTIONS"] = False
    monkeypatch.setattr(accounts.team, "read_link", fail)

    assert client.get("/invite/a-secret-link").status == 500
    assert "GET /invite/<token> failed." in caplog.text and "a-secret-link" not in caplog.text


@pytest.mark.both
def test_what_the_database_refuses_is_told_without_the_values(app, cast):
    with pytest.raises(DBAPIError, match="nothing_like_it") as refused:
        db.session.execute(text("SELECT nothing_like_it FROM beneficiary WHERE last_name = :name"), {"name": "Ndiaye"})

    assert "Ndiaye" not in str(refused.value)


def test_apis_answer_for_themselves(app, client):
    app.extensions[API_ANSWERS] = lambda error: ({"error": type(error).__name__}, 418)
    _raise_at(app, "/campaigns/act", Conflict(SENTENCE))
    assert client.get("/campaigns/act").answer.json == {"error": "Conflict"}
    assert client.get("/campaigns/nowhere/at/all").answer.json == {"error": "NotFound"}


@pytest.mark.parametrize(
    ("path", "api"),
    [
        ("/campaigns", True),
        ("/campaigns/", True),
        ("/api/v1/runs", True),
        ("/mpi/x", True),
        ("/app/campaigns", False),
        ("/", False),
        ("/apiary", False),
        ("//api", False),
        ("/verify", False),
    ],
)
def test_which_paths_belong_to_apis(path, api):
    assert is_api_path(path) is api


def _raise_at(app: Flask, path: str, error: Exception) -> None:
    def view():
        raise error

    _page_at(app, path, view)


def _page_at(app: Flask, path: str, view: Callable[[], str]) -> None:
    app._got_first_request = False  # lets a test add a page of its own
    app.add_url_rule(path, f"test{path}", view)


def _locked(_token: str) -> None:
    raise OperationalError("SELECT", {}, Exception("database is locked"))


def _refuse_every_statement(*_args) -> None:
    raise OperationalError("SELECT", {}, Exception("database is locked"))
