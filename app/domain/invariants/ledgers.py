"""The ledger's invariants: balances are what the ledger says, entry by entry."""

from sqlalchemy import func, select, union_all
from sqlalchemy.sql.expression import literal

from app.database import db, spell
from app.domain.invariants.breach import Breach, Breaches
from app.models import LedgerEntry, Organisation
from app.sentences import say


def ledgers_balance() -> Breaches:
    """An organisation's balance is the sum of its ledger and never below zero."""
    total = func.coalesce(func.sum(LedgerEntry.amount), 0)
    rows = db.session.execute(
        select(Organisation.id, Organisation.balance, total.label("total"))
        .outerjoin(LedgerEntry, LedgerEntry.organisation_id == Organisation.id)
        .group_by(Organisation.id, Organisation.balance)
        .having((total != Organisation.balance) | (Organisation.balance < 0))
    )
    for row in rows:
        yield Breach(
            say(
                "Organisation %(organisation)s has a balance of %(balance)s, but its ledger adds up to %(total)s. "
                "Something else than Fieldcard has changed one of them: compare with a backup.",
                organisation=spell("org", row.id),
                balance=row.balance,
                total=int(row.total),
            ),
            row.id,
        )


def ledgers_run_on() -> Breaches:
    """Each entry goes on from the balance that another one left, from nothing to the present balance.

    No clock tells the order of entries of several machines, so it is not asked: taken as steps from the balance
    before to the balance after, the entries are one way from 0 to the present balance. So each balance is left as
    often as it is reached, but for the two ends.
    """
    reached = select(LedgerEntry.organisation_id, LedgerEntry.balance_after.label("at"), literal(1).label("n"))
    left = select(LedgerEntry.organisation_id, LedgerEntry.balance_after - LedgerEntry.amount, literal(-1))
    begins = select(Organisation.id, literal(0), literal(1))
    ends = select(Organisation.id, Organisation.balance, literal(-1))
    steps = union_all(reached, left, begins, ends).subquery()
    uneven = (
        select(steps.c.organisation_id, steps.c.at)
        .group_by(steps.c.organisation_id, steps.c.at)
        .having(func.sum(steps.c.n) != 0)
        .subquery()
    )
    rows = select(uneven.c.organisation_id, func.min(uneven.c.at)).group_by(uneven.c.organisation_id)
    for organisation_id, at in db.session.execute(rows):
        yield Breach(
            say(
                "The ledger of organisation %(organisation)s does not run on at a balance of %(balance)s: an entry is "
                "missing, changed or made up. Compare it with a backup.",
                organisation=spell("org", organisation_id),
                balance=at,
            ),
            organisation_id,
        )
