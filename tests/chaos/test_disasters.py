"""Disk full, queue wiped, Redis killed, database locked, PostgreSQL restarted, clock set: said, survived, recovered."""

import errno
import io
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.exc import OperationalError

from app import database, files, tasks
from app.database import db, transaction
from app.domain import bearer, claims, invariants, jobs, leases, quotas, renewals, sweeping, work
from app.domain.orders import StartOrder
from app.factory import create_app
from app.files import FolderStore
from app.models import Campaign, Chunk, Job, JobState, LedgerEntry, LedgerKind, Organisation, User
from app.settings import Settings
from tests.api.conftest import Caller, owner, speaks_for  # noqa: F401 - fixtures
from tests.cast import Cast, make_campaign, work_to_the_end
from tests.chaos.disasters import Cuts, RedisServer, locked, no_page_more, set_clock
from tests.chaos.hosts import host, wait_until
from tests.web.client import Client

DAY = timedelta(days=1)
ONE_PERSON = {"beneficiaries": [{"first_name": "Awa", "last_name": "Ndiaye", "beneficiary_id": "P-1"}]}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """An installation whose leases, and so the rests of its work, are short."""
    return replace(settings, lease_seconds=0.3, reap_seconds=0.2)


@pytest.fixture
def client(app) -> Client:
    """A browser."""
    return Client(app)


@pytest.fixture
def impatient(app, monkeypatch) -> None:
    """Whoever waits for a lock waits for a second; in earnest it is half a minute."""
    monkeypatch.setattr(database, "BUSY_MILLISECONDS", 1_000)
    db.session.remove()
    db.engine.dispose()


@pytest.fixture
def redis_server(tmp_path) -> Iterator[RedisServer]:
    """A Redis of this test's own, which may be killed."""
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.kill()


def test_while_the_disk_is_full_people_are_told_work_rests_and_no_attempt_is_counted(cast, client, monkeypatch):
    campaign = make_campaign(cast.owner, people=1)
    job_id = jobs.start(campaign, StartOrder(), by=cast.owner).id
    client.sign_in(cast.owner)
    page = client.get(f"/app/campaigns/{campaign.id}/import")
    with monkeypatch.context() as full:
        full.setattr(FolderStore, "put", _no_space)
        for _ in range(3):
            assert work.do_one("worker", stopping=lambda: False)
            time.sleep(0.35)  # it rests for a lease
        told = page.submit("#upload", file=_a_list())
    assert (told.status, told.headers["Retry-After"]) == (503, "60") and "disk is full" in told.text
    assert db.session.scalar(select(Chunk.attempts).where(Chunk.job_id == job_id)) == 0

    assert "list.csv" in page.submit("#upload", file=_a_list()).text
    work_to_the_end(cast.app)
    _is_whole(job_id, 1)


def test_a_worker_claims_nothing_while_its_disk_is_full(cast, monkeypatch):
    """With the files in a bucket it is the disk of the data folder that fills."""
    jobs.start(make_campaign(cast.owner, people=1), StartOrder(), by=cast.owner)
    monkeypatch.setattr(FolderStore, "free_bytes", lambda _store: None)
    usage = shutil.disk_usage("/")._replace(free=work.LEAST_FREE_BYTES - 1)
    with monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", lambda _path: usage)
        assert not work.do_one("worker", stopping=lambda: False)
    assert work.do_one("worker", stopping=lambda: False)


def test_while_the_database_has_no_room_every_answer_is_true(cast, owner):  # noqa: F811 - the fixture
    """What was answered with 201 or 202 is there; what was not is answered with 503, and nothing of it is there."""
    wanted = {"campaign_type": "vaccination", "language": "fr", "template_id": "vaccination", "description": "x" * 900}

    def create(number: int):
        return owner("POST", "/campaigns", wanted | {"name": f"Campaign {number}", "prefix": f"C{number:05d}"})

    with no_page_more():
        answers = [create(number) for number in range(30)]
    saved = [answer for answer in answers if answer.status_code < 300]
    refused = [answer for answer in answers if answer not in saved]
    assert refused and {answer.status_code for answer in refused} == {503}
    assert {answer.headers["Retry-After"] for answer in refused} == {"60"}
    assert "disk is full" in refused[0].json["detail"] and list(refused[0].json) == ["detail", "code", "request_id"]
    assert db.session.scalar(select(func.count()).select_from(Campaign)) == len(saved)
    assert create(99).status_code == 201


def test_a_chunk_that_cannot_be_settled_for_want_of_room_rests(cast, monkeypatch):
    job_id = jobs.start(make_campaign(cast.owner, people=2), StartOrder(), by=cast.owner).id
    settle, full = claims.settle, iter([True] * 3)

    def settles(*args):
        if next(full, False):
            raise _operational_error("database or disk is full")
        settle(*args)

    monkeypatch.setattr(claims, "settle", settles)
    for _ in range(3):
        work.do_one("worker", stopping=lambda: False)
        time.sleep(0.35)
    assert db.session.scalar(select(Chunk.attempts).where(Chunk.job_id == job_id)) == 0
    work_to_the_end(cast.app)
    _is_whole(job_id, 2)


