"""Ledgers: what the movements of an organisation's quota come to, by page, by day and in all; nothing moves here."""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import func, select

from app.database import db, one_transaction, utc_now
from app.domain import audit
from app.domain.access import Actor, require
from app.models import LedgerEntry, LedgerKind, Organisation, User


@dataclass(frozen=True)
class Proof:
    """What the kinds of movement add up to, and the balance that they should come to; all numbers are cards."""

    granted: int
    debited: int
    refunded: int
    expired: int
    corrected: int
    movements: int
    balance: int

    @property
    def sum(self) -> int:
        """Return what the ledger says is left: debits and expiries stand in it as negative numbers."""
        return self.granted + self.debited + self.refunded + self.expired + self.corrected

    @property
    def holds(self) -> bool:
        return self.sum == self.balance


@dataclass(frozen=True)
class Day:
    """One day of the ledger where the organisation works: cards used (less those given back), moved otherwise, left.

    `renewed` says that a month began on it.
    """

    day: date
    used: int
    added: int
    balance: int
    renewed: bool


@dataclass(frozen=True)
class Movement:
    """A row of the ledger and who made it; an empty name is the portal itself."""

    entry: LedgerEntry
    by: str


def page(
    organisation_id: uuid.UUID, *, limit: int, offset: int, kind: LedgerKind | None = None
) -> tuple[int, list[LedgerEntry]]:
    """Return how many movements the ledger holds (of the kind), and one page of them, newest first."""
    mine = [LedgerEntry.organisation_id == organisation_id]
    if kind is not None:
        mine.append(LedgerEntry.kind == kind)
    total = db.session.scalar(select(func.count()).select_from(LedgerEntry).where(*mine)) or 0
    newest = select(LedgerEntry).where(*mine).order_by(LedgerEntry.created_at.desc(), LedgerEntry.id.desc())
    return total, list(db.session.scalars(newest.limit(limit).offset(offset)))


def proof(organisation_id: uuid.UUID) -> Proof:
    """Return the sums that prove the balance, read in one statement with it."""
    sums = [
        func.coalesce(func.sum(LedgerEntry.amount).filter(LedgerEntry.kind == kind), 0)
        for kind in (LedgerKind.grant, LedgerKind.debit, LedgerKind.refund, LedgerKind.expiry, LedgerKind.correction)
    ]
    row = db.session.execute(
        select(*sums, func.count(LedgerEntry.id), Organisation.balance)
        .select_from(Organisation)
        .outerjoin(LedgerEntry, LedgerEntry.organisation_id == Organisation.id)
        .where(Organisation.id == organisation_id)
        .group_by(Organisation.id)
    ).one()
    return Proof(*map(int, row))  # PostgreSQL sums large integers to a decimal number


def by_day(organisation_id: uuid.UUID) -> list[Day]:
    """Return every day since the 1st of the last month, or since the first movement, and today as the last one."""
    name = db.session.scalar(select(Organisation.time_zone).where(Organisation.id == organisation_id))
    zone = ZoneInfo(name)
    today = utc_now().astimezone(zone).date()
    first = (today.replace(day=1) - timedelta(days=1)).replace(day=1)
    begins = datetime(first.year, first.month, 1, tzinfo=zone).astimezone(UTC)
    before = _sum_before(organisation_id, begins)
    moved = select(LedgerEntry.created_at, LedgerEntry.kind, LedgerEntry.amount, LedgerEntry.key).where(
        LedgerEntry.organisation_id == organisation_id, LedgerEntry.created_at >= begins
    )
    rows: dict[date, list] = {}
    for row in db.session.execute(moved.order_by(LedgerEntry.created_at)):
        rows.setdefault(row.created_at.astimezone(zone).date(), []).append(row)
    if before is None:
        first = min(rows, default=today)
    return list(_days(first, max([today, *rows]), before or 0, rows))


def _days(first: date, last: date, balance: int, rows: dict[date, list]) -> Iterator[Day]:
    for number in range((last - first).days + 1):
        day = first + timedelta(days=number)
        of_the_day = rows.get(day, [])
        used = -sum(row.amount for row in of_the_day if row.kind in (LedgerKind.debit, LedgerKind.refund))
        added = sum(row.amount for row in of_the_day) + used
        balance += added - used
        yield Day(day, used, added, balance, any(row.key.startswith("grant:month:") for row in of_the_day))


def _sum_before(organisation_id: uuid.UUID, moment: datetime) -> int | None:
    """Return what was left at the moment, None when nothing had moved yet."""
    before = (LedgerEntry.organisation_id == organisation_id, LedgerEntry.created_at < moment)
    total = db.session.scalar(select(func.sum(LedgerEntry.amount)).where(*before))
    return None if total is None else int(total)


def export(*, by: Actor) -> list[Movement]:
    """Return every movement, oldest first, for a file to take away; the audit log says who took it."""
    require(by, "see")
    total, _none = page(by.organisation_id, limit=0, offset=0)
    _note_export(total, by)
    entries = page(by.organisation_id, limit=total, offset=0)[1][::-1]
    names = _names([entry.made_by for entry in entries if entry.made_by])
    return [Movement(entry, names.get(entry.made_by, "")) for entry in entries]


@one_transaction
def _note_export(rows: int, by: Actor) -> None:
    audit.note(by, "ledger.exported", "organisation", by.organisation_id, rows=rows)


def _names(people: Sequence[uuid.UUID]) -> dict[uuid.UUID, str]:
    return dict(db.session.execute(select(User.id, User.email).where(User.id.in_(set(people)))).all())
