"""The APIs' door: who is let in, and how everything that goes wrong is answered, always in JSON."""

import json
from dataclasses import replace

import pytest
from sqlalchemy.exc import OperationalError

from app.api import cards
from app.database import transaction
from app.domain import access, accounts, bearer
from app.factory import create_app, limiter
from app.models import Role, User
from tests.api.conftest import Caller
from tests.cast import make_campaign

DOORS = [
    ("POST", "/campaigns/"),
    ("GET", "/campaigns/"),
    ("GET", "/campaigns/{campaign}"),
    ("PATCH", "/campaigns/{campaign}"),
    ("DELETE", "/campaigns/{campaign}"),
    ("POST", "/campaigns/{campaign}/jobs"),
    ("GET", "/jobs/{campaign}"),
    ("GET", "/jobs/{campaign}/download/pdf"),
    ("GET", "/billing/balance"),
]
ME = {"email": "contact@example.sn", "password": "MonMDP!"}


@pytest.fixture
def account(app):
    """A person who signs in with ME."""
    return accounts.add_user(ME["email"], "Votre programme", Role.admin, ME["password"], 100)


def test_it_works(nobody, account, app):
    answer = nobody("POST", "/auth/login", ME)

    assert answer.status_code == 200
    assert list(answer.json) == ["access_token", "token_type", "expires_in", "requires_2fa", "programme"]
    assert (answer.json["token_type"], answer.json["expires_in"], answer.json["requires_2fa"]) == (
        "bearer",
        1800,
        False,
    )
    assert answer.json["programme"]["role"] == "programme_admin"
    assert Caller(app, answer.json["access_token"])("GET", "/campaigns/").status_code == 200


@pytest.mark.parametrize(("method", "path"), DOORS)
def test_without_a_token_nobody_comes_in(cast, nobody, method, path):
    answer = nobody(method, path.format(campaign=make_campaign(cast.owner).id))

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="Fieldcard"'
    assert list(answer.json) == ["detail", "code", "request_id"]
    assert answer.headers["X-Request-Id"] == answer.json["request_id"]


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic b3duZXI6", "Token x", "Bearer x.y.z", "Bearer " + "a" * 9_000]
)
def test_what_is_no_token_does_not_come_in(nobody, header):
    assert nobody("GET", "/campaigns/", headers={"Authorization": header}).status_code == 401


def test_a_cookie_is_no_token(app, nobody, account):
    session = accounts.sign_in(ME["email"], ME["password"])

    answer = nobody("GET", "/campaigns/", headers={"Cookie": f"fieldcard={session}; token={session}"})

    assert answer.status_code == 401


def test_a_wrong_password_and_an_unknown_address_sound_the_same(nobody, account):
    wrong = nobody("POST", "/auth/login", ME | {"password": "wrong"})
    unknown = nobody("POST", "/auth/login", ME | {"email": "nobody@example.sn"})

    assert wrong.status_code == unknown.status_code == 401
    assert wrong.json["detail"] == unknown.json["detail"]


@pytest.mark.parametrize(
    "body",
    [{}, {"email": "a@b.sn"}, ME | {"email": 1}, ME | {"email": "a\x00@b.sn"}, ME | {"password": None}],
)
def test_credentials_that_are_none_are_unprocessable(nobody, body):
    assert nobody("POST", "/auth/login", body).status_code == 422


def test_after_ten_attempts_in_a_minute_one_waits(nobody, account):
    answers = [nobody("POST", "/auth/login", {}) for _ in range(10)] + [nobody("POST", "/auth/login", ME)]

    assert [answer.status_code for answer in answers] == [422] * 10 + [429]
    assert 0 <= int(answers[-1].headers["Retry-After"]) <= 60
    assert answers[-1].json["code"] == "too_many_requests"


def test_programs_sign_in_while_redis_is_away(account, settings, monkeypatch):
    monkeypatch.setattr(limiter, "_storage_dead", False)
    away = Caller(create_app(replace(settings, queue_url="redis://127.0.0.1:1/0")))

    assert away("POST", "/auth/login", ME).status_code == 200


def test_a_role_is_what_it_is_now(cast, speaks_for):
    caller = speaks_for(cast.editor)
    assert caller("POST", "/campaigns/", {}).status_code == 422
    with transaction() as session:
        session.query(User).filter_by(id=cast.editor.user_id).update({"role": Role.viewer})

    assert caller("POST", "/campaigns/", {}).status_code == 403
    assert caller("GET", "/campaigns/").status_code == 200


def test_a_viewer_reads_an_editor_works_an_admin_archives(cast, speaks_for):
    path = f"/campaigns/{make_campaign(cast.owner).id}"
    seen = {
        actor.role: [
            speaks_for(actor)(method, path, body).status_code
            for method, body in (("GET", None), ("PATCH", {}), ("DELETE", None))
        ]
        for actor in (cast.viewer, cast.editor, cast.owner)
    }

    assert seen == {"viewer": [200, 403, 403], "editor": [200, 200, 403], "admin": [200, 200, 204]}