@pytest.mark.both
def test_a_queue_that_is_wiped_is_rung_again(cast, app):
    job_id = jobs.start(make_campaign(cast.owner, people=6), StartOrder(), by=cast.owner).id
    queue = app.extensions["fieldcard-queue"]
    tasks.ring()
    assert work.do_one("worker", stopping=lambda: False)
    queue.flush()
    assert queue.pending_count() == 0

    tasks.tick()
    assert queue.pending_count() == 1
    while message := queue.dequeue():
        queue.execute(message)
    _is_whole(job_id, 6)


def test_orders_are_taken_and_made_while_redis_is_dead(settings, redis_server, tmp_path, request):
    """The queue is a doorbell: an order is answered without it, and workers look for themselves."""
    settings = replace(settings, queue_url=redis_server.url, lease_seconds=5.0)
    app = create_app(settings)
    with app.app_context():
        cast = Cast(app)
        speaks = request.getfixturevalue("owner_of")(app, cast)
        addresses = [f"/campaigns/{make_campaign(cast.owner).id}/jobs" for _ in range(3)]
        db.session.remove()
        with host(settings, tmp_path / "worker"):
            taken = [speaks("POST", addresses[0], ONE_PERSON)]
            redis_server.kill()
            taken.append(speaks("POST", addresses[1], ONE_PERSON))
            redis_server.start()
            taken.append(speaks("POST", addresses[2], ONE_PERSON))
            assert [answer.status_code for answer in taken] == [202] * 3
            ids = list(db.session.scalars(select(Job.id)))
            wait_until(lambda: all(_finished(job_id) for job_id in ids), "all jobs have ended")
        assert len(ids) == 3
        for job_id in ids:
            _is_whole(job_id, 1)
        db.session.remove()
        db.engine.dispose()


@pytest.mark.both
def test_a_database_that_is_locked_for_a_while_is_waited_for(cast, client, owner):  # noqa: F811 - the fixture
    address = f"/campaigns/{make_campaign(cast.owner).id}/jobs"
    client.sign_in(cast.owner)
    with locked() as let_go:
        threading.Timer(1.0, let_go).start()
        assert owner("POST", address, ONE_PERSON).status_code == 202
    assert client.get("/app/campaigns").status == 200


@pytest.mark.both
def test_a_database_that_stays_locked_is_said_and_then_all_goes_on(cast, client, owner, impatient):  # noqa: F811
    campaign = make_campaign(cast.owner, people=2)
    address = f"/campaigns/{campaign.id}/jobs"
    job_id = jobs.start(campaign, StartOrder(), by=cast.owner).id
    client.sign_in(cast.owner)
    form = client.get("/app/account")
    db.session.remove()
    with locked():
        answer = owner("POST", address, ONE_PERSON)
        page = client.send("POST", "/app/account", data=_fields(form))
    assert (answer.status_code, answer.headers["Retry-After"], answer.json["code"]) == (503, "5", "busy")
    assert (page.status, page.headers["Retry-After"]) == (503, "5") and "send it once more" in page.text

    assert owner("POST", address, ONE_PERSON).status_code == 202
    assert client.send("POST", "/app/account", data=_fields(form)).status == 303
    work_to_the_end(cast.app)
    _is_whole(job_id, 2)


@pytest.mark.both
@pytest.mark.long
def test_ten_seconds_are_waited_for_and_a_minute_is_not(cast, owner):  # noqa: F811 - the fixture
    for seconds, status in ((10, 202), (60, 503), (0, 202)):
        address = f"/campaigns/{make_campaign(cast.owner).id}/jobs"
        db.session.remove()
        with locked() as let_go:
            threading.Timer(seconds, let_go).start()
            assert owner("POST", address, ONE_PERSON).status_code == status


@pytest.mark.both
def test_a_chunk_that_meets_a_locked_database_rests_until_it_is_free(cast, impatient, monkeypatch):
    """However long it lasts, it is no attempt of the chunk."""
    monkeypatch.setattr("app.domain.workshop.LOOK_AGAIN_AFTER", 0.1)
    job_id = jobs.start(make_campaign(cast.owner, people=1), StartOrder(), by=cast.owner).id
    settle, locks = claims.settle, []

    def settles(*args):
        if not locks:
            locks.append(locked())
            threading.Timer(2.5, locks[0].__enter__()).start()
        settle(*args)

    monkeypatch.setattr(claims, "settle", settles)
    assert work.do_one("worker", stopping=lambda: False)
    assert db.session.scalar(select(Chunk.attempts).where(Chunk.job_id == job_id)) == 0
    locks[0].__exit__(None, None, None)
    time.sleep(0.35)
    work_to_the_end(cast.app)
    _is_whole(job_id, 1)


