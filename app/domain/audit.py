"""The audit log: every act that matters, written in the transaction of the act itself."""

from typing import Any

from app.database import db
from app.domain.access import Actor
from app.models import AuditEntry


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
