"""The ledger: exact under races, never changed, one movement a cause."""

import threading

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError

from app.database import db, transaction
from app.domain import jobs, quotas
from app.domain.access import Actor
from app.domain.errors import Invalid, QuotaExceeded
from app.domain.invariants.ledgers import ledgers_balance, ledgers_run_on
from app.domain.orders import StartOrder
from app.domain.quotas import AlreadyCounted
from app.models import QUOTA_PERIOD, AuditEntry, Job, LedgerEntry, Organisation
from tests.cast import make_actor, make_campaign, make_organisation
from tests.clock import clock_at

pytestmark = pytest.mark.both
CLIENTS = 12
CARDS_EACH = 7


def test_it_works(cast):
    before = quotas.balance(cast.organisation.id)
    after = quotas.grant(cast.organisation.id, 50, "A second round", by=cast.owner)
    assert after == before + 50 == quotas.balance(cast.organisation.id)
    assert [*ledgers_balance(), *ledgers_run_on()] == []


@pytest.mark.parametrize(("cards", "reason"), [(0, "x"), (-5, "x"), (10**9, "x"), (10, "  ")])
def test_a_grant_needs_a_number_and_a_reason(cast, cards, reason):
    with pytest.raises(Invalid):
        quotas.grant(cast.organisation.id, cards, reason, by=cast.owner)


def test_one_cause_moves_the_balance_once(cast):
    quotas.grant(cast.organisation.id, 10, "November", by=cast.owner, key="grant:month:2026-11")
    with pytest.raises(AlreadyCounted, match="grant:month:2026-11"):
        quotas.grant(cast.organisation.id, 10, "November", by=cast.owner, key="grant:month:2026-11")
    assert quotas.balance(cast.organisation.id) == 10_010


def test_a_cause_refunds_once_even_where_the_answer_is_swallowed(cast):
    """Whoever catches the error and commits all the same has moved nothing."""
    organisation = cast.organisation.id
    job = jobs.start(make_campaign(cast.owner, people=3), StartOrder(), by=cast.owner).id
    with transaction():
        quotas.refund(organisation, job, 1, "Cards that were not made", "card 1")
        with pytest.raises(AlreadyCounted):
            quotas.refund(organisation, job, 1, "Cards that were not made", "card 1")
        quotas.refund(organisation, job, 1, "Cards that were not made", "card 2")
    assert quotas.balance(organisation) == 9_999
    assert [*ledgers_balance(), *ledgers_run_on()] == []


def test_a_correction_goes_both_ways_and_never_below_zero(cast):
    organisation = cast.organisation.id
    assert quotas.correct(organisation, -9_990, "Counted twice", by=cast.owner) == 10
    assert quotas.correct(organisation, 5, "Too much", by=cast.owner) == 15
    with pytest.raises(Invalid, match="Only 15 cards are left"):
        quotas.correct(organisation, -16, "More than there is", by=cast.owner)
    for cards, reason in ((0, "x"), (10**9, "x"), (5, " ")):
        with pytest.raises(Invalid):
            quotas.correct(organisation, cards, reason, by=cast.owner)

    entries = db.session.scalars(select(LedgerEntry).where(LedgerEntry.kind == "correction"))
    assert [(entry.amount, entry.made_by) for entry in entries] == [
        (-9_990, cast.owner.user_id),
        (5, cast.owner.user_id),
    ]
    assert quotas.balance(organisation) == 15 and [*ledgers_balance(), *ledgers_run_on()] == []


def test_the_log_says_once_a_month_that_cards_run_low_and_once_that_they_are_used_up(cast):
    poor = make_organisation("Poor", quota=10)
    actor = make_actor(poor, "admin")

    def order(people: int) -> Job:
        return jobs.start(make_campaign(actor, people=people), StartOrder(), by=actor)

    def told() -> list[tuple[str, dict]]:
        entries = select(AuditEntry).where(AuditEntry.subject_type == QUOTA_PERIOD).order_by(AuditEntry.created_at)
        return [(entry.action, entry.facts) for entry in db.session.scalars(entries)]

    order(7)
    assert told() == []
    jobs.cancel(order(1), by=actor)
    order(1)
    order(1)
    order(1)
    assert told() == [
        ("quota.low", {"used": 8, "total": 10}),
        ("quota.used_up", {"used": 10, "total": 10}),
    ]


