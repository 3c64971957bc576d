"""Answering a repeated request with what the first one made, instead of making it twice."""

import hashlib
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, select

from app.database import db, one_transaction, utc_now
from app.domain.access import Actor
from app.domain.errors import Refusal
from app.models import RequestKey
from app.sentences import say

KEPT = timedelta(hours=24)
AT_ONCE = 500
NOTHING_YET = uuid.UUID(int=0)  # never seen by others: it is replaced in the transaction that wrote it


class KeyReused(Refusal):
    """The same key came with another request."""

    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__(say("This Idempotency-Key was used for another request. Send a new key with new content."))


@dataclass
class Repeat:
    """What makes two requests the same one: the sender's key, and what they ask for, both as SHA-256.

    The key itself is not kept, because senders choose it and may put a name into it. `again` tells afterwards whether
    the rooms found this request answered before.
    """

    key_sha256: str
    body_sha256: str
    again: bool = field(default=False, compare=False)

    @classmethod
    def of(cls, key: str, body: Any) -> "Repeat":
        """Return the repeat of a parsed `body` (JSON values)."""
        plain = json.dumps(body, sort_keys=True, separators=(",", ":"), default=str)
        return cls(_digest(key), _digest(plain))


def answered(repeat: Repeat | None, operation: str, *, by: Actor) -> uuid.UUID | None:
    """Return the id that this request made before, inside the open transaction; None when it is new.

    A new request's key is taken at once: a twin of the same instant waits for this transaction to end, and finds then
    what `remember` wrote, or nothing when it was refused. Raises KeyReused when the key belongs to another request.
    A key older than 24 hours is as good as new.
    """
    if repeat is None:
        return None
    repeat.again = False
    found = _known(repeat, operation, by)
    if found is not None and found.created_at < utc_now() - KEPT:
        db.session.execute(delete(RequestKey).where(RequestKey.id == found.id))
        found = None
    if found is None:
        db.session.add(_taken(repeat, operation, by))
        db.session.flush()
        return None
    if found.body_sha256 != repeat.body_sha256:
        raise KeyReused
    repeat.again = True
    return found.result_id


def made_before(repeat: Repeat | None, operation: str, *, by: Actor) -> uuid.UUID | None:
    """Return what `answered` would, reading only: None says nothing about a twin that is just being answered.

    For who would do much before the transaction that asks `answered`. Raises KeyReused as it does.
    """
    found = _known(repeat, operation, by) if repeat else None
    if repeat is None or found is None or found.created_at < utc_now() - KEPT:
        return None
    if found.body_sha256 != repeat.body_sha256:
        raise KeyReused
    repeat.again = True
    return found.result_id


def remember(repeat: Repeat | None, operation: str, result_id: uuid.UUID, *, by: Actor) -> None:
    """Keep what the request made beside its key, in the transaction that makes it."""
    if repeat is not None:
        _known(repeat, operation, by).result_id = result_id
        db.session.flush()


def forget(checkpoint: Callable[[], None] = lambda: None) -> int:
    """Delete the keys that are older than 24 hours, a few at a time, and return how many that were.

    `checkpoint` is passed after each run; what it raises ends the deleting, and the next one goes on.
    """
    forgotten = 0
    while some := _forget_some():
        forgotten += some
        checkpoint()
    return forgotten


@one_transaction
def _forget_some() -> int:
    old = select(RequestKey.id).where(RequestKey.created_at < utc_now() - KEPT).limit(AT_ONCE)
    gone = delete(RequestKey).where(RequestKey.id.in_(old)).execution_options(synchronize_session=False)
    return db.session.execute(gone).rowcount


def _known(repeat: Repeat, operation: str, by: Actor) -> RequestKey | None:
    mine = (
        RequestKey.organisation_id == by.organisation_id,
        RequestKey.actor == str(by.user_id),
        RequestKey.operation == operation,
        RequestKey.key == repeat.key_sha256,
    )
    return db.session.scalar(select(RequestKey).where(*mine))


def _taken(repeat: Repeat, operation: str, by: Actor) -> RequestKey:
    return RequestKey(
        organisation_id=by.organisation_id,
        actor=str(by.user_id),
        operation=operation,
        key=repeat.key_sha256,
        body_sha256=repeat.body_sha256,
        result_id=NOTHING_YET,
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
