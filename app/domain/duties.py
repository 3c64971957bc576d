"""Duties: what the installation does by the clock, once however many workers there are.

A row says when a duty is due next. A Booking and its next moment are one commit, so a worker that dies has done
nothing; a Chore takes its time under a lease, may be done again from the start, and moves on under its fence.
What the duties do is in their own rooms; here is when, for whom, and by whom.
"""

import logging
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, select, update

from app.database import added_first, db, one_transaction, utc_now
from app.domain import erasure, health, keeping, leases, renewals, repeats, sweeping
from app.domain.leases import RELEASED, Checkpoint, Holder, LeaseLost
from app.domain.periods import period_at
from app.domain.workshop import Stopping, kept
from app.models import Duty, Organisation

log = logging.getLogger(__name__)
Rhythm = Callable[[datetime, tzinfo], datetime]
QUIET_HOUR = 2


@dataclass(frozen=True)
class Booking:
    """A short duty towards each organisation, by its own time: `do(organisation, now)` inside the open transaction.

    It must be keyed by its period, so that a clock that is set back repeats nothing.
    """

    name: str
    rhythm: Rhythm
    do: Callable[[uuid.UUID, datetime], object]


@dataclass(frozen=True)
class Chore:
    """A duty of the installation that takes its time: `do(checkpoint)`, outside any transaction.

    It passes the checkpoint at each step, which keeps its lease, and lets what the checkpoint raises fly.
    """

    name: str
    rhythm: Rhythm
    do: Callable[[Checkpoint], object]


@dataclass(frozen=True)
class Scope:
    """For whom a duty is done, as its row says it: an organisation, or the installation, whose name is empty."""

    name: str
    zone: tzinfo
    since: datetime


def hourly(after: datetime, _zone: tzinfo) -> datetime:
    """Return the beginning of the next hour."""
    return after.astimezone(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)


def nightly(after: datetime, zone: tzinfo) -> datetime:
    """Return the next quiet hour."""
    local = after.astimezone(zone)
    today = local.replace(hour=QUIET_HOUR, minute=0, second=0, microsecond=0, fold=0)
    due = today if local < today else today + timedelta(days=1)
    return due.astimezone(UTC)


def monthly(after: datetime, zone: tzinfo) -> datetime:
    """Return the next local midnight with which a month begins."""
    return period_at(after, zone).following.begins


DUTIES: tuple[Booking | Chore, ...] = (
    Booking("renew quota", monthly, renewals.renew),
    Chore("sweep", hourly, sweeping.sweep),
    Chore("remove what is not kept", nightly, keeping.remove_outdated),
    Chore("check up", nightly, health.check_up),
    Chore("forget request keys", hourly, repeats.forget),
    Chore("finish erasures", nightly, erasure.finish),
)


def do_due(owner: str, *, stopping: Callable[[], bool]) -> int:
    """Do what is due now and return how many duties that were; `owner` holds the leases of the longer ones.

    May take an hour. A duty that fails is logged and tried again, and keeps none of the others waiting.
    """
    return _do(DUTIES, owner, stopping)


def book_due(*, stopping: Callable[[], bool]) -> int:
    """Do the bookings that are due now and return how many those were.

    Quick, and for another thread than the chores': where one worker is all there is, midnight may fall into a chore.
    """
    return _do([duty for duty in DUTIES if isinstance(duty, Booking)], "", stopping)


def _do(some: Sequence[Booking | Chore], owner: str, stopping: Callable[[], bool]) -> int:
    done = 0
    rows = db.session.execute(select(Duty.name, Duty.scope, Duty.next_due))
    planned = {(row.name, row.scope): row.next_due for row in rows}
    for duty in some:
        for scope in _scopes(duty):
            if stopping():
                return done
            try:
                done += _do_if_due(duty, scope, planned.get((duty.name, scope.name)), owner, stopping)
            except Exception:
                db.session.rollback()
                log.warning("The duty “%s” failed; it will be tried again.", duty.name, exc_info=True)
    return done


