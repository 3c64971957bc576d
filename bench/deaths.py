"""Deaths: what a killed or frozen worker held, and how long it lay until another took it up.

Only looks, at the lease columns, a few times a second; the portal knows nothing of it.
"""

import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, select

from app.models import Chunk, ChunkState, Job, JobState

LOOK_EVERY = 0.1  # seconds, the precision of what is measured here


@dataclass(frozen=True)
class Held:
    """A piece of work in somebody's hand: a chunk, or (without a number) a job's packaging."""

    job_id: uuid.UUID
    number: int | None
    pid: int
    fence: uuid.UUID


@dataclass
class Orphan:
    """Work whose holder is dead or frozen since a moment of the monotonic clock."""

    work: Held
    since: float
    killed: bool
    waited: bool = False  # for a person: its job was paused meanwhile


class Deaths:
    """Follows the work of dead and frozen workers until somebody else has it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.took_up: list[float] = []  # seconds from a death to the next claim, where no person's pause came between
        self.resumed = 0  # pieces taken up after a death
        self.outrun = 0  # pieces taken from a frozen worker
        self._orphans: list[Orphan] = []
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep_looking, daemon=True)

    def __enter__(self) -> "Deaths":
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        looked_to_the_end = self._thread.is_alive()
        self._done.set()
        self._thread.join()
        if kind is None and not looked_to_the_end:
            raise RuntimeError("The leases were not looked at to the end: what stopped it stands above.")

    def held(self) -> list[Held]:
        """Return all work in somebody's hand, also in that of the dead."""
        with self.engine.connect() as connection:
            return list(_held(connection))

    def died(self, pid: int, *, since: float, killed: bool = True) -> int:
        """Follow what the process held when it died (or froze); return how many pieces that are."""
        left = [Orphan(work, since, killed) for work in self.held() if work.pid == pid]
        with self._lock:
            self._orphans += left
        return len(left)

    def _keep_looking(self) -> None:
        while not self._done.wait(LOOK_EVERY):
            with self._lock:
                orphans = list(self._orphans)
            if orphans:
                with self.engine.connect() as connection:
                    settled = [orphan for orphan in orphans if self._has_changed(connection, orphan)]
                with self._lock:
                    self._orphans = [orphan for orphan in self._orphans if orphan not in settled]

    def _has_changed(self, connection: Connection, orphan: Orphan) -> bool:
        """Note what became of it; False while it still lies there."""
        fence, state, job_state = _now(connection, orphan.work)
        if fence == orphan.work.fence:
            orphan.waited = orphan.waited or job_state == JobState.paused
            return False
        if state == ChunkState.void:
            return True  # cancelled: nobody needs it any more
        if orphan.killed:
            self.resumed += 1
            if not orphan.waited:
                self.took_up.append(time.monotonic() - orphan.since)
        elif fence is not None:
            self.outrun += 1
        return True


def _held(connection: Connection) -> Iterator[Held]:
    chunks = select(Chunk.job_id, Chunk.number, Chunk.lease_owner, Chunk.lease_fence)
    for job_id, number, owner, fence in connection.execute(chunks.where(Chunk.state == ChunkState.claimed)):
        yield Held(job_id, number, _pid(owner), fence)
    jobs = select(Job.id, Job.lease_owner, Job.lease_fence).where(Job.lease_fence.is_not(None))
    for job_id, owner, fence in connection.execute(jobs):
        yield Held(job_id, None, _pid(owner), fence)


def _now(connection: Connection, work: Held) -> tuple[Any, Any, Any]:
    """Return the fence and the state of the work, and the state of its job."""
    if work.number is None:
        fence, state = connection.execute(select(Job.lease_fence, Job.state).where(Job.id == work.job_id)).one()
        return fence, state, state
    wanted = select(Chunk.lease_fence, Chunk.state, Job.state).join(Job, Job.id == Chunk.job_id)
    return tuple(connection.execute(wanted.where(Chunk.job_id == work.job_id, Chunk.number == work.number)).one())


def _pid(owner: str) -> int:
    """Return the process id at the end of a lease owner's name."""
    return int(owner.rsplit(":", 1)[1])
