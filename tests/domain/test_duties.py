"""Duties: done once however many workers there are, at their time, and again when somebody died in the middle."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select, update

from app.database import db, transaction
from app.domain import duties, leases
from app.domain.duties import Booking, Chore, hourly, monthly, nightly
from app.models import AuditEntry, Duty, Organisation
from tests.clock import Clock, clock_at

WORKERS = 4


@pytest.fixture(autouse=True)
def clock() -> Iterator[Clock]:
    with clock_at("2026-11-20T10:30") as clock:
        yield clock


@pytest.fixture
def duty(monkeypatch):
    """Give the installation one duty alone; the return value is what it did."""

    def only(*alone: Booking | Chore) -> None:
        monkeypatch.setattr(duties, "DUTIES", alone)

    return only


def do_due(owner: str = "A") -> int:
    return duties.do_due(owner, stopping=lambda: False)


def planned(name: str, scope: str = "") -> str:
    db.session.rollback()
    row = db.session.get(Duty, (name, scope))
    return f"{row.next_due:%Y-%m-%dT%H:%M}"


def at_once(app, act) -> None:
    """Let several workers do it at the same moment."""
    start = threading.Barrier(WORKERS)

    def run(number: int) -> None:
        with app.app_context():
            start.wait()
            act(f"worker {number}")

    workers = [threading.Thread(target=run, args=(number,)) for number in range(WORKERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    db.session.rollback()


@pytest.mark.both
def test_it_works(app, clock, duty):
    swept = []
    duty(Chore("sweep", hourly, lambda checkpoint: swept.append(checkpoint())))

    assert do_due() == 0 and planned("sweep") == "2026-11-20T11:00"
    clock.set("2026-11-20T11:00")
    assert [do_due(), do_due()] == [1, 0] and len(swept) == 1
    assert planned("sweep") == "2026-11-20T12:00"


@pytest.mark.both
def test_workers_at_once_do_a_chore_once(app, clock, duty):
    swept = []
    duty(Chore("sweep", hourly, lambda checkpoint: (time.sleep(0.2), swept.append(1))))
    at_once(app, do_due)
    assert not swept and planned("sweep") == "2026-11-20T11:00"

    clock.move(hours=1)
    at_once(app, do_due)

    assert len(swept) == 1


@pytest.mark.both
def test_workers_at_once_keep_a_booking_once_an_organisation(app, cast, clock, duty):
    with transaction() as session:
        session.execute(update(Organisation).values(created_at=clock.now))
    booked = []
    duty(Booking("renew quota", monthly, lambda organisation_id, now: booked.append(organisation_id)))
    do_due()

    clock.set("2026-12-01T00:00")
    at_once(app, do_due)

    assert sorted(booked) == sorted([cast.organisation.id, cast.abroad.id])
    assert planned("renew quota", str(cast.abroad.id)) == "2027-01-01T00:00"


@pytest.mark.both
def test_what_a_booking_did_and_its_next_moment_are_saved_together(app, cast, clock, duty):
    """The worker dies after its act and before the commit: nothing has happened, and the next one does it."""

    def act_and_die(organisation_id, _now) -> None:
        note(organisation_id)
        raise RuntimeError("died")

    def note(organisation_id, _now=None) -> None:
        db.session.add(
            AuditEntry(organisation_id=organisation_id, actor_name="", action="x", subject_type="x", subject_id="x")
        )

    duty(Booking("renew quota", monthly, act_and_die))
    clock.set("2027-01-05T12:00")
    assert do_due() == 0 and do_due() == 0
    told = select(AuditEntry.organisation_id).where(AuditEntry.action == "x")
    assert db.session.scalars(told).all() == []

    duty(Booking("renew quota", monthly, note))
    assert [do_due(), do_due()] == [2, 0]
    assert sorted(db.session.scalars(told)) == sorted([cast.organisation.id, cast.abroad.id])


def test_a_duty_that_fails_keeps_no_other_waiting(app, clock, duty, caplog):
    done = []
    duty(
        Chore("break", hourly, lambda checkpoint: 1 / 0),
        Chore("sweep", hourly, lambda checkpoint: done.append("swept")),
    )
    do_due()
    clock.move(hours=1)

    assert do_due() == 1 and done == ["swept"]
    assert "“break” failed" in caplog.text
    assert planned("break") == "2026-11-20T11:00" and not free("break"), "it rests until its lease is over"


@pytest.mark.both
def test_a_chore_whose_worker_died_is_done_by_another(app, clock, duty):
    done = []
    duty(Chore("sweep", hourly, lambda checkpoint: done.append("swept")))
    do_due()
    clock.move(hours=1)
    claim("dead")
    assert do_due("B") == 0

    with transaction() as session:
        session.execute(update(Duty).values(lease_expires=0.0))
    assert do_due("B") == 1 and done == ["swept"]


@pytest.mark.both
def test_a_worker_that_lost_its_chore_moves_nothing(app, clock, duty):
    """A is frozen past its lease; B has the chore in hand when A thaws and comes to the end."""

    def frozen(_checkpoint) -> None:
        with transaction() as session:
            session.execute(update(Duty).values(lease_expires=0.0))
        assert claim("B")

    duty(Chore("sweep", hourly, frozen))
    do_due()
    clock.move(hours=1)

    assert do_due("A") == 0
    assert planned("sweep") == "2026-11-20T11:00"
    assert db.session.get(Duty, ("sweep", "")).lease_owner == "B"


def test_a_worker_that_is_stopped_gives_its_chore_back(app, clock, duty):
    stopping = []

    def sweep(checkpoint) -> None:
        stopping.append("now")
        checkpoint()

    duty(Chore("sweep", hourly, sweep))
    do_due()
    clock.move(hours=1)

    assert duties.do_due("A", stopping=lambda: bool(stopping)) == 0
    assert planned("sweep") == "2026-11-20T11:00" and free("sweep")


def test_after_days_in_which_nothing_ran_it_is_done_once(app, clock, duty):
    done = []
    duty(Chore("check", nightly, lambda checkpoint: done.append(clock.now)))
    do_due()
    assert planned("check") == "2026-11-21T02:00"

    clock.set("2026-11-29T07:45")
    assert [do_due(), do_due()] == [1, 0] and len(done) == 1
    assert planned("check") == "2026-11-30T02:00"


def test_a_clock_that_was_ahead_leaves_nothing_waiting_for_days(app, clock, duty):
    """It was a day ahead and is put right: what is planned for tomorrow is due within the hour, as ever."""
    done = []
    duty(Chore("sweep", hourly, lambda checkpoint: done.append(clock.now)))
    clock.move(days=1)
    do_due()
    clock.move(days=-1)
    do_due()
    assert planned("sweep") == "2026-11-20T11:00"

    clock.move(hours=1)
    assert do_due() == 1 and len(done) == 1


def test_a_month_begins_in_the_middle_of_a_long_chore(app, cast, clock, duty):
    """One worker is all there is, and it checks up over midnight: its tick books all the same."""
    booked = []

    def check_up(_checkpoint) -> None:
        clock.set("2026-12-01T00:00")
        at_once(app, lambda _owner: duties.book_due(stopping=lambda: False))
        assert sorted(booked) == sorted([cast.organisation.id, cast.abroad.id])

    with transaction() as session:
        session.execute(update(Organisation).values(created_at=clock.now))
    duty(
        Booking("renew quota", monthly, lambda organisation_id, now: booked.append(organisation_id)),
        Chore("check up", hourly, check_up),
    )
    do_due()
    clock.set("2026-11-30T23:00")

    assert do_due() == 1 and do_due() == 0
    assert len(booked) == 2


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("rhythm", "zone", "after", "due"),
    [
        (hourly, "UTC", "2026-11-20T10:30", "2026-11-20T11:00"),
        (hourly, "UTC", "2026-11-20T11:00", "2026-11-20T12:00"),
        (hourly, "UTC", "2026-12-31T23:59", "2027-01-01T00:00"),
        (nightly, "UTC", "2026-11-20T01:59", "2026-11-20T02:00"),
        (nightly, "UTC", "2026-11-20T02:00", "2026-11-21T02:00"),
        (nightly, "UTC", "2026-12-31T12:00", "2027-01-01T02:00"),
        (monthly, "Africa/Dakar", "2026-11-20T10:30", "2026-12-01T00:00"),
        (monthly, "Africa/Dakar", "2026-12-01T00:00", "2027-01-01T00:00"),
        (monthly, "Africa/Dakar", "2028-01-31T23:59", "2028-02-01T00:00"),
        (monthly, "Pacific/Auckland", "2026-11-20T10:30", "2026-11-30T11:00"),  # summer, 13 hours ahead
        (monthly, "Pacific/Auckland", "2026-11-30T11:00", "2026-12-31T11:00"),
        (monthly, "Pacific/Auckland", "2026-04-15T00:00", "2026-04-30T12:00"),  # winter, 12 hours ahead
        (monthly, "Pacific/Auckland", "2026-09-15T00:00", "2026-09-30T11:00"),  # the clocks go forward on 27 September
        (monthly, "America/Los_Angeles", "2026-11-01T05:00", "2026-11-01T07:00"),  # still October there
        (monthly, "Asia/Kathmandu", "2026-11-20T10:30", "2026-11-30T18:15"),
        (monthly, "America/Asuncion", "2017-09-20T10:30", "2017-10-01T04:00"),  # a night without a midnight
    ],
)
def test_a_rhythm_leads_to_the_next_moment(rhythm, zone, after, due):
    assert rhythm(at(after), ZoneInfo(zone)) == at(due)


def claim(owner: str) -> bool:
    """Take the sweep as a worker would, and do nothing with it."""
    with transaction() as session:
        taken = update(Duty).where(Duty.name == "sweep", leases.free(Duty)).values(**leases.taken(owner))
        return session.execute(taken.execution_options(synchronize_session=False)).rowcount == 1


def free(name: str) -> bool:
    """Whether somebody could take the duty."""
    db.session.rollback()
    return db.session.scalar(select(Duty.name).where(Duty.name == name, leases.free(Duty))) is not None
