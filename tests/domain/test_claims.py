"""Claims: who takes what, what is lost with a lease, and what is whose fault."""

import threading

import pytest
from sqlalchemy import select, update

from app.database import db, spell, transaction
from app.domain import claims, jobs, packaging, work
from app.domain.orders import StartOrder
from app.models import (
    Artifact,
    Chunk,
    Job,
    JobState,
    Print,
    PrintState,
)
from tests.cast import make_campaign, work_to_the_end
from tests.domain.workers import expire_leases, healthy, settle

pytestmark = pytest.mark.both


def test_a_small_job_does_not_wait_behind_a_large_one(cast):
    jobs.start(make_campaign(cast.owner, people=60), StartOrder(), by=cast.owner)
    small = jobs.start(make_campaign(cast.stranger, people=1), StartOrder(), by=cast.stranger)
    with cast.app.app_context():
        first, second = claims.claim_chunk("one"), claims.claim_chunk("two")
    assert first.job_id != small.id
    assert second.job_id == small.id


def test_two_workers_never_hold_the_same_chunk(cast):
    jobs.start(make_campaign(cast.owner, people=5), StartOrder(), by=cast.owner)
    with cast.app.app_context():
        assert claims.claim_chunk("one") is not None
        assert claims.claim_chunk("two") is None


def test_a_worker_that_lost_its_lease_changes_nothing(cast):
    """The interleaving that random kills do not find: A stalls, B takes over, the job is cancelled, A wakes."""
    job = jobs.start(make_campaign(cast.owner, people=2), StartOrder(), by=cast.owner)
    with cast.app.app_context():
        stale = claims.claim_chunk("A")
    expire_leases()
    with cast.app.app_context():
        fresh = claims.claim_chunk("B")
    assert (fresh.job_id, fresh.number) == (stale.job_id, stale.number)

    with pytest.raises(claims.LeaseLost):
        settle(cast.app, stale)
    settle(cast.app, fresh)
    work_to_the_end(cast.app)
    assert db.session.get(Job, job.id).state == JobState.completed
    assert healthy()


def test_a_chunk_settled_after_a_cancel_changes_nothing(cast):
    job = jobs.start(make_campaign(cast.owner, people=2), StartOrder(), by=cast.owner)
    with cast.app.app_context():
        claim = claims.claim_chunk("A")
    jobs.cancel(job, by=cast.owner)
    with pytest.raises(claims.LeaseLost):
        settle(cast.app, claim)
    assert set(db.session.scalars(select(Print.state))) == {PrintState.void}
    assert healthy()


def test_a_stopping_worker_hands_its_chunk_back_without_an_attempt(cast):
    jobs.start(make_campaign(cast.owner, people=2), StartOrder(), by=cast.owner)
    looks = iter([False, True, True, True])
    with cast.app.app_context():
        assert work.do_one("worker", stopping=lambda: next(looks)) is False
    chunk = db.session.scalar(select(Chunk))
    assert (chunk.state, chunk.attempts, chunk.lease_fence) == ("waiting", 0, None)


def test_a_chunk_that_failed_too_often_is_given_up_and_refunded(cast):
    campaign = make_campaign(cast.owner, people=6)
    job = jobs.start(campaign, StartOrder(), by=cast.owner)
    with transaction():
        db.session.execute(update(Chunk).where(Chunk.number == 0).values(attempts=claims.MOST_ATTEMPTS))
    work_to_the_end(cast.app)

    db.session.refresh(job)
    assert (job.state, job.cards_generated, job.quota_refunded) == (JobState.completed, 1, 5)
    assert healthy()


def test_a_job_whose_files_cannot_be_read_back_fails_and_costs_nothing(cast):
    job = jobs.start(make_campaign(cast.owner, people=2), StartOrder(), by=cast.owner)
    with cast.app.app_context():
        work.do_one("worker", stopping=lambda: False)
    with transaction():
        db.session.execute(update(Job).values(attempts=claims.MOST_PACKAGINGS))
    work_to_the_end(cast.app)

    db.session.refresh(job)
    assert (job.state, job.quota_refunded) == (JobState.failed, 2)
    assert db.session.scalar(select(Artifact)) is None
    assert healthy()


def test_workers_killed_again_and_again_are_no_fault_of_the_cards(cast):
    """A chunk in a child is not blamed for the deaths of its worker, however many there are."""
    jobs.start(make_campaign(cast.owner, people=1), StartOrder(), by=cast.owner)
    for _ in range(12):
        with cast.app.app_context():
            claim = claims.claim_chunk("doomed")
            if claim.attempts >= claims.CHILD_FROM_ATTEMPT:
                claims.shield(claim)
        expire_leases()
    assert db.session.scalar(select(Chunk.attempts)) < claims.MOST_ATTEMPTS


def test_one_job_without_a_disk_does_not_keep_the_others_waiting(cast, monkeypatch):
    stuck = jobs.start(make_campaign(cast.owner, people=1), StartOrder(), by=cast.owner).id
    other = jobs.start(make_campaign(cast.stranger, people=1), StartOrder(), by=cast.stranger).id
    make = packaging.package

    def no_room(job, *rest):
        if job.job_id == spell("job", stuck):
            raise OSError(28, "No space left on device")
        return make(job, *rest)

    monkeypatch.setattr(packaging, "package", no_room)
    work_to_the_end(cast.app)
    assert db.session.get(Job, other).state == JobState.completed
    assert db.session.get(Job, stuck).state == JobState.packaging

    monkeypatch.undo()
    with transaction():
        db.session.execute(update(Job).where(Job.id == stuck).values(lease_expires=0.0))
    work_to_the_end(cast.app)
    assert db.session.get(Job, stuck).state == JobState.completed
    assert healthy()


def test_workers_woken_together_take_a_chunk_each(cast):
    jobs.start(make_campaign(cast.owner, people=30), StartOrder(), by=cast.owner)
    start, taken = threading.Barrier(5), []

    def claim() -> None:
        with cast.app.app_context():
            start.wait()
            taken.append(claims.claim_chunk(threading.current_thread().name).number)

    workers = [threading.Thread(target=claim) for _ in range(5)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(taken) == [0, 1, 2, 3, 4]