def test_a_new_token_version_ends_all_tokens(cast, owner):
    with transaction() as session:
        session.query(User).filter_by(id=cast.owner.user_id).update({"token_version": 2})

    answer = owner("GET", "/campaigns/")
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "[]",
        '"text"',
        "null",
        "7",
        "\x00",
        '{"name": "\xff"',
        "[" * 100_000,
        '{"a":' * 5_000,
        "1" * 5_000,
    ],
)
def test_a_body_that_is_no_json_object_is_unprocessable(owner, body):
    answer = owner("POST", "/campaigns/", data=body.encode("latin-1"), content_type="application/json")

    assert answer.status_code == 422
    assert answer.json["detail"][0]["loc"] == ["body"]


@pytest.mark.parametrize(
    "content_type", ["text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", ""]
)
def test_a_body_of_another_type_is_refused(owner, content_type):
    answer = owner("POST", "/campaigns/", data=b"{}", content_type=content_type)

    assert (answer.status_code, answer.json["code"]) == (415, "unsupported_media_type")


def test_a_body_that_is_too_large_is_refused_and_32_mb_are_not(owner, cast):
    path = f"/campaigns/{make_campaign(cast.owner).id}/jobs"
    too_large = owner("POST", path, data=b" " * ((32 << 20) + 1), content_type="application/json")
    assert (too_large.status_code, too_large.json["code"]) == (413, "request_entity_too_large")

    long = {"first_name": "A" * 100, "last_name": "B" * 100, "note": "C" * 1_000}
    people = [long | {"beneficiary_id": f"{number:064}"} for number in range(10_000)] + [{}]
    body = json.dumps({"beneficiaries": people}).encode()
    assert owner("POST", path, data=body, content_type="application/json").status_code == 422


@pytest.mark.parametrize(
    "path",
    ["/campaigns/a/b/c", "/jobs", "/jobs/", "/auth/", "/billing/nothing", "/cards/x", "/mpi", "/api/v9/x"],
)
def test_an_unknown_address_of_the_apis_is_answered_in_json(nobody, path):
    answer = nobody("GET", path)

    assert (answer.status_code, answer.json["code"]) == (404, "not_found")
    assert answer.headers["X-Request-Id"] == answer.json["request_id"]


def test_an_unknown_address_of_the_portal_is_not(nobody):
    assert nobody("GET", "/nothing/here").mimetype == "text/html"


def test_a_wrong_method_names_the_right_ones(owner):
    answer = owner("PUT", "/campaigns/")

    assert (answer.status_code, answer.json["code"]) == (405, "method_not_allowed")
    assert {"GET", "POST"} <= set(answer.headers["Allow"].split(", "))


def test_what_nobody_expected_tells_nothing_but_its_request_id(owner, monkeypatch, caplog):
    def explode(*_args, **_kwargs):
        raise ZeroDivisionError("a secret of the house")

    monkeypatch.setattr(cards.campaigns, "search", explode)
    answer = owner("GET", "/campaigns/")

    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.json["request_id"] in caplog.text


def test_the_log_names_the_route_and_never_the_address(cast, owner, monkeypatch, caplog):
    def explode(*_args, **_kwargs):
        raise ZeroDivisionError

    campaign_id = str(make_campaign(cast.owner).id)
    monkeypatch.setattr(cards.payloads, "campaign_shown", explode)

    assert owner("GET", f"/campaigns/{campaign_id}").status_code == 500
    assert "/campaigns/<campaign_id>" in caplog.text and campaign_id not in caplog.text


def test_a_database_that_is_away_is_a_reason_to_come_back(owner, monkeypatch):
    def away(*_args, **_kwargs):
        raise OperationalError("SELECT 1", {}, Exception("the host is down"))

    monkeypatch.setattr(cards.campaigns, "search", away)
    answer = owner("GET", "/campaigns/")

    assert (answer.status_code, answer.headers["Retry-After"], answer.json["code"]) == (503, "5", "busy")
    assert "host" not in answer.text


def test_answers_are_not_kept_and_set_no_cookie(owner):
    answer = owner("GET", "/campaigns/")

    assert answer.headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in answer.headers
    assert len(answer.headers["X-Request-Id"]) == 16


def test_tokens_are_read_whatever_the_case_of_the_scheme(app, cast):
    user = app.extensions["sqlalchemy"].session.query(User).filter_by(id=cast.owner.user_id).one()

    answer = Caller(app)("GET", "/campaigns/", headers={"Authorization": f"bearer {bearer.issue(user)}"})
    assert answer.status_code == 200


def test_every_route_has_decided_who_comes_in(app):
    views = {name: view for name, view in app.view_functions.items() if name.startswith("api.")}

    assert len(views) == 11
    assert {view.policy for view in views.values()} <= {"public"} | access.MANAGE
    assert {name for name, view in views.items() if view.policy == "public"} == {"api.log_in", "api.openapi"}
