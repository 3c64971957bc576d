"""The quota: how many cards an organisation may still make this month, and what moves that number.

Every movement is one row of the ledger and one guarded change of the balance in the same transaction. What they come
to is read in `standings.py` and `ledgers.py`; when a month begins anew is decided in `renewals.py`.
"""

import uuid
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError

from app.database import db, one_transaction, utc_now
from app.domain import audit
from app.domain.access import Actor
from app.domain.errors import Invalid, QuotaExceeded
from app.domain.periods import Period, period_at
from app.domain.standings import Standing, standing_of
from app.models import LedgerEntry, LedgerKind, Organisation
from app.sentences import N_, Sentence, say, say_n

LARGEST_GRANT = 100_000_000
TICK = timedelta(microseconds=1)

# Reasons that the portal gives itself; a person's own words are kept as they were typed.
OF_THE_MONTH = N_("Cards of the month")
NOT_USED = N_("Cards of the month before that were not used")
NO_LIMIT = N_("No limit")
ORDERED = N_("Cards ordered")


class AlreadyCounted(RuntimeError):
    """This cause has moved the balance before; a mistake in the code, never the person's. Nothing was moved."""


@one_transaction
def grant(organisation_id: uuid.UUID, cards: int, reason: str, *, by: Actor, key: str | None = None) -> int:
    """Give the organisation `cards` more for this month and return its new balance; a `key` grants once only."""
    if not 1 <= cards <= LARGEST_GRANT:
        raise Invalid({"cards": say("Grant between 1 and %(most)s cards.", most=LARGEST_GRANT)})
    _refuse_without(reason)
    entry = add_grant(organisation_id, cards, reason, key=key, by=by.user_id)
    audit.note(by, "quota.granted", "organisation", organisation_id, cards=cards)
    return entry.balance_after


@one_transaction
def correct(organisation_id: uuid.UUID, cards: int, reason: str, *, by: Actor) -> int:
    """Put a mistake right: add `cards`, or take them when negative, and return the new balance.

    Raises Invalid, with a sentence for `cards`, when more would be taken than are left.
    """
    if not 1 <= abs(cards) <= LARGEST_GRANT:
        raise Invalid({"cards": say("Correct by 1 to %(most)s cards, up or down.", most=LARGEST_GRANT)})
    _refuse_without(reason)
    try:
        entry = _move(
            organisation_id, LedgerKind.correction, cards, reason, f"correction:{uuid.uuid4()}", by=by.user_id
        )
    except QuotaExceeded as refusal:
        raise Invalid({"cards": _too_few(refusal.left)}) from None
    audit.note(by, "quota.corrected", "organisation", organisation_id, cards=cards)
    return entry.balance_after


@one_transaction
def set_monthly(organisation_id: uuid.UUID, cards: int, *, by: Actor) -> Standing:
    """Grant `cards` at the beginning of each month from the next one on; the present month keeps what it has."""
    if not 0 <= cards <= LARGEST_GRANT:
        raise Invalid({"cards": say("Grant between 0 and %(most)s cards.", most=LARGEST_GRANT)})
    db.session.execute(update(Organisation).where(Organisation.id == organisation_id).values(monthly_quota=cards))
    audit.note(by, "quota.monthly_set", "organisation", organisation_id, cards=cards)
    return standing_of(organisation_id)


def add_grant(
    organisation_id: uuid.UUID,
    cards: int,
    reason: str,
    *,
    key: str | None = None,
    by: uuid.UUID | None = None,
) -> LedgerEntry:
    """Grant inside the open transaction."""
    return _move(organisation_id, LedgerKind.grant, cards, reason, key or f"grant:{uuid.uuid4()}", by=by)


def begin_first_month(organisation: Organisation) -> None:
    """Grant an organisation that was just made the cards of its first month, inside the open transaction."""
    period = period_at(utc_now(), ZoneInfo(organisation.time_zone))
    begin_month(organisation.id, period, 0, organisation.monthly_quota)


def begin_month(organisation_id: uuid.UUID, period: Period, left: int, granted: int) -> None:
    """Let what is `left` expire and grant the month's cards, inside the open transaction that has read `left`."""
    named = f"month:{period.name}:{organisation_id}"
    if left:
        _move(organisation_id, LedgerKind.expiry, -left, NOT_USED, f"expiry:{named}")
    if granted:
        add_grant(organisation_id, granted, OF_THE_MONTH, key=f"grant:{named}")


