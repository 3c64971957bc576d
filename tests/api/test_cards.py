"""The card API keeps to its documentation: fields, order, types and statuses; and says no in words."""

import re

import pytest

from app.database import db, transaction
from app.domain import campaigns, jobs, keeping, work
from app.models import Artifact, Campaign, Job
from app.sentences import say
from tests.api.documented import example, shape, without
from tests.cast import make_actor, make_campaign, make_organisation, work_to_the_end

WANTED = example("create_campaign.request")
ORDER = example("start_job.request")


def the_job(answer) -> Job:
    return db.session.query(Job).one()


def start(caller, **changes) -> dict:
    """Make a campaign and start a job in it; return the answer to the job."""
    campaign = caller("POST", "/campaigns/", WANTED).json
    return caller("POST", f"/campaigns/{campaign['id']}/jobs", ORDER | changes).json


def test_it_works(cast, owner):
    made = owner("POST", "/campaigns/", WANTED)
    assert made.status_code == 201
    assert shape(made.json) == shape(example("create_campaign.201"))

    started = owner("POST", f"/campaigns/{made.json['id']}/jobs", ORDER)
    assert started.status_code == 202
    assert shape(started.json) == shape(example("start_job.202"))
    assert (started.json["status"], started.json["total_cards"], started.json["quota_consumed"]) == (
        "pending",
        2,
        2,
    )

    work_to_the_end(cast.app)

    job = owner("GET", f"/jobs/{started.json['job_id']}")
    assert job.status_code == 200
    assert shape(job.json) == shape(example("show_job.completed.200"))
    assert (job.json["progress"], job.json["cards_generated"]) == (100, 2)
    for url in job.json["artifacts"].values():
        assert url.startswith("http://localhost:8000/jobs/job_")
        assert owner("GET", url.removeprefix("http://localhost:8000")).status_code == 200


def test_a_campaign_is_shown_with_its_jobs(cast, owner):
    started = start(owner)
    work_to_the_end(cast.app)

    shown = owner("GET", f"/campaigns/{started['campaign_id']}").json

    assert shape(without(shown, "description")) == shape(example("show_campaign.200"))
    assert shown["jobs"][0]["job_id"] == started["job_id"]
    assert (shown["status"], shown["total_cards"], shown["description"]) == (
        "completed",
        2,
        WANTED["description"],
    )


def test_the_list_is_a_page_of_the_newest(cast, owner):
    for _ in range(3):
        make_campaign(cast.owner)
    listed = owner("GET", "/campaigns?limit=2&offset=0").json

    assert shape(listed) == shape(example("list_campaigns.200"))
    assert (listed["total"], listed["limit"], len(listed["items"])) == (3, 2, 2)
    moments = [item["created_at"] for item in listed["items"]]
    assert moments == sorted(moments, reverse=True)


def test_the_list_is_filtered(cast, owner):
    make_campaign(cast.owner, campaign_type="hiv", template_id="hiv")
    put_away = make_campaign(cast.owner)
    campaigns.archive(put_away, by=cast.owner)

    assert [item["campaign_type"] for item in owner("GET", "/campaigns/").json["items"]] == ["hiv"]
    assert owner("GET", "/campaigns/?campaign_type=mild").json["items"] == []
    assert owner("GET", "/campaigns/?status=archived").json["total"] == 1


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=101", "limit"),
        ("limit=0", "limit"),
        ("limit=many", "limit"),
        ("limit=1&limit=2", "limit"),
        ("offset=-1", "offset"),
        ("offset=99999999999999999999", "offset"),
        ("status=finished", "status"),
        ("status=%00", "status"),
        ("campaign_type=party", "campaign_type"),
    ],
)
def test_a_filter_that_means_nothing_is_refused(owner, query, field):
    answer = owner("GET", f"/campaigns/?{query}")

    assert answer.status_code == 422
    assert answer.json["detail"][0]["loc"][:2] == ["query", field]


def test_name_and_description_change_and_nothing_else(cast, owner):
    made = owner("POST", "/campaigns/", WANTED).json
    changed = owner("PATCH", f"/campaigns/{made['id']}", example("change_campaign.request"))

    assert changed.status_code == 200
    assert changed.json["name"] == "Vaccination EPI - Dakar 2026 (Revised)"
    assert list(changed.json)[-1] == "description"
    assert owner("PATCH", f"/campaigns/{made['id']}", {"description": None}).json["description"] is None
    refused = owner("PATCH", f"/campaigns/{made['id']}", {"name": "Another", "prefix": "OTHER"})
    assert (refused.status_code, refused.json["detail"][0]["loc"]) == (422, ["body", "prefix"])
    assert owner("GET", f"/campaigns/{made['id']}").json["name"] == "Vaccination EPI - Dakar 2026 (Revised)"


