"""Each exam says how it stands, and what to do where it does not stand well."""

from datetime import timedelta

import pytest
from sqlalchemy import update

from app import files
from app.database import db, transaction, utc_now
from app.domain import claims, health, invariants, jobs, reaping, workers
from app.domain.health import Kind
from app.domain.invariants import Breach
from app.domain.orders import StartOrder
from app.models import CheckUp, Chunk, InstallationFact, Job, SigningKey
from app.sentences import say
from tests.cast import make_campaign


def found(name: str) -> tuple[str, bool]:
    finding = health.EXAMS[name]()
    assert finding.about == name
    assert finding.kind == Kind.good or finding.advice or finding.moment
    return finding.kind, finding.stops


@pytest.mark.both
def test_it_works(cast):
    make_campaign(cast.owner)
    workers.beat("a:1", utc_now())

    assert {finding.stops for finding in (exam() for exam in health.EXAMS.values())} == {False}
    assert "MB" in str(health.database().sentence)


@pytest.mark.both
def test_without_a_worker_nothing_is_made(app):
    assert found("workers") == ("bad", True)
    workers.beat("a:1", utc_now())
    assert found("workers") == ("good", False)


@pytest.mark.both
def test_a_job_waits_too_long_only_where_workers_have_nothing_else_to_do(cast):
    jobs.start(make_campaign(cast.owner, people=1), StartOrder(), by=cast.owner)
    workers.beat("a:1", utc_now())
    assert found("waiting") == ("good", False)

    with transaction() as session:
        session.execute(update(Job).values(created_at=utc_now() - timedelta(minutes=11)))
    assert found("waiting") == ("bad", True)

    jobs.start(make_campaign(cast.stranger, people=1), StartOrder(), by=cast.stranger)
    claims.claim_chunk("a:1", only=db.session.query(Job.id).order_by(Job.created_at.desc()).first()[0])
    with transaction() as session:  # however slow this machine is
        session.execute(update(Chunk).values(lease_expires=1e12))
    assert found("waiting") == ("good", False)


def test_a_disk_that_fills_is_told_before_workers_rest(app, monkeypatch):
    monkeypatch.setattr(files.FolderStore, "free_bytes", lambda _store: 2_000_000_000)
    assert found("disk") == ("attention", False)
    monkeypatch.setattr(files.FolderStore, "free_bytes", lambda _store: 400_000_000)
    assert found("disk") == ("bad", True)
    monkeypatch.setattr(files.FolderStore, "free_bytes", lambda _store: None)
    assert found("disk") == ("good", False)


@pytest.mark.both
def test_a_key_that_the_secret_does_not_open_stops_everything(cast):
    jobs.start(make_campaign(cast.owner, people=1), StartOrder(), by=cast.owner)
    assert found("keys") == ("good", False)
    with transaction() as session:
        session.execute(update(SigningKey).values(private_key=b"x" * 60))
    assert found("keys") == ("bad", True)


@pytest.mark.both
def test_tables_of_another_version_stop_everything(app, monkeypatch):
    assert found("migrations") == ("good", False)
    monkeypatch.setattr("app.domain.installation.newest_migration", lambda: "9999")
    assert found("migrations") == ("bad", True)


def test_a_backup_grows_old(app):
    assert found("backup") == ("attention", False)
    with transaction() as session:
        session.add(InstallationFact(name="last_backup", value=utc_now().isoformat()))
    for days, kind in ((1, "good"), (3, "attention"), (8, "bad")):
        with transaction() as session:
            session.execute(update(InstallationFact).values(value=(utc_now() - timedelta(days=days)).isoformat()))
        assert found("backup") == (kind, False)


@pytest.mark.both
def test_the_check_up_is_kept_with_what_it_found(cast, monkeypatch):
    assert found("check-up") == ("attention", False)
    passed = []
    health.check_up(lambda: passed.append(1))
    assert found("check-up") == ("good", False) and passed

    breach = Breach(say("Job %(job)s is amiss.", job="job_1"), cast.organisation.id)
    monkeypatch.setattr(invariants, "breaches", lambda **_: iter([breach]))
    health.check_up(lambda: None)
    assert found("check-up") == ("bad", False)
    assert health.last_check_up().breaches == [breach]

    with transaction() as session:
        session.execute(update(CheckUp).values(breaches=[], created_at=utc_now() - timedelta(days=3)))
    assert found("check-up") == ("attention", False)


def test_what_was_taken_up_is_told_for_a_day(cast):
    assert found("taken up") == ("good", False)
    jobs.start(make_campaign(cast.owner, people=1), StartOrder(), by=cast.owner)
    claims.claim_chunk("a:1")
    with transaction() as session:
        session.execute(update(Chunk).values(lease_expires=0.0))
    reaping.reap()
    assert found("taken up") == ("attention", False)
