"""Leases: held until their time is over, renewed while the work moves, and worth nothing on another boot."""

import time

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

from app.database import db, transaction
from app.domain import claims, jobs, leases
from app.domain.leases import Heartbeat, LeaseLost
from app.domain.orders import StartOrder
from app.models import Chunk
from tests.cast import make_campaign


@pytest.fixture
def claim(cast):
    """A chunk in the hands of worker A."""
    jobs.start(make_campaign(cast.owner, people=1), StartOrder(), by=cast.owner)
    return claims.claim_chunk("A")


def free() -> bool:
    """Whether somebody else could take the chunk."""
    db.session.rollback()
    return db.session.scalar(select(Chunk.number).where(leases.free(Chunk))) is not None


def change(**values) -> None:
    with transaction():
        db.session.execute(update(Chunk).values(**values))


@pytest.mark.both
def test_it_works(claim):
    assert not free()
    change(lease_expires=Chunk.lease_expires - 60)
    assert free()
    assert leases.renew(claim.holder)
    assert not free()


@pytest.mark.both
def test_a_lost_hold_is_not_renewed(claim):
    change(lease_expires=0.0)
    assert claims.claim_chunk("B") is not None
    assert not leases.renew(claim.holder)


@pytest.mark.both
def test_a_lease_of_another_boot_is_over(claim):
    change(lease_boot="the machine before it was switched off")
    assert free()


def test_no_change_of_the_wall_clock_moves_a_lease(claim, monkeypatch):
    for shift in (-86_400, 86_400):
        monkeypatch.setattr(time, "time", lambda shift=shift: 1_800_000_000 + shift)
        assert not free()


def test_a_heartbeat_renews_while_the_work_moves(app, claim, monkeypatch):
    renewed = []
    monkeypatch.setattr(leases, "renew", lambda holder: renewed.append(holder) or True)
    monkeypatch.setattr(leases, "settings", lambda: type("Quick", (), {"lease_seconds": 0.06})())
    with Heartbeat(app, claim.holder) as heart:
        for _ in range(10):
            heart.moved()
            time.sleep(0.02)
    assert renewed


def test_a_heartbeat_lets_a_stuck_worker_lose_its_lease(app, claim, monkeypatch):
    renewed = []
    monkeypatch.setattr(leases, "renew", lambda holder: renewed.append(holder) or True)
    monkeypatch.setattr(leases, "settings", lambda: type("Quick", (), {"lease_seconds": 0.06})())
    with Heartbeat(app, claim.holder):
        time.sleep(0.2)
    assert not renewed


def test_a_worker_whose_hold_is_gone_is_told_at_its_next_step(app, claim, monkeypatch):
    monkeypatch.setattr(leases, "renew", lambda holder: False)
    monkeypatch.setattr(leases, "settings", lambda: type("Quick", (), {"lease_seconds": 0.03})())
    with Heartbeat(app, claim.holder) as heart, pytest.raises(LeaseLost):
        for _ in range(200):
            heart.moved()
            time.sleep(0.01)


def test_a_database_that_is_busy_costs_no_lease_though_the_next_step_takes_long(app, claim, monkeypatch):
    asked = []

    def renew(_holder) -> bool:
        asked.append(1)
        if len(asked) == 1:
            raise OperationalError("UPDATE", {}, Exception("database is locked"))
        return True

    monkeypatch.setattr(leases, "renew", renew)
    monkeypatch.setattr(leases, "settings", lambda: type("Quick", (), {"lease_seconds": 0.06})())
    with Heartbeat(app, claim.holder) as heart:
        heart.moved()
        time.sleep(0.3)
        heart.moved()
    assert len(asked) >= 2
