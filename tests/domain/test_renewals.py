"""The month's quota begins anew once, at the organisation's own midnight, and nothing is carried over."""

import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import select, update

from app.database import db, transaction
from app.domain import duties, jobs, quotas, renewals
from app.domain.errors import QuotaExceeded
from app.domain.invariants.ledgers import ledgers_balance, ledgers_run_on
from app.domain.orders import StartOrder
from app.domain.standings import standing_of
from app.models import AuditEntry, Campaign, Job, LedgerEntry, Organisation
from tests.cast import make_actor, make_campaign, make_organisation
from tests.clock import Clock, clock_at

pytestmark = pytest.mark.both
WORKERS = 4


@pytest.fixture(autouse=True)
def clock() -> Iterator[Clock]:
    with clock_at("2026-11-20T10:30") as clock:
        yield clock


@pytest.fixture
def ours(cast, clock) -> Organisation:
    """Our organisation: made in October, 10,000 cards a month, and 10,000 in hand."""
    change(cast.organisation, created_at=clock.now.replace(month=10))
    change(cast.abroad, created_at=clock.now.replace(month=10))
    duties.do_due("A", stopping=lambda: False)  # November begins
    return cast.organisation


def change(organisation: Organisation, **values: object) -> None:
    with transaction() as session:
        session.execute(update(Organisation).where(Organisation.id == organisation.id).values(**values))


def tick() -> None:
    """Do what a worker does every few seconds."""
    duties.do_due("A", stopping=lambda: False)
    db.session.rollback()


def ledger(organisation: Organisation) -> list[tuple[str, int, int]]:
    """The movements since the one of the beginning and November's two: kind, cards, balance afterwards."""
    rows = select(LedgerEntry).where(LedgerEntry.organisation_id == organisation.id).order_by(LedgerEntry.created_at)
    return [(row.kind, row.amount, row.balance_after) for row in db.session.scalars(rows)][3:]


def order(cast, people: int) -> Job:
    return jobs.start(make_campaign(cast.owner, people=people), StartOrder(), by=cast.owner)


def test_it_works(cast, clock, ours):
    order(cast, 3)
    clock.set("2026-11-30T23:59")
    tick()
    assert quotas.balance(ours.id) == 9_997

    clock.set("2026-12-01T00:00")
    tick()
    tick()

    assert ledger(ours)[1:] == [("expiry", -9_997, 0), ("grant", 10_000, 10_000)]
    keys = db.session.scalars(select(LedgerEntry.key).where(LedgerEntry.organisation_id == ours.id)).all()
    assert {f"expiry:month:2026-12:{ours.id}", f"grant:month:2026-12:{ours.id}"} <= set(keys)
    assert [*ledgers_balance(), *ledgers_run_on()] == []


def test_where_nothing_is_left_nothing_expires(cast, clock, ours):
    quotas.correct(ours.id, -10_000, "A test", by=cast.owner)
    clock.set("2026-12-01T00:00")
    tick()

    assert ledger(ours)[1:] == [("grant", 10_000, 10_000)]


def test_a_changed_quota_applies_from_the_next_month(cast, clock, ours):
    quotas.set_monthly(ours.id, 25, by=cast.owner)
    assert quotas.balance(ours.id) == 10_000

    clock.set("2026-12-01T00:00")
    tick()
    assert quotas.balance(ours.id) == 25


def test_months_in_which_nothing_ran_are_not_made_up_for(cast, clock, ours):
    clock.set("2027-02-24T09:00")
    tick()
    tick()

    assert ledger(ours) == [("expiry", -10_000, 0), ("grant", 10_000, 10_000)]
    clock.set("2027-03-01T00:00")
    tick()
    assert len(ledger(ours)) == 4


def test_each_organisation_has_its_own_midnight(cast, clock, ours):
    change(cast.abroad, time_zone="Pacific/Auckland")
    clock.set("2026-11-30T10:59")
    tick()
    assert ledger(cast.abroad) == []
    clock.set("2026-11-30T11:00")
    tick()

    assert len(ledger(cast.abroad)) == 2 and ledger(ours) == []


def test_a_clock_that_is_set_back_repeats_nothing(cast, clock, ours):
    clock.set("2026-12-01T06:00")
    tick()
    for moment in ("2026-11-30T06:00", "2026-11-30T23:59", "2026-12-01T00:00", "2026-12-02T06:00"):
        clock.set(moment)
        tick()

    assert len(ledger(ours)) == 2


def test_a_clock_that_ran_ahead_begins_the_month_early_and_once(cast, clock, ours):
    """And what is ordered after it was put right still counts in the month that has begun."""
    clock.set("2026-12-01T06:00")
    tick()
    clock.set("2026-11-30T06:00")
    tick()
    order(cast, 3)

    assert (standing_of(ours.id).used, standing_of(ours.id).total) == (3, 10_000)
    clock.set("2026-12-01T00:00")
    tick()
    assert ledger(ours)[2:] == [("debit", -3, 9_997)]
    clock.set("2027-01-01T00:00")
    tick()
    assert ledger(ours)[3:] == [("expiry", -9_997, 0), ("grant", 10_000, 10_000)]


def test_another_time_zone_begins_no_month_twice(cast, clock, ours):
    """It works in Auckland from the end of the month on, and in Dakar again when December has begun there."""
    change(ours, time_zone="Pacific/Auckland")
    clock.set("2026-11-30T11:00")
    tick()
    change(ours, time_zone="Africa/Dakar")
    for moment in ("2026-11-30T12:00", "2026-12-01T00:00", "2026-12-31T11:00"):
        clock.set(moment)
        tick()
    assert len(ledger(ours)) == 2

    clock.set("2027-01-01T00:00")
    tick()
    assert len(ledger(ours)) == 4


