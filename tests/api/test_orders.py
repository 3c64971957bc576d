"""Ordering cards through the API: who is taken, who is refused and why, and requests that come twice."""

import time

import pytest
from sqlalchemy import func, select

from app.database import db
from app.domain import quotas
from app.models import Beneficiary, Card, Enrolment, Job, Print
from tests.api.documented import example
from tests.cast import make_actor, make_campaign, make_organisation, work_to_the_end

ORDER = example("start_job.request")
WANTED = example("create_campaign.request")


@pytest.fixture
def jobs_of(cast, owner):
    """The address where jobs are started in a campaign of ours."""
    return f"/campaigns/{make_campaign(cast.owner).id}/jobs"


def person(number: int, **more) -> dict:
    return {"first_name": "Awa", "last_name": "Ndiaye", "beneficiary_id": f"P-{number}"} | more


def count(model) -> int:
    return db.session.scalar(select(func.count()).select_from(model))


@pytest.mark.both
def test_it_works(cast, owner, jobs_of):
    answer = owner("POST", jobs_of, ORDER)

    assert answer.status_code == 202
    aminata = db.session.scalars(select(Beneficiary).where(Beneficiary.beneficiary_id == "BEN-001")).one()
    assert (aminata.first_name, str(aminata.date_of_birth), aminata.phone_number) == (
        "Aminata", "2020-03-15", "+221771234567",
    )  # fmt: skip
    assert aminata.search_text == "aminata diallo ben-001 +221771234567"
    assert quotas.balance(cast.organisation.id) == 9_998


def test_cards_come_in_the_order_of_the_request(owner, jobs_of):
    numbers = [5, 3, 9, 1, 7, 2, 8]
    owner("POST", jobs_of, {"beneficiaries": [person(number) for number in numbers]})

    printed = db.session.scalars(select(Print.facts).order_by(Print.ordinal))
    assert [facts["beneficiary_id"] for facts in printed] == [f"P-{number}" for number in numbers]
    cards = select(Beneficiary.beneficiary_id).join(Card, Card.person_id == Beneficiary.id).order_by(Card.card_index)
    assert list(db.session.scalars(cards)) == [f"P-{number}" for number in numbers]


def test_unknown_keys_become_fields_of_ones_own(owner, jobs_of):
    more = {
        "village": " Mbour ",
        "children": 3,
        "vaccines": ["BCG", "Polio"],
        "note": None,
        "gender": "female",
    }
    owner("POST", jobs_of, {"beneficiaries": [person(1, **more)]})

    awa = db.session.scalars(select(Beneficiary)).one()
    assert awa.custom_fields == {"village": "Mbour", "children": "3", "vaccines": "BCG, Polio"}
    assert awa.gender == "F"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("first_name", ""),
        ("first_name", None),
        ("first_name", 12),
        ("first_name", "12"),
        ("first_name", "A" * 101),
        ("last_name", "Dia\x00llo"),
        ("last_name", "Diallo \ud800"),
        ("last_name", "\u202eollaiD"),
        ("beneficiary_id", "  "),
        ("beneficiary_id", 17),
        ("beneficiary_id", "-"),
        ("date_of_birth", "15/03/2020"),
        ("date_of_birth", "2020-3-15"),
        ("date_of_birth", "2021-02-29"),
        ("date_of_birth", "2999-01-01"),
        ("date_of_birth", "1850-01-01"),
        ("phone_number", "771234567"),
        ("phone_number", "+221 77 123 45 67"),
        ("phone_number", "+22177"),
        ("phone_number", "+2217712345678901"),
        ("phone_number", "+999123456789"),
        ("gender", "both"),
        ("zone", "Z" * 201),
        ("enrollment_date", "yesterday"),
        ("village", {"name": "Mbour"}),
        ("village", "M\x07bour"),
        ("vill\x00age", "Mbour"),
        ("", "Mbour"),
        ("photo", "A" * 1001),
    ],
)
def test_a_value_that_cannot_be_taken_is_refused_by_index_and_field(owner, jobs_of, field, value):
    answer = owner("POST", jobs_of, {"beneficiaries": [person(1), person(2, **{field: value})]})

    assert answer.status_code == 422
    [problem] = answer.json["detail"]
    assert problem["loc"] == ["body", "beneficiaries", 1, *([field] if field else [])]
    assert problem["msg"].endswith(".")
    assert count(Beneficiary) == count(Job) == 0


def test_everything_wrong_is_told_at_once_and_counted(owner, jobs_of):
    people = [{"first_name": "Awa", "phone_number": "none"} for _ in range(60)]
    answer = owner("POST", jobs_of, {"beneficiaries": people})

    assert answer.json["total"] == 180
    assert len(answer.json["detail"]) == 100
    assert [tuple(problem["loc"][2:]) for problem in answer.json["detail"][:4]] == [
        (0, "last_name"), (0, "beneficiary_id"), (0, "phone_number"), (1, "last_name"),
    ]  # fmt: skip


def test_the_same_person_twice_in_one_request_is_refused(owner, jobs_of):
    answer = owner("POST", jobs_of, {"beneficiaries": [person(1), person(2), person(1, first_name="Fatou")]})

    assert answer.status_code == 422
    assert answer.json["detail"][0]["loc"] == ["body", "beneficiaries", 2, "beneficiary_id"]
    assert "Beneficiary 0" in answer.json["detail"][0]["msg"]


