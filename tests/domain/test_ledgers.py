"""Ledgers: sums that prove the balance, and what was left at the end of each day."""

from collections.abc import Iterator
from datetime import date

import pytest
from sqlalchemy import update

from app.database import transaction
from app.domain import duties, jobs, ledgers, quotas
from app.domain.ledgers import Day, Proof
from app.domain.orders import StartOrder
from app.domain.standings import Level, standing_of
from app.models import Organisation
from tests.cast import make_campaign, make_organisation
from tests.clock import Clock, clock_at


@pytest.fixture(autouse=True)
def clock() -> Iterator[Clock]:
    with clock_at("2026-10-20T10:30") as clock:
        yield clock


@pytest.fixture
def ours(clock, cast) -> Organisation:
    """Our organisation, made in October with 10,000 cards."""
    with transaction() as session:
        session.execute(update(Organisation).values(created_at=clock.now))
    return cast.organisation


def order(cast, people: int) -> None:
    jobs.start(make_campaign(cast.owner, people=people), StartOrder(), by=cast.owner)


def tick() -> None:
    duties.do_due("A", stopping=lambda: False)


@pytest.mark.both
def test_it_works(cast, clock, ours):
    order(cast, 3)
    clock.set("2026-11-01T00:00")
    tick()
    quotas.correct(ours.id, -7, "Counted twice", by=cast.owner)

    proof = ledgers.proof(ours.id)

    assert proof == Proof(20_000, -3, 0, -9_997, -7, 5, 9_993)
    assert proof.holds and proof.sum == 9_993


def test_the_proof_of_an_organisation_that_never_had_a_card(app):
    assert ledgers.proof(make_organisation("New", quota=0).id) == Proof(0, 0, 0, 0, 0, 0, 0)


def test_a_balance_that_was_tampered_with_is_found(cast, ours):
    with transaction() as session:
        session.execute(update(Organisation).values(balance=Organisation.balance - 1))

    assert not ledgers.proof(ours.id).holds


@pytest.mark.both
def test_days_are_the_organisations_own_and_go_back_to_the_last_month(cast, clock, ours):
    with transaction() as session:
        session.execute(update(Organisation).values(time_zone="Pacific/Auckland"))
    tick()
    clock.set("2026-10-31T10:59")
    order(cast, 3)
    clock.set("2026-10-31T11:00")
    tick()
    clock.set("2026-11-02T20:00")
    order(cast, 2)

    days = ledgers.by_day(ours.id)

    assert (days[0].day, days[-1].day) == (date(2026, 10, 20), date(2026, 11, 3))
    assert [day for day in days if day.used or day.added] == [
        Day(date(2026, 10, 20), 0, 10_000, 10_000, False),
        Day(date(2026, 10, 31), 3, 0, 9_997, False),
        Day(date(2026, 11, 1), 0, 3, 10_000, True),
        Day(date(2026, 11, 3), 2, 0, 9_998, False),
    ]
    clock.set("2027-01-15T00:00")
    assert ledgers.by_day(ours.id)[0] == Day(date(2026, 12, 1), 0, 0, 9_998, False)


def test_the_ledger_is_taken_away_oldest_first_with_who_moved_it(cast, ours):
    order(cast, 3)
    quotas.correct(ours.id, -7, "Counted twice", by=cast.owner)

    first, *others = ledgers.export(by=cast.viewer)

    assert (first.entry.amount, first.by) == (10_000, "")
    assert [(moved.entry.amount, moved.by) for moved in others] == [(-3, cast.owner.name), (-7, cast.owner.name)]


def test_one_kind_is_counted_and_paged_alone(cast, ours):
    order(cast, 3)
    order(cast, 2)

    total, rows = ledgers.page(ours.id, limit=1, offset=1, kind="debit")

    assert (total, [row.amount for row in rows]) == (2, [-3])


def test_eighty_percent_used_is_low_and_the_pace_says_until_when(cast, clock, ours):
    quotas.correct(ours.id, -9_980, "A small programme", by=cast.owner)
    order(cast, 15)
    assert (standing_of(ours.id).level, standing_of(ours.id).runs_out_on) == (Level.ample, date(2026, 10, 26))

    order(cast, 1)
    assert standing_of(ours.id).level == Level.low and standing_of(ours.id).left == 4
    order(cast, 4)
    assert standing_of(ours.id).level == Level.used_up
    assert standing_of(ours.id).renewed_on == date(2026, 11, 1)