def test_cards_granted_by_hand_are_taken_at_the_end_of_the_month_and_not_before(cast, clock, ours):
    """It gets none by the month, so no row of the ledger says that December began; the log does."""
    change(cast.abroad, monthly_quota=0, time_zone="Pacific/Auckland")
    for moment in ("2026-11-30T11:00", "2026-12-10T00:00"):
        clock.set(moment)
        tick()
    quotas.grant(cast.abroad.id, 50, "A second round", by=cast.stranger)
    clock.set("2026-12-31T10:00")
    tick()
    change(cast.abroad, time_zone="Africa/Dakar")
    clock.set("2026-12-31T11:00")
    tick()
    assert quotas.balance(cast.abroad.id) == 50

    clock.set("2027-01-01T00:00")
    tick()
    assert quotas.balance(cast.abroad.id) == 0


def test_no_limit_is_not_renewed(cast, clock, ours):
    change(ours, unlimited=True)
    order(cast, 3)
    clock.set("2026-12-01T00:00")
    tick()

    assert ledger(ours) == [("debit", -3, 9_997)]
    assert standing_of(ours.id).used == 0
    assert [*ledgers_balance(), *ledgers_run_on()] == []


def test_who_was_made_this_month_begins_with_its_quota(clock, app):
    young = make_organisation("Young", quota=0, created_at=clock.now)
    with transaction():
        quotas.begin_first_month(db.session.get(Organisation, young.id))
    clock.set("2026-11-21T00:00")
    tick()
    assert quotas.balance(young.id) == 10_000

    clock.set("2026-12-01T00:00")
    tick()
    assert [row[0] for row in ledger(young)] == [] and standing_of(young.id).total == 10_000


def test_a_refund_credits_the_month_in_which_it_is_given(cast, clock, ours):
    job = order(cast, 3)
    clock.set("2026-12-01T00:00")
    tick()
    jobs.cancel(db.session.get(Job, job.id), by=cast.owner)

    assert quotas.balance(ours.id) == 10_003
    assert (standing_of(ours.id).used, standing_of(ours.id).total) == (0, 10_003)
    assert [*ledgers_balance(), *ledgers_run_on()] == []


def test_a_worker_that_dies_between_expiry_and_grant_has_done_neither(cast, clock, ours, monkeypatch):
    def die(*_args, **_more) -> None:
        raise RuntimeError("died")

    clock.set("2026-12-01T00:00")
    with monkeypatch.context() as patch:
        patch.setattr(quotas, "add_grant", die)
        tick()
    assert quotas.balance(ours.id) == 10_000 and ledger(ours) == []

    tick()
    assert [row[0] for row in ledger(ours)] == ["expiry", "grant"]


def test_workers_and_orders_at_once_leave_a_ledger_that_balances(cast, clock, ours):
    """December begins for four workers at once, while four people order three cards each."""
    wanted = [make_campaign(cast.owner, people=3).id for _ in range(WORKERS)]
    clock.set("2026-12-01T00:00")
    start, failures = threading.Barrier(2 * WORKERS), []

    def run(act) -> None:
        with cast.app.app_context():
            start.wait()
            try:
                act()
            except Exception as problem:
                failures.append(problem)

    def place(campaign_id) -> None:
        jobs.start(db.session.get(Campaign, campaign_id), StartOrder(), by=cast.owner)

    acts = [tick] * WORKERS + [lambda campaign_id=campaign_id: place(campaign_id) for campaign_id in wanted]
    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    db.session.rollback()

    assert failures == []
    kinds = [row[0] for row in ledger(ours)]
    assert sorted(kinds) == ["debit"] * WORKERS + ["expiry", "grant"]
    assert kinds[kinds.index("expiry") + 1] == "grant", "one commit, nothing between them"
    assert [*ledgers_balance(), *ledgers_run_on()] == []
    begun = select(AuditEntry).where(AuditEntry.action == renewals.RENEWED, AuditEntry.subject_id == "2026-12")
    assert len(db.session.scalars(begun.where(AuditEntry.organisation_id == ours.id)).all()) == 1


def test_an_order_that_the_old_month_could_not_pay_for_is_paid_by_the_new_one(cast, clock, ours):
    quotas.correct(ours.id, -9_998, "A test", by=cast.owner)
    campaign = make_campaign(cast.owner, people=3)
    with pytest.raises(QuotaExceeded):
        jobs.start(campaign, StartOrder(), by=cast.owner)

    clock.set("2026-12-01T00:00")
    tick()
    jobs.start(campaign, StartOrder(), by=cast.owner)
    assert quotas.balance(ours.id) == 9_997


def test_who_begins_to_get_cards_by_the_month_counts_from_the_month_that_it_is(clock, app):
    """No row of the ledger says that a month began, and what was ordered in the months before is long over."""
    late = make_organisation("Late", monthly_quota=0, created_at=clock.now)
    admin = make_actor(late, "admin")
    jobs.start(make_campaign(admin, people=3), StartOrder(), by=admin)
    clock.set("2026-12-10T00:00")
    quotas.set_monthly(late.id, 500, by=admin)
    jobs.start(make_campaign(admin, people=2), StartOrder(), by=admin)

    assert standing_of(late.id).used == 2