def test_deleting_archives_once_and_keeps_everything(cast, owner):
    started = start(owner)
    work_to_the_end(cast.app)
    path = f"/campaigns/{started['campaign_id']}"

    assert [owner("DELETE", path).status_code for _ in range(2)] == [204, 204]
    assert owner("GET", path).json["status"] == "archived"
    assert owner("GET", f"/jobs/{started['job_id']}/download/pdf").status_code == 200
    assert owner("POST", "/campaigns/", WANTED).status_code == 400
    refused = owner("POST", f"{path}/jobs", ORDER)
    assert refused.status_code == 404
    assert "archived" in refused.json["detail"]


def test_a_prefix_is_used_once_in_an_organisation(owner, stranger):
    assert owner("POST", "/campaigns/", WANTED).status_code == 201
    again = owner("POST", "/campaigns/", WANTED)

    assert (again.status_code, again.json["code"]) == (400, "prefix_taken")
    assert stranger("POST", "/campaigns/", WANTED).status_code == 201


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "V"),
        ("name", "V" * 201),
        ("name", "Vaccination\x00"),
        ("name", "Vaccination \ud800"),
        ("name", 7),
        ("name", None),
        ("campaign_type", "party"),
        ("prefix", "dkr-vac"),
        ("prefix", "DKR_VAC"),
        ("prefix", "DK"),
        ("language", "de"),
        ("template_id", "unknown"),
        ("description", "\x1b[2J"),
    ],
)
def test_a_campaign_that_cannot_be_is_refused_by_its_field(owner, field, value):
    answer = owner("POST", "/campaigns/", WANTED | {field: value})

    assert answer.status_code == 422
    (problem,) = answer.json["detail"]
    assert problem["loc"] == ["body", field]
    assert not problem["msg"].startswith("Value error")  # pydantic's word for our own sentences
    assert answer.json["total"] == 1
    assert owner("GET", "/campaigns/").json["total"] == 0


def test_every_field_that_is_missing_is_named(owner):
    answer = owner("POST", "/campaigns/", {})

    assert [problem["loc"][1] for problem in answer.json["detail"]] == list(WANTED)[:5]
    assert list(answer.json) == ["detail", "total", "code", "request_id"]


def test_a_job_is_followed_through_its_states(cast, owner):
    started = start(owner)
    path = f"/jobs/{started['job_id']}"

    waiting = owner("GET", path).json
    assert list(waiting) == list(example("show_job.in_progress.200"))
    assert (waiting["status"], waiting["eta_seconds"], waiting["started_at"]) == ("pending", None, None)

    jobs.pause(the_job(started), by=cast.owner)
    paused = owner("GET", path).json
    assert list(without(paused, "paused")) == list(example("show_job.in_progress.200"))
    assert (paused["status"], paused["paused"]) == ("generating", True)

    jobs.resume(the_job(started), by=cast.owner)
    with transaction():
        jobs.fail(the_job(started), say("The paper ran out."))
    failed = owner("GET", path).json
    assert shape(failed) == shape(example("show_job.failed.200"))
    assert (failed["status"], failed["error"], failed["quota_refunded"]) == (
        "failed",
        "The paper ran out.",
        2,
    )


def test_a_cancelled_job_says_what_was_given_back(cast, owner):
    started = start(owner)
    jobs.cancel(the_job(started), by=cast.owner)

    cancelled = owner("GET", f"/jobs/{started['job_id']}").json

    assert shape(without(cancelled, "artifacts")) == shape(example("show_job.failed.200"))
    assert (cancelled["status"], cancelled["quota_refunded"], cancelled["artifacts"]) == (
        "cancelled",
        2,
        None,
    )
    assert owner("GET", f"/jobs/{started['job_id']}/download/pdf").status_code == 409


def test_a_job_cancelled_half_way_keeps_what_was_drawn(cast, owner):
    people = [{"first_name": "Awa", "last_name": "Ba", "beneficiary_id": f"P-{number}"} for number in range(12)]
    started = start(owner, beneficiaries=people)
    path = f"/jobs/{started['job_id']}"
    assert work.do_one("worker", stopping=lambda: False)

    generating = owner("GET", path).json
    assert shape(generating) == shape(example("show_job.in_progress.200"))
    assert (generating["status"], generating["progress"], generating["cards_generated"]) == (
        "generating",
        41,
        5,
    )

    jobs.cancel(the_job(started), by=cast.owner)
    work_to_the_end(cast.app)
    cancelled = owner("GET", path).json
    assert (cancelled["status"], cancelled["quota_refunded"]) == ("cancelled", 7)
    assert list(cancelled["artifacts"]) == list(example("show_job.completed.200")["artifacts"])
    assert owner("GET", f"{path}/download/zip").status_code == 200


