"""Renewals: each month begins with a full quota, and nothing is carried over."""

import uuid
from datetime import datetime
from zoneinfo import ZoneInfo

from app.database import db
from app.domain import audit, quotas
from app.domain.access import Actor
from app.domain.periods import period_at
from app.models import Organisation

RENEWED = "quota.renewed"


def renew(organisation_id: uuid.UUID, now: datetime) -> bool:
    """Begin the quota of the month that it is where the organisation works, inside the open transaction.

    What is left expires and the quota of a month is granted, as it is set today. Months in which nothing ran are
    not made up for: their cards would have expired. False when the month was begun before, which the audit log
    knows by its name; so neither a clock that is set back nor another time zone begins a month twice.
    """
    locked = {"key_share": True}  # as an update locks it, so that rows which point at it can be added meanwhile
    organisation = db.session.get(Organisation, organisation_id, populate_existing=True, with_for_update=locked)
    zone = ZoneInfo(organisation.time_zone)
    period = period_at(now, zone)
    # Who was made in this month began with its quota. An organisation without a limit is granted what it lacks with
    # each order instead: taking what is left from it and giving it a number of cards would both say nothing.
    if organisation.unlimited or period_at(organisation.created_at, zone).name >= period.name:
        return False
    left, granted = organisation.balance, organisation.monthly_quota
    if not audit.note_once(Actor.portal(organisation_id), RENEWED, period.name, expired=left, granted=granted):
        return False
    quotas.begin_month(organisation_id, period, left, granted)
    return True
