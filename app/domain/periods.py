"""Periods: the months in which a quota is counted, from midnight to midnight where the organisation works."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo


@dataclass(frozen=True)
class Period:
    """One month; `first` is its first day in the organisation's time zone."""

    first: date
    zone: tzinfo

    @property
    def name(self) -> str:
        """Return what ledger and audit log call the month: `2026-12`."""
        return f"{self.first:%Y-%m}"

    @property
    def begins(self) -> datetime:
        """Return the moment of its first midnight, in UTC.

        Where that night has no midnight, because the clocks go forward at it, this is the moment they do.
        """
        return datetime(self.first.year, self.first.month, 1, tzinfo=self.zone).astimezone(UTC)

    @property
    def following(self) -> "Period":
        return Period((self.first + timedelta(days=31)).replace(day=1), self.zone)


def period_at(moment: datetime, zone: tzinfo) -> Period:
    """Return the month that it is at the moment, in the time zone."""
    return Period(moment.astimezone(zone).date().replace(day=1), zone)