def test_the_ledger_stays_in_order_when_the_clock_is_set_back(cast):
    with clock_at("2036-05-01T12:00") as clock:
        organisation = make_organisation("Swept", quota=5).id
        clock.move(days=-1)
        quotas.grant(organisation, 6, "Second", by=cast.owner)
        clock.move(days=-300)
        quotas.grant(organisation, 7, "Third", by=cast.owner)
    rows = select(LedgerEntry).where(LedgerEntry.organisation_id == organisation).order_by(LedgerEntry.created_at)
    assert [row.balance_after for row in db.session.scalars(rows)] == [5, 11, 18]


def test_two_movements_at_the_same_moment_both_count(cast):
    """The first keeps its transaction open until the second waits for it; what that one has read must not count."""
    organisation = cast.organisation.id
    moved, through = threading.Event(), threading.Event()

    def first() -> None:
        with cast.app.app_context(), transaction():
            quotas._move(organisation, "debit", -1, "first", "debit:first")
            moved.set()
            through.wait(1)

    db.session.rollback()
    client = threading.Thread(target=first)
    client.start()
    assert moved.wait(30)
    with transaction():
        quotas._move(organisation, "debit", -1, "second", "debit:second")
    through.set()
    client.join()
    assert quotas.balance(organisation) == 10_000 - 2


def test_the_ledger_cannot_be_changed(cast):
    for change in ("UPDATE ledger_entry SET amount = amount + 1", "DELETE FROM ledger_entry"):
        with pytest.raises(DBAPIError, match="only added to"), transaction():
            db.session.execute(text(change))


def test_a_balance_never_goes_below_zero(cast):
    poor = make_organisation("Poor", quota=3)
    with pytest.raises(QuotaExceeded), transaction():
        quotas._move(poor.id, "debit", -4, "too much", "debit:x")
    assert quotas.balance(poor.id) == 3


def test_clients_at_once_spend_exactly_what_there_is(cast):
    """Twelve clients want seven cards each and there are 50: seven of them get theirs, five are told no."""
    organisation = make_organisation("Contested", quota=50)
    actor = make_actor(organisation, "admin")
    campaigns = [make_campaign(actor, people=CARDS_EACH).id for _ in range(CLIENTS)]
    start, outcomes = threading.Barrier(CLIENTS), []

    def order(campaign_id) -> None:
        from app.models import Campaign

        with cast.app.app_context():
            campaign = db.session.get(Campaign, campaign_id)
            start.wait()
            try:
                jobs.start(campaign, StartOrder(), by=actor)
                outcomes.append("made")
            except QuotaExceeded:
                outcomes.append("refused")

    clients = [threading.Thread(target=order, args=(campaign_id,)) for campaign_id in campaigns]
    for client in clients:
        client.start()
    for client in clients:
        client.join()

    db.session.rollback()
    assert sorted(outcomes) == ["made"] * 7 + ["refused"] * 5
    assert quotas.balance(organisation.id) == 50 - 7 * CARDS_EACH
    assert [*ledgers_balance(), *ledgers_run_on()] == []


def test_a_grant_in_the_portals_name_is_in_the_ledger(cast):
    organisation = make_organisation("Ministry", quota=0)
    quotas.grant(organisation.id, 5, "Pilot", by=Actor.portal(organisation.id))
    entry = db.session.scalar(select(LedgerEntry).where(LedgerEntry.organisation_id == organisation.id))
    assert (entry.kind, entry.amount, entry.balance_after, entry.made_by) == ("grant", 5, 5, None)
    assert db.session.scalar(select(func.count()).select_from(Organisation)) == 3