def test_ids_are_taken_as_they_are_printed_and_as_uuids(cast, owner):
    campaign = make_campaign(cast.owner)
    printed = owner("GET", f"/campaigns/{campaign.id}/").json["id"]

    assert re.fullmatch(r"camp_[0-9A-HJKMNP-TV-Z]{26}", printed)
    assert owner("GET", f"/campaigns/{printed.lower()}").json["id"] == printed


@pytest.mark.parametrize("path", ["/campaigns/{}", "/campaigns/{}/jobs", "/jobs/{}", "/jobs/{}/download/pdf"])
def test_what_belongs_to_a_stranger_is_as_unknown_as_what_is_not_there(cast, owner, stranger, path):
    started = start(owner)
    of_ours = started["campaign_id"] if path.startswith("/campaigns") else started["job_id"]
    method, body = ("POST", ORDER) if path.endswith("/jobs") else ("GET", None)

    answers = [
        stranger(method, path.format(identifier), body)
        for identifier in (of_ours, "camp_01HXYZ456DEF", "%00", "' or 1=1", "job_" + "Z" * 26, "x" * 3000)
    ]

    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.json["detail"] for answer in answers}) == 1


def test_downloads_have_names_types_and_ranges(cast, owner):
    started = start(owner)
    path = f"/jobs/{started['job_id']}/download"
    assert owner("GET", f"{path}/zip").status_code == 409
    assert owner("GET", f"{path}/report").status_code == 404

    work_to_the_end(cast.app)

    kinds = {
        "pdf": "application/pdf",
        "zip": "application/zip",
        "portal": "application/zip",
        "manifest": "application/json",
    }
    for kind, mimetype in kinds.items():
        whole = owner("GET", f"{path}/{kind}")
        sha256 = db.session.query(Artifact).filter_by(kind=kind).one().sha256
        assert (whole.status_code, whole.mimetype, whole.headers["ETag"]) == (200, mimetype, f'"{sha256}"')
        assert whole.headers["Content-Disposition"].startswith(f"attachment; filename={started['job_id']}-")
        assert whole.content_length == len(whole.data)

        part = owner("GET", f"{path}/{kind}", headers={"Range": "bytes=100-199"})
        assert (part.status_code, part.data) == (206, whole.data[100:200])
        assert part.headers["Content-Range"] == f"bytes 100-199/{len(whole.data)}"
        known = owner("GET", f"{path}/{kind}", headers={"If-None-Match": f'"{sha256}"'})
        assert (known.status_code, known.data) == (304, b"")
        beyond = owner("GET", f"{path}/{kind}", headers={"Range": "bytes=999999999-"})
        assert (beyond.status_code, beyond.json["code"]) == (416, "requested_range_not_satisfiable")
        other = owner("GET", f"{path}/{kind}", headers={"Range": "bytes=0-9", "If-Range": '"of before"'})
        assert (other.status_code, other.data) == (200, whole.data)


def test_the_balance_has_the_documented_fields(cast, owner):
    start(owner)
    balance = owner("GET", "/billing/balance").json

    assert list(balance) == [
        "account_id", "plan", "plan_display_name", "balance_fcfa", "monthly_subscription_fcfa", "quota",
        "quota_reset_date", "currency",
    ]  # fmt: skip
    quota = balance["quota"]
    assert (quota["identities_total"], quota["identities_used"], quota["identities_remaining"]) == (
        10_000,
        2,
        9_998,
    )
    assert re.fullmatch(r"\d{4}-\d{2}-01", balance["quota_reset_date"])


def test_every_route_is_described(nobody):
    described = nobody("GET", "/api/openapi.json").json

    assert described["openapi"].startswith("3.1")
    assert set(described["paths"]) == {
        "/auth/login",
        "/campaigns/",
        "/campaigns/{campaign_id}",
        "/campaigns/{campaign_id}/jobs",
        "/jobs/{job_id}",
        "/jobs/{job_id}/download/{kind}",
        "/billing/balance",
    }
    body = described["components"]["schemas"]["JobWanted"]["properties"]["beneficiaries"]
    assert (body["minItems"], body["maxItems"]) == (1, 10_000)


def test_a_campaign_is_not_made_when_no_card_could_be(cast, speaks_for):
    poor = speaks_for(make_actor(make_organisation("Nothing left", quota=0), "admin"))

    answer = poor("POST", "/campaigns/", WANTED)

    assert (answer.status_code, answer.json["code"]) == (402, "quota_exceeded")
    assert db.session.query(Campaign).count() == 0


def test_a_file_that_is_not_kept_any_more_is_gone(cast, owner):
    job_id = start(owner)["job_id"]
    work_to_the_end(cast.app)
    keeping.remove_files(db.session.query(Job).one().id)
    answer = owner("GET", f"/jobs/{job_id}/download/pdf")
    assert (answer.status_code, answer.json["code"]) == (410, "gone")
    assert "not kept any more" in answer.json["detail"]
