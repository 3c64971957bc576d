"""What a lost worker held goes back to its place in the queue, once, and is told."""

import pytest
from sqlalchemy import select, update

from app.database import db, transaction
from app.domain import claims, importing, invariants, jobs, leases, reaping, work
from app.domain.orders import StartOrder
from app.models import Chunk, ChunkState, ImportBatch, Job, JobState
from tests.cast import make_campaign
from tests.domain.lists import a_list, bring, row
from tests.domain.workers import expire_leases


@pytest.fixture
def claimed(cast):
    """A chunk in hand."""
    jobs.start(make_campaign(cast.owner, people=2), StartOrder(), by=cast.owner)
    return claims.claim_chunk("a:1")


def state_of_the_chunk() -> str:
    db.session.rollback()
    return db.session.scalar(select(Chunk.state))


@pytest.mark.both
def test_it_works(claimed):
    expire_leases()
    assert [str(told) for told in invariants.nothing_is_stuck()] != []

    assert reaping.reap() == 1
    assert reaping.reap() == 0
    assert state_of_the_chunk() == ChunkState.waiting
    assert list(invariants.nothing_is_stuck()) == []
    assert reaping.last_reaped().total == 1


@pytest.mark.both
def test_what_is_held_is_left_alone(claimed):
    with transaction() as session:  # however slow this machine is
        session.execute(update(Chunk).values(lease_expires=1e12))

    assert reaping.reap() == 0
    assert state_of_the_chunk() == ChunkState.claimed
    assert reaping.last_reaped() is None


@pytest.mark.both
def test_what_rested_goes_back_but_was_not_lost(cast, claimed):
    claims.let_rest(claimed)
    bring(make_campaign(cast.owner), a_list(row(1)), cast.owner)
    importing._let_rest(importing.claim("a:1"))
    with transaction() as session:
        session.execute(update(Chunk).values(lease_expires=0.0))
        session.execute(update(ImportBatch).values(lease_expires=0.0))

    assert reaping.reap() == 2
    assert state_of_the_chunk() == ChunkState.waiting
    assert reaping.last_reaped() is None


def test_a_holder_that_comes_back_finds_that_it_is_not_its_any_more(claimed):
    expire_leases()
    work.take_up()

    assert not leases.renew(claimed.holder)


def test_also_the_part_of_a_paused_job_goes_back(cast, claimed):
    jobs.pause(db.session.scalar(select(Job)), by=cast.owner)
    expire_leases()

    work.take_up()
    assert state_of_the_chunk() == ChunkState.waiting
    assert db.session.scalar(select(Job.state)) == JobState.paused


@pytest.mark.both
def test_packagings_and_imports_go_back_too(cast, claimed):
    claims.hand_back(claimed, counts=False)
    bring(make_campaign(cast.owner), a_list(row(1)), cast.owner)
    gone = leases.taken("gone:1") | {"lease_expires": 0.0}
    with transaction() as session:
        session.execute(update(Job).values(state=JobState.packaging, **gone))
        session.execute(update(ImportBatch).values(**gone))

    assert reaping.reap() == 2
    assert reaping.last_reaped().last == 2
    assert (db.session.scalar(select(Job.lease_owner)), db.session.scalar(select(ImportBatch.lease_owner))) == (
        None,
        None,
    )
