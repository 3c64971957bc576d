"""Monitors get an answer in time whatever hangs; administrators see what needs a look, of their own organisation."""

import logging
import threading

import pytest

from app.database import spell, transaction, utc_now
from app.domain import health, workers
from app.domain.invariants import Breach
from app.models import CheckUp
from app.sentences import say
from app.web import lookout
from tests.cast import make_campaign


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """Let every answer be a fresh look."""
    monkeypatch.setattr(lookout, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(lookout, "PATIENCE_SECONDS", 20.0)


def codes(client, path: str = "/healthz") -> tuple[int, list[str]]:
    answer = client.browser.get(path)
    return answer.status_code, [reason["code"] for reason in answer.json.get("reasons", [])]


@pytest.mark.both
def test_it_works(client):
    assert codes(client) == (503, ["workers"])
    workers.beat("elsewhere:1", utc_now())
    assert client.browser.get("/healthz").json == {"status": "ok"}


def test_a_web_process_is_well_without_workers(client):
    assert codes(client, "/healthz?web") == (200, [])


def test_a_queue_that_is_away_is_a_reason(app, client, monkeypatch):
    def away(*_):
        raise ConnectionError("redis://secret@host")

    workers.beat("a:1", utc_now())
    monkeypatch.setattr(app.extensions["fieldcard-queue"].storage, "queue_size", away)

    assert codes(client) == (503, ["queue"])
    assert "secret" not in client.browser.get("/healthz").text


def test_without_a_database_nothing_more_is_asked(client, monkeypatch):
    from sqlalchemy.exc import OperationalError

    def refuse():
        raise OperationalError("SELECT 1", {}, Exception("gone"))

    monkeypatch.setattr(health, "_database_size", refuse)
    assert codes(client) == (503, ["database"])
    assert codes(client, "/healthz?web") == (503, ["database"])


def test_an_exam_that_fails_is_a_reason_of_its_own(client, monkeypatch):
    workers.beat("a:1", utc_now())
    monkeypatch.setitem(health.EXAMS, "backup", lambda: 1 / 0)
    assert codes(client) == (503, ["backup"])


def test_whatever_hangs_the_answer_comes_in_time_and_few_threads_wait(app, client, monkeypatch):
    thaw, hanging = threading.Event(), threading.Semaphore(0)

    def hang():
        hanging.release()
        thaw.wait()
        return health.store()

    monkeypatch.setattr(lookout, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(lookout, "STUCK_SECONDS", 0.0)
    monkeypatch.setitem(health.EXAMS, "store", hang)
    before = threading.active_count()

    assert {codes(client)[0] for _ in range(8)} == {503}
    assert all(hanging.acquire(timeout=60) for _ in range(lookout.MOST_RUNNING))
    assert codes(client) == (503, ["store"])
    assert threading.active_count() - before == lookout.MOST_RUNNING
    looks = list(app.extensions["fieldcard-lookout"]._running)
    thaw.set()
    assert all(look.done.wait(60) for look in looks)


def test_administrators_see_how_it_is_and_what_to_do(cast, client):
    workers.beat("cards-1:77", utc_now())
    page = client.sign_in(cast.owner).get("/app/health")

    assert page.has("nav [href='/app/health'][aria-current=page]")
    assert {"Workers", "Queue", "Disk", "Database", "Signing keys", "Last backup", "Last check-up"} <= {
        head.get_text() for head in page.soup.select("#findings th[scope=row]")
    }
    assert "fieldcard backup" in page.text
    assert page.soup.select_one("#workers .pill").get_text() == "Alive"


def test_of_the_check_up_everybody_sees_their_own_part(cast, client):
    ours, theirs = make_campaign(cast.owner), make_campaign(cast.stranger)
    breaches = [
        Breach(say("Campaign %(campaign)s is amiss.", campaign=spell("camp", campaign.id)), campaign.organisation_id)
        for campaign in (ours, theirs)
    ]
    with transaction() as session:
        session.add(CheckUp(breaches=[breach.to_json() for breach in breaches], seconds=1.0))
    page = client.sign_in(cast.owner).get("/app/health")

    assert spell("camp", ours.id) in page.text and spell("camp", theirs.id) not in page.text
    assert "1 thing, of another organisation" in page.text


def test_the_monitors_questions_are_not_logged(client, caplog):
    caplog.set_level(logging.INFO, "fieldcard.access")
    client.get("/healthz?web")
    assert caplog.messages == []