def _scopes(duty: Booking | Chore) -> list[Scope]:
    if isinstance(duty, Chore):
        return [Scope("", UTC, utc_now())]
    rows = db.session.execute(select(Organisation.id, Organisation.time_zone, Organisation.created_at))
    return [Scope(str(row.id), ZoneInfo(row.time_zone), row.created_at) for row in rows]


def _do_if_due(
    duty: Booking | Chore, scope: Scope, due: datetime | None, owner: str, stopping: Callable[[], bool]
) -> bool:
    now = utc_now()
    if due is None:
        due = _begin(duty, scope)
    if due > now:
        _bring_forward(duty, scope, due, now)
        return False
    if isinstance(duty, Booking):
        return _book(duty, scope, due, now)
    holder = _claim(duty, scope, due, owner)
    return holder is not None and _work_at(duty, scope, holder, stopping)


@one_transaction
def _begin(duty: Booking | Chore, scope: Scope) -> datetime:
    """Write the duty's row and return when it is first due: after days without it, that is in the past."""
    first = duty.rhythm(scope.since, scope.zone)
    added_first(Duty(name=duty.name, scope=scope.name, next_due=first))
    return first


def _bring_forward(duty: Booking | Chore, scope: Scope, due: datetime, now: datetime) -> None:
    """See to it that the duty is due no later than clock and time zone of today say.

    Later is what was written when the clock was ahead, or when the organisation had another time zone.
    """
    if due > (sooner := duty.rhythm(now, scope.zone)):
        _move(duty, scope, due, sooner)


@one_transaction
def _move(duty: Booking | Chore, scope: Scope, due: datetime, to: datetime) -> None:
    _change(duty, scope, Duty.next_due == due, next_due=to)


@one_transaction
def _book(duty: Booking, scope: Scope, due: datetime, now: datetime) -> bool:
    """Do the duty and move it on, in one commit; False when another worker was faster."""
    ours = _change(duty, scope, Duty.next_due == due, next_due=duty.rhythm(now, scope.zone))
    if ours:
        duty.do(uuid.UUID(scope.name), now)
    return ours


@one_transaction
def _claim(duty: Chore, scope: Scope, due: datetime, owner: str) -> Holder | None:
    values = leases.taken(owner)
    if not _change(duty, scope, Duty.next_due == due, leases.free(Duty), **values):
        return None
    return Holder(Duty, _row(duty, scope), values["lease_fence"])


def _work_at(duty: Chore, scope: Scope, holder: Holder, stopping: Callable[[], bool]) -> bool:
    """Do the chore and move it on; one that fails rests until its lease is over."""
    try:
        with kept(holder, stopping) as checkpoint:
            duty.do(checkpoint)
    except LeaseLost:
        return False
    except Stopping:
        _give_back(duty, scope, holder)
        return False
    return _finish(duty, scope, holder)


@one_transaction
def _finish(duty: Chore, scope: Scope, holder: Holder) -> bool:
    following = duty.rhythm(utc_now(), scope.zone)
    return _change(duty, scope, Duty.lease_fence == holder.fence, next_due=following, **RELEASED)


@one_transaction
def _give_back(duty: Chore, scope: Scope, holder: Holder) -> None:
    _change(duty, scope, Duty.lease_fence == holder.fence, **RELEASED)


def _change(duty: Booking | Chore, scope: Scope, *still: ColumnElement[bool], **values: object) -> bool:
    """Change the row if it is `still` so; return whether it was."""
    changed = db.session.execute(
        update(Duty).where(*_row(duty, scope), *still).values(**values).execution_options(synchronize_session=False)
    )
    return changed.rowcount == 1


def _row(duty: Booking | Chore, scope: Scope) -> tuple[ColumnElement[bool], ...]:
    return Duty.name == duty.name, Duty.scope == scope.name
