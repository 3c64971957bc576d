"""What workers do with a list, and what happens when they die, stall or trip in the middle of it."""

import pytest

from app.database import db
from app.domain import importing, imports, work
from app.models import Beneficiary, Enrolment, ImportBatch, ImportRow, ImportState
from tests.cast import make_campaign, work_to_the_end
from tests.domain.lists import a_list, bring, count, expire_leases, one_step, row

both = pytest.mark.both


class Killed(BaseException):
    """What kill -9 is to a worker: nothing of it runs on."""


@pytest.fixture
def small_runs(monkeypatch):
    """Ten rows and ten people in each transaction, so that a short list has several."""
    monkeypatch.setattr(importing, "ROWS_AT_ONCE", 10)
    monkeypatch.setattr(importing, "PEOPLE_AT_ONCE", 10)


@both
def test_a_worker_that_loses_its_lease_while_checking_changes_nothing(cast, small_runs):
    batch = bring(make_campaign(cast.owner), a_list(*(row(number) for number in range(35))), cast.editor)
    one_step(cast.app)
    one_step(cast.app, "A", stopping=taken_over_at(3, cast.app))

    db.session.refresh(batch)
    assert (batch.state, batch.rows_good, batch.lease_fence) == (ImportState.checked, 35, None)
    assert count(ImportRow) == 35


@both
def test_a_worker_that_loses_its_lease_while_adding_adds_nobody(cast, small_runs):
    batch = bring(make_campaign(cast.owner), a_list(*(row(number) for number in range(35))), cast.editor)
    work_to_the_end(cast.app)
    imports.confirm(batch, people=35, by=cast.editor)
    one_step(cast.app, "A", stopping=taken_over_at(2, cast.app))

    db.session.refresh(batch)
    assert (batch.state, batch.rows_new, batch.rows_same) == (ImportState.added, 35, 0)
    assert (count(Beneficiary), count(Enrolment)) == (35, 35)


def test_a_worker_that_wakes_too_late_changes_nothing(cast):
    """A claims and stalls, B takes over and finishes the step, A wakes with the old fence."""
    batch = bring(make_campaign(cast.owner), a_list(row(1)), cast.editor)
    with cast.app.app_context():
        stale = importing.claim("A")
    expire_leases()
    work_to_the_end(cast.app, "B")
    with cast.app.app_context():
        assert importing.go_on(stale, stopping=lambda: False)
    db.session.refresh(batch)
    assert (batch.state, batch.rows_good) == (ImportState.checked, 1)


@both
@pytest.mark.parametrize("looks", [1, 2, 4])
def test_a_worker_killed_while_checking_is_followed_by_another(cast, small_runs, looks):
    batch = bring(make_campaign(cast.owner), a_list(*(row(number) for number in range(35))), cast.editor)
    one_step(cast.app)
    with pytest.raises(Killed):
        one_step(cast.app, "A", stopping=killed_at(looks))
    read_by_then = db.session.get_one(ImportBatch, batch.id, populate_existing=True).rows_read
    assert work_to_the_end(cast.app, "B") == 0

    expire_leases()
    work_to_the_end(cast.app, "B")
    db.session.refresh(batch)
    assert (batch.state, batch.rows_good, batch.rows_read) == (ImportState.checked, 35, 35)
    assert count(ImportRow) == 35 and read_by_then < 35


@both
def test_a_worker_killed_while_adding_is_followed_from_where_it_was(cast, small_runs):
    batch = bring(make_campaign(cast.owner), a_list(*(row(number) for number in range(35))), cast.editor)
    work_to_the_end(cast.app)
    imports.confirm(batch, people=35, by=cast.editor)
    with pytest.raises(Killed):
        one_step(cast.app, "A", stopping=killed_at(2))
    db.session.refresh(batch)
    assert (imports.progress(batch).done, imports.progress(batch).percent) == (20, 57)

    expire_leases()
    work_to_the_end(cast.app, "B")
    db.session.refresh(batch)
    assert (batch.state, batch.rows_new, batch.rows_same) == (ImportState.added, 35, 0)
    assert count(Enrolment) == 35


def test_a_stopping_worker_hands_the_list_back_without_an_attempt(cast, small_runs):
    batch = bring(make_campaign(cast.owner), a_list(*(row(number) for number in range(35))), cast.editor)
    looks = iter([False, True, True])
    one_step(cast.app, stopping=lambda: next(looks))
    db.session.refresh(batch)
    assert (batch.state, batch.attempts, batch.lease_fence) == (ImportState.uploaded, 0, None)


def test_a_list_that_failed_five_times_is_given_up_with_a_sentence(cast, monkeypatch):
    batch = bring(make_campaign(cast.owner), a_list(row(1)), cast.editor)
    monkeypatch.setitem(importing.STEPS, ImportState.uploaded, trip)
    assert work_to_the_end(cast.app) == 6
    db.session.refresh(batch)
    assert (batch.state, batch.attempts, batch.lease_fence) == (ImportState.failed, 0, None)
    assert "tried five times" in batch.problem["template"]


def test_a_list_that_gets_on_a_little_at_each_attempt_is_not_given_up(cast, monkeypatch):
    monkeypatch.setattr(importing, "PEOPLE_AT_ONCE", 3)
    batch = bring(make_campaign(cast.owner), a_list(*(row(number) for number in range(35))), cast.editor)
    work_to_the_end(cast.app)
    imports.confirm(batch, people=35, by=cast.editor)
    for _ in range(12):
        one_step(cast.app, stopping=tripped_at(1))
    work_to_the_end(cast.app)
    db.session.refresh(batch)
    assert (batch.state, batch.rows_new) == (ImportState.added, 35)


def test_a_disk_that_is_away_is_not_the_lists_fault(cast, monkeypatch):
    batch = bring(make_campaign(cast.owner), a_list(row(1)), cast.editor)
    with monkeypatch.context() as broken:
        broken.setitem(importing.STEPS, ImportState.uploaded, no_disk)
        for _ in range(7):
            assert work_to_the_end(cast.app) == 1  # it rests for a lease, so that others get their turn
            expire_leases()
    work_to_the_end(cast.app)
    db.session.refresh(batch)
    assert batch.state == ImportState.checked


def at_look(number: int, act):
    """Return a `stopping` that does something when the worker looks at it for the `number`th time, from 0."""
    looks = iter(range(1000))

    def stopping() -> bool:
        if next(looks) == number:
            act()
        return False

    return stopping


def killed_at(look: int):
    """Return a `stopping` that kills the worker."""
    return at_look(look, die)


def tripped_at(look: int):
    """Return a `stopping` that lets the worker trip over a mistake of ours."""
    return at_look(look, trip)


def taken_over_at(look: int, app):
    """Return a `stopping` that lets the lease run out and another worker do everything."""

    def take_over() -> None:
        with app.app_context():
            expire_leases()
            while work.do_one("B", stopping=lambda: False):
                pass

    return at_look(look, take_over)


def die() -> None:
    raise Killed


def trip(*_: object) -> None:
    raise ZeroDivisionError


def no_disk(*_: object) -> None:
    raise OSError("No space left on device")