def reserve(organisation_id: uuid.UUID, job_id: uuid.UUID, cards: int, *, by: uuid.UUID | None = None) -> None:
    """Take `cards` for a job that `by` ordered, inside the open transaction; QuotaExceeded when there are too few left.

    An organisation without a limit is granted what it lacks first, so that its ledger balances like any other.
    When few cards are left then, or none, the audit log says so once a month.
    """
    if not cards:
        return
    organisation = db.session.get(Organisation, organisation_id, populate_existing=True)
    if organisation.unlimited and organisation.balance < cards:
        add_grant(organisation_id, cards, NO_LIMIT, key=f"grant:{job_id}")
    _move(organisation_id, LedgerKind.debit, -cards, ORDERED, f"debit:{job_id}", job_id=job_id, by=by)
    _note_level(organisation_id)


def refund(organisation_id: uuid.UUID, job_id: uuid.UUID, cards: int, reason: str, cause: str) -> None:
    """Give the present month back what a job could not use, inside the open transaction.

    A `cause` refunds once; AlreadyCounted, and nothing moved, when it comes again.
    """
    if cards:
        _move(organisation_id, LedgerKind.refund, cards, reason, f"refund:{job_id}:{cause}", job_id=job_id)


def balance(organisation_id: uuid.UUID) -> int:
    """Return how many cards the organisation may still make."""
    return db.session.scalar(select(Organisation.balance).where(Organisation.id == organisation_id)) or 0


def unlimited(organisation_id: uuid.UUID) -> bool:
    """Return whether the organisation makes as many cards as it likes."""
    return bool(db.session.scalar(select(Organisation.unlimited).where(Organisation.id == organisation_id)))


def _note_level(organisation_id: uuid.UUID) -> None:
    now = standing_of(organisation_id)
    if now.low:
        by = Actor.portal(organisation_id)
        audit.note_once(by, f"quota.{now.level}", now.period.name, used=now.used, total=now.total)


def _refuse_without(reason: str) -> None:
    if not reason.strip():
        raise Invalid({"reason": say("Say why, so that the ledger can be read later.")})


def _too_few(left: int) -> Sentence:
    return say_n(
        "Only %(n)s card is left, so no more can be taken.", "Only %(n)s cards are left, so no more can be taken.", left
    )


def _move(
    organisation_id: uuid.UUID,
    kind: LedgerKind,
    amount: int,
    reason: str,
    key: str,
    *,
    job_id: uuid.UUID | None = None,
    by: uuid.UUID | None = None,
) -> LedgerEntry:
    """Move the balance and write why, both or neither; raises QuotaExceeded, and AlreadyCounted for a known key."""
    entry = LedgerEntry(
        organisation_id=organisation_id, kind=kind, amount=amount, reason=reason, key=key, job_id=job_id, made_by=by
    )
    try:
        with db.session.begin_nested():
            entry.balance_after = _moved(organisation_id, amount)
            entry.created_at = _next_moment(organisation_id)
            db.session.add(entry)
    except IntegrityError:
        if _is_written(organisation_id, key):
            raise AlreadyCounted(f"{key} has moved the balance before.") from None
        raise
    return entry


def _moved(organisation_id: uuid.UUID, amount: int) -> int:
    after = db.session.scalar(
        update(Organisation)
        .where(Organisation.id == organisation_id, Organisation.balance + amount >= 0)
        .values(balance=Organisation.balance + amount)
        .returning(Organisation.balance)
        .execution_options(synchronize_session=False)
    )
    if after is None:
        raise QuotaExceeded(asked=-amount, left=balance(organisation_id))
    return after


def _next_moment(organisation_id: uuid.UUID) -> datetime:
    """Return now, or just after the last movement when the clock was set back; the balance's row is locked already.

    So the rows by time are the rows in the order in which they moved the balance.
    """
    last = db.session.scalar(
        select(func.max(LedgerEntry.created_at)).where(LedgerEntry.organisation_id == organisation_id)
    )
    now = utc_now()
    return now if last is None or last < now else last + TICK


def _is_written(organisation_id: uuid.UUID, key: str) -> bool:
    mine = (LedgerEntry.organisation_id == organisation_id, LedgerEntry.key == key)
    return db.session.scalar(select(LedgerEntry.id).where(*mine)) is not None
