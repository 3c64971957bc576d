"""Standings: how far an organisation's quota of the month is used, read from its balance and its ledger."""

import uuid
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from sqlalchemy import func, or_, select

from app.database import db, utc_now
from app.domain.periods import Period, period_at
from app.models import LedgerEntry, LedgerKind, Organisation

LOW_PERCENT = 80  # of the month's cards used: from here on people are told


class Level(StrEnum):
    """How far a month's cards are used: some are left, few, or none."""

    ample = "ample"
    low = "low"
    used_up = "used_up"


@dataclass(frozen=True)
class Standing:
    """Where an organisation's quota stands in its present month; all numbers are cards.

    `total` is what the month has had, by renewal, by hand and by correction. `monthly` come when it ends.
    """

    total: int
    used: int
    left: int
    unlimited: bool
    monthly: int
    period: Period
    today: date

    @property
    def level(self) -> Level:
        if self.unlimited:
            return Level.ample
        if not self.left:
            return Level.used_up
        return Level.low if self.used * 100 >= self.total * LOW_PERCENT else Level.ample

    @property
    def renewed_on(self) -> date:
        """Return the day on which the next month begins, with `monthly` cards and none of those left now."""
        return self.period.following.first

    @property
    def low(self) -> bool:
        """Return whether people should see it: few cards are left, or none."""
        return self.level != Level.ample

    @property
    def runs_out_on(self) -> date | None:
        """Return the day on which the cards are used up at this month's pace; None when they outlast the month."""
        if not self.used or self.unlimited:
            return None
        days_gone = (self.today - self.period.first).days + 1
        day = self.today + timedelta(days=self.left * days_gone // self.used)
        return day if day < self.renewed_on else None


def standing_of(organisation_id: uuid.UUID) -> Standing:
    """Return where the organisation's quota stands now."""
    columns = (Organisation.balance, Organisation.monthly_quota, Organisation.unlimited, Organisation.time_zone)
    row = db.session.execute(select(*columns).where(Organisation.id == organisation_id)).one()
    now = utc_now()
    period = period_at(now, ZoneInfo(row.time_zone))
    used = _used(organisation_id, _beginning(organisation_id, period, gets_none=row.unlimited or not row.monthly_quota))
    return Standing(
        total=used + row.balance,
        used=used,
        left=row.balance,
        unlimited=row.unlimited,
        monthly=row.monthly_quota,
        period=period,
        today=now.astimezone(period.zone).date(),
    )


def _beginning(organisation_id: uuid.UUID, period: Period, *, gets_none: bool) -> datetime:
    """Return when the month's counting began: with its own row of the ledger, whatever the clock said then.

    Who gets no cards by the month, or has only begun to, may have no such row, so there the calendar decides. The
    rows are found by the index of keys, two a month at most, however long the ledger is.
    """
    keys = (LedgerEntry.key.between(f"{kind}:month:", f"{kind}:month:9999") for kind in ("grant", "expiry"))
    began = select(LedgerEntry.created_at).where(LedgerEntry.organisation_id == organisation_id, or_(*keys))
    moment = max(db.session.scalars(began), default=period.begins)
    return max(moment, period.begins) if gets_none else moment


def _used(organisation_id: uuid.UUID, since: datetime) -> int:
    """Return how many cards were debited and not refunded; refunds of an older month's cards do not count below 0."""
    spent = select(func.sum(LedgerEntry.amount)).where(
        LedgerEntry.organisation_id == organisation_id,
        LedgerEntry.kind.in_([LedgerKind.debit, LedgerKind.refund]),
        LedgerEntry.created_at >= since,
    )
    return max(0, -int(db.session.scalar(spent) or 0))  # PostgreSQL sums large numbers as decimals
