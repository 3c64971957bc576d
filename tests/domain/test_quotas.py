"""The ledger: exact under races, never changed, one movement a cause."""

import threading

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from app.database import db, transaction
from app.domain import invariants, jobs, quotas
from app.domain.access import Actor
from app.domain.errors import Invalid, QuotaExceeded
from app.domain.orders import StartOrder
from app.models import LedgerEntry, Organisation
from tests.cast import make_actor, make_campaign, make_organisation

pytestmark = pytest.mark.both
CLIENTS = 12
CARDS_EACH = 7


def test_it_works(cast):
    before = quotas.balance(cast.organisation.id)
    after = quotas.grant(cast.organisation.id, 50, "A second round", by=cast.owner)
    assert after == before + 50 == quotas.balance(cast.organisation.id)
    assert list(invariants.ledgers_balance()) == []


@pytest.mark.parametrize(("cards", "reason"), [(0, "x"), (-5, "x"), (10**9, "x"), (10, "  ")])
def test_a_grant_needs_a_number_and_a_reason(cast, cards, reason):
    with pytest.raises(Invalid):
        quotas.grant(cast.organisation.id, cards, reason, by=cast.owner)


def test_one_cause_moves_the_balance_once(cast):
    quotas.grant(cast.organisation.id, 10, "November", by=cast.owner, key="grant:month:2026-11")
    with pytest.raises(IntegrityError):
        quotas.grant(cast.organisation.id, 10, "November", by=cast.owner, key="grant:month:2026-11")
    assert quotas.balance(cast.organisation.id) == 10_010


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
    assert list(invariants.ledgers_balance()) == []


def test_a_grant_in_the_portals_name_is_in_the_ledger(cast):
    organisation = make_organisation("Ministry", quota=0)
    quotas.grant(organisation.id, 5, "Pilot", by=Actor.portal(organisation.id))
    entry = db.session.scalar(select(LedgerEntry).where(LedgerEntry.organisation_id == organisation.id))
    assert (entry.kind, entry.amount, entry.balance_after, entry.made_by) == ("grant", 5, 5, None)
    assert db.session.scalar(select(func.count()).select_from(Organisation)) == 3
