"""Reaping: work whose holder was lost goes back to its place in the queue, also that of a job that is paused.

Whoever claims looks for such work too; but nobody claims for a paused job, nor where no worker lives. How often it
happened is kept, for the health page.
"""

import json
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, or_, select, update

from app.database import added_first, db, one_transaction, utc_now
from app.domain import leases
from app.domain.leases import RELEASED
from app.models import Chunk, ChunkState, ImportBatch, InstallationFact, Job
from app.models.base import Leased

FACT = "reaped"


@dataclass(frozen=True)
class Reaped:
    """How many pieces of work were taken from lost holders: the last time, when that was, and in all."""

    at: datetime
    last: int
    total: int


def reap() -> int:
    """Put back what nobody holds any more and return how many pieces of work that were.

    Their attempts are counted already. What has rested long enough goes back with the rest, but was not lost.
    """
    if not any(db.session.execute(select(1).where(lost).limit(1)).first() for _table, lost, _values in _kinds()):
        return 0
    return _put_back()


def last_reaped() -> Reaped | None:
    """Return what was put back the last time; None when that never happened."""
    value = db.session.scalar(select(InstallationFact.value).where(InstallationFact.name == FACT))
    if not value:
        return None
    plain = json.loads(value)
    return Reaped(datetime.fromisoformat(plain["at"]), plain["last"], plain["total"])


@one_transaction
def _put_back() -> int:
    """A holder that comes back finds its fence gone, and stops; a heartbeat in this moment wins or loses whole."""
    _lock_jobs()
    lost = rested = 0
    for table, over, values in _kinds():
        back = update(table).values(**values, **RELEASED).execution_options(synchronize_session=False)
        rested += db.session.execute(back.where(over, table.lease_owner.is_(None))).rowcount
        lost += db.session.execute(back.where(over)).rowcount
    if lost:
        _remember(lost)
    return lost + rested


def _lock_jobs() -> None:
    """Lock the jobs of all that goes back first, in order, as whoever changes a job and its chunks does."""
    (_, job_over, _), (_, chunk_over, _), _ = _kinds()
    theirs = Job.id.in_(select(Chunk.job_id).where(chunk_over))
    locked = select(Job.id).where(or_(job_over, theirs)).order_by(Job.id).with_for_update(key_share=True)
    db.session.scalars(locked).all()


def _kinds() -> list[tuple[type[Leased], ColumnElement[bool], dict[str, str]]]:
    """Return each table of leased work, the condition that a row's lease is over, and what it is then again.

    In the order in which rows are locked everywhere: jobs before chunks.
    """
    job, batch = (and_(table.lease_fence.is_not(None), leases.free(table)) for table in (Job, ImportBatch))
    claimed = and_(Chunk.state == ChunkState.claimed, leases.free(Chunk))
    return [(Job, job, {}), (Chunk, claimed, {"state": ChunkState.waiting}), (ImportBatch, batch, {})]


def _remember(count: int) -> None:
    """Two workers that reap in the same moment may count one of them only; harmless, it is told to people."""
    before = last_reaped()
    told = {"at": utc_now().isoformat(), "last": count, "total": count + (before.total if before else 0)}
    kept = update(InstallationFact).where(InstallationFact.name == FACT).values(value=json.dumps(told))
    if not db.session.execute(kept.execution_options(synchronize_session=False)).rowcount:
        added_first(InstallationFact(name=FACT, value=json.dumps(told)))
