"""The audit log: every act that matters, written in the transaction of the act itself."""

from typing import Any

from app.database import added_first, db
from app.domain.access import Actor
from app.models import QUOTA_PERIOD, AuditEntry


def note(by: Actor, action: str, subject_type: str, subject_id: object, **facts: Any) -> None:
    """Add one entry to the open transaction. `facts` are counts, ids and settings; never a name or a phone."""
    db.session.add(
        AuditEntry(
            organisation_id=by.organisation_id,
            actor_id=by.user_id,
            actor_name=by.name,
            action=action,
            subject_type=subject_type,
            subject_id=str(subject_id),
            facts=facts,
        )
    )


def note_once(by: Actor, action: str, period: str, **facts: Any) -> bool:
    """Add the entry that tells of a month of the quota, named like `2026-12`; False when it was told before.

    A unique index of the table sees to it, whatever meets whom.
    """
    return added_first(
        AuditEntry(
            organisation_id=by.organisation_id,
            actor_id=by.user_id,
            actor_name=by.name,
            action=action,
            subject_type=QUOTA_PERIOD,
            subject_id=period,
            facts=facts,
        )
    )
