"""Answering a repeated request with what the first one made, instead of making it twice."""

import hashlib
import json
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, select

from app.database import db, utc_now
from app.domain.access import Actor
from app.domain.errors import Refusal
from app.models import RequestKey
from app.sentences import say

KEPT = timedelta(hours=24)


class KeyReused(Refusal):
    """The same key came with another request."""

    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__(say("This Idempotency-Key was used for another request. Send a new key with new content."))


@dataclass(frozen=True)
class Repeat:
    """What makes two requests the same one: the sender's key, and a hash of what they ask for."""

    key: str
    body_sha256: str

    @classmethod
    def of(cls, key: str, body: Any) -> "Repeat":
        """Return the repeat of a parsed `body` (JSON values)."""
        plain = json.dumps(body, sort_keys=True, separators=(",", ":"), default=str)
        return cls(key, hashlib.sha256(plain.encode()).hexdigest())


def answered(repeat: Repeat | None, operation: str, *, by: Actor) -> uuid.UUID | None:
    """Return the id that this request made before, inside the open transaction; None when it is new.

    Raises KeyReused when the key belongs to another request. Keys older than 24 hours are forgotten.
    """
    if repeat is None:
        return None
    mine = (
        RequestKey.organisation_id == by.organisation_id,
        RequestKey.actor == str(by.user_id),
        RequestKey.operation == operation,
        RequestKey.key == repeat.key,
    )
    found = db.session.scalar(select(RequestKey).where(*mine))
    if found is None:
        return None
    if found.created_at < utc_now() - KEPT:
        db.session.execute(delete(RequestKey).where(RequestKey.id == found.id))
        return None
    if found.body_sha256 != repeat.body_sha256:
        raise KeyReused
    return found.result_id


def remember(repeat: Repeat | None, operation: str, result_id: uuid.UUID, *, by: Actor) -> None:
    """Keep what the request made, in the transaction that makes it; the unique key stops a twin."""
    if repeat is None:
        return
    db.session.add(
        RequestKey(
            organisation_id=by.organisation_id,
            actor=str(by.user_id),
            operation=operation,
            key=repeat.key,
            body_sha256=repeat.body_sha256,
            result_id=result_id,
        )
    )
    db.session.flush()