@pytest.mark.parametrize(
    "change",
    [
        {"beneficiaries": []},
        {"beneficiaries": None},
        {"beneficiaries": "Awa"},
        {"beneficiaries": ["Awa"]},
        {"beneficiaries": [person(number) for number in range(10_001)]},
        {"dpi": 301},
        {"dpi": "300"},
        {"include_mpi_id": "yes"},
        {"include_mpi_id": 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_an_order_that_cannot_be_is_refused(owner, jobs_of, change):
    assert owner("POST", jobs_of, ORDER | change).status_code == 422
    assert owner("POST", jobs_of, {}).json["detail"][0]["loc"] == ["body", "beneficiaries"]


@pytest.mark.both
def test_the_same_id_is_the_same_person_and_is_updated(owner, jobs_of):
    owner("POST", jobs_of, {"beneficiaries": [person(1, zone="Plateau", village="Mbour")]})
    owner("POST", jobs_of, {"beneficiaries": [person(1, last_name="Fall", children=2), person(2)]})

    awa = db.session.scalars(select(Beneficiary).where(Beneficiary.beneficiary_id == "P-1")).one()
    assert (awa.last_name, awa.zone, awa.custom_fields) == (
        "Fall",
        "Plateau",
        {"village": "Mbour", "children": "2"},
    )
    assert awa.search_text.startswith("awa fall")
    assert count(Enrolment) == count(Beneficiary) == 2


def test_a_card_printed_again_costs_nothing(cast, owner, jobs_of):
    owner("POST", jobs_of, ORDER)
    work_to_the_end(cast.app)
    again = owner("POST", jobs_of, ORDER).json

    assert (again["total_cards"], again["quota_consumed"]) == (2, 0)


def test_cards_that_are_just_being_made_are_a_conflict(owner, jobs_of):
    owner("POST", jobs_of, ORDER)

    assert owner("POST", jobs_of, ORDER).status_code == 409


@pytest.mark.both
def test_a_job_that_the_quota_cannot_pay_leaves_nobody_behind(speaks_for):
    boss = make_actor(make_organisation("Nearly empty", quota=1), "admin")
    poor = speaks_for(boss)
    jobs_of = f"/campaigns/{make_campaign(boss).id}/jobs"

    answer = poor("POST", jobs_of, ORDER)

    assert (answer.status_code, answer.json["code"]) == (402, "quota_exceeded")
    assert count(Beneficiary) == count(Job) == 0
    assert quotas.balance(boss.organisation_id) == 1


@pytest.mark.both
def test_a_request_sent_again_gets_the_same_bytes(cast, owner, jobs_of):
    key = {"Idempotency-Key": "once"}
    first = owner("POST", jobs_of, ORDER, headers=key)
    work_to_the_end(cast.app)
    again = owner("POST", jobs_of, ORDER, headers=key)

    assert (again.status_code, again.data) == (first.status_code, first.data)
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert count(Job) == 1
    assert quotas.balance(cast.organisation.id) == 9_998


def test_a_campaign_asked_for_again_is_the_same_even_renamed(owner):
    key = {"Idempotency-Key": "once"}
    first = owner("POST", "/campaigns/", WANTED, headers=key)
    owner("PATCH", f"/campaigns/{first.json['id']}", {"name": "Renamed"})
    again = owner("POST", "/campaigns/", WANTED, headers=key)

    assert (again.status_code, again.data) == (201, first.data)
    assert again.headers["Idempotent-Replayed"] == "true"


def test_a_key_with_another_body_or_campaign_is_refused(cast, owner, jobs_of):
    key = {"Idempotency-Key": "once"}
    owner("POST", jobs_of, ORDER, headers=key)
    elsewhere = f"/campaigns/{make_campaign(cast.owner).id}/jobs"

    for answer in (
        owner("POST", jobs_of, ORDER | {"dpi": 600}, headers=key),
        owner("POST", elsewhere, ORDER, headers=key),
    ):
        assert (answer.status_code, answer.json["detail"][0]["loc"]) == (422, ["header", "Idempotency-Key"])
    assert count(Job) == 1


def test_a_key_belongs_to_one_person(speaks_for, cast, owner, stranger):
    key = {"Idempotency-Key": "once"}
    answers = [caller("POST", "/campaigns/", WANTED, headers=key) for caller in (owner, stranger)]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json["id"] != answers[1].json["id"]


@pytest.mark.parametrize("key", ["x" * 201, "na\xefve", "", " ", "two words", "tab\there", "\x7f"])
def test_a_key_that_is_none_is_refused(owner, key):
    answer = owner("POST", "/campaigns/", WANTED, headers={"Idempotency-Key": key})

    assert (answer.status_code, answer.json["detail"][0]["loc"]) == (422, ["header", "Idempotency-Key"])


def test_ten_thousand_people_are_one_request_of_seconds(owner, jobs_of):
    numbers = range(70_000_000, 70_010_000)
    people = [person(number, phone_number=f"+2217{number:08d}", zone="Plateau") for number in numbers]
    began = time.perf_counter()
    answer = owner("POST", jobs_of, {"beneficiaries": people})

    assert (answer.status_code, answer.json["total_cards"]) == (202, 10_000)
    assert time.perf_counter() - began < 60  # about 3 s on an idle core