@pytest.mark.grown
def test_postgresql_may_be_restarted_in_the_middle_of_everything(cast, owner):  # noqa: F811 - the fixture
    job_id = jobs.start(make_campaign(cast.owner, people=6), StartOrder(), by=cast.owner).id
    address = f"/campaigns/{make_campaign(cast.owner).id}/jobs"
    db.session.remove()
    answers = []
    with Cuts(cast.app) as ends:
        for number in range(8):
            answers.append(owner("POST", address, ONE_PERSON, headers={"Idempotency-Key": f"order-{number % 3}"}))
            try:
                work.do_one("worker", stopping=lambda: False)
            except Exception:
                db.session.remove()  # as in a worker: the queue logs it, and the next tick rings again
    assert ends.count > 3
    assert {answer.status_code for answer in answers} <= {202, 409, 402, 503}
    time.sleep(0.35)
    work_to_the_end(cast.app)
    _is_whole(job_id, 6)


@pytest.mark.both
@pytest.mark.parametrize("jump", [DAY, -DAY])
def test_a_clock_that_is_set_steals_no_lease_and_sweeps_no_piece(cast, jump, monkeypatch):
    job_id = jobs.start(make_campaign(cast.owner, people=2), StartOrder(), by=cast.owner).id
    with transaction() as session:
        session.execute(update(Chunk).values(attempts=0))
    monkeypatch.setattr(leases, "settings", lambda: replace(database.settings(), lease_seconds=600.0))
    claim = claims.claim_chunk("worker")
    draft = database.settings().home / "draft"
    draft.write_bytes(b"a piece that is about to be settled")
    key = f"parts/{claim.job_id}/{claim.number}.{claim.holder.fence}.zip"
    files.store().put(key, draft)

    with monkeypatch.context() as clock:
        set_clock(clock, jump)
        assert claims.claim_chunk("another") is None and not claims.work_waits()
        assert leases.renew(claim.holder)
        sweeping.sweep()
        assert list(files.store().keys()) == [key]
        claims.hand_back(claim, counts=False)
        work_to_the_end(cast.app)
    _is_whole(job_id, 2)


@pytest.mark.parametrize("jump", [DAY, -DAY])
def test_a_clock_that_is_set_signs_out_nobody_who_comes_when_it_is_right_again(cast, client, app, jump, monkeypatch):
    """Who comes while it is wrong may have to sign in again, and can. It ends sessions of theirs that it calls old."""
    client.sign_in(cast.owner)
    with monkeypatch.context() as wrong:
        set_clock(wrong, jump)
        assert Client(app).sign_in(cast.editor).get("/app/account").status == 200
    assert client.get("/app/account").status == 200


@pytest.mark.both
def test_a_clock_that_is_set_grants_no_month_twice(cast):
    first_of_may = datetime(2031, 5, 1, 9, tzinfo=UTC)
    for now in (first_of_may - DAY, first_of_may, first_of_may - DAY, first_of_may + DAY, first_of_may):
        with transaction():
            renewals.renew(cast.organisation.id, now)
    granted = select(func.count()).where(
        LedgerEntry.organisation_id == cast.organisation.id, LedgerEntry.kind == LedgerKind.grant
    )
    assert db.session.scalar(granted) == 3  # a good start, April and May
    assert quotas.balance(cast.organisation.id) == db.session.get(Organisation, cast.organisation.id).monthly_quota


@pytest.fixture
def owner_of() -> Callable:
    """Return the owner's program of another installation than this test's own."""

    def makes(app, cast) -> Caller:
        return Caller(app, bearer.issue(db.session.get(User, cast.owner.user_id)))

    return makes


def _a_list() -> tuple[io.BytesIO, str]:
    return io.BytesIO(b"first_name,last_name\nAwa,Ndiaye\n"), "list.csv"


def _no_space(*_args: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def _operational_error(words: str) -> OperationalError:
    """Return what SQLAlchemy raises when SQLite says this."""
    return OperationalError("COMMIT", {}, sqlite3.OperationalError(words))


def _fields(form) -> dict[str, str]:
    token = form.soup.select_one("[name=csrf_token]")["value"]
    return {"name": "Awa", "language": "en", "csrf_token": token}


def _finished(job_id) -> bool:
    db.session.remove()
    return db.session.get(Job, job_id).finished


def _is_whole(job_id, cards: int) -> None:
    """The job has made its cards, and everything that must always be true is."""
    db.session.rollback()
    job = db.session.get(Job, job_id)
    assert (job.state, job.cards_generated) == (JobState.completed, cards)
    assert list(invariants.breaches()) == []
