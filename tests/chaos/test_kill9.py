"""A portal's processes are killed with -9 at their work: every job ends, nothing is made or charged twice.

How they are killed, and what is compared afterwards, is `fieldcard bench chaos`.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import select

from app.database import db
from app.domain import jobs
from app.domain.orders import StartOrder
from app.models import Chunk, ChunkState, Job
from app.settings import ROOT, Settings
from tests.cast import make_campaign
from tests.conftest import POSTGRESQL

PATIENCE_SECONDS = 240


@pytest.mark.both
@pytest.mark.timeout(900)  # a minute, where nobody else works on the machine
def test_a_portal_survives_twenty_deaths(engine, settings):
    survive(engine, settings, kills=20, seed=7)


@pytest.mark.both
@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_portal_survives_many_deaths(engine, settings):
    survive(engine, settings, kills=60, seed=11)


def survive(engine: str, settings: Settings, *, kills: int, seed: int) -> None:
    """Let `fieldcard bench chaos` kill that many workers; it ends with 1 when anything at all is wrong."""
    command = [sys.executable, "-m", "app.cli", "bench", "chaos", f"--engine={engine}", f"--kills={kills}"]
    if engine == "postgresql":
        empty_redis(settings.queue_url)
        command += [f"--database-url={POSTGRESQL}", f"--queue-url={settings.queue_url}"]
    ran = subprocess.run([*command, f"--seed={seed}"], cwd=ROOT, capture_output=True, text=True)
    told = {label.strip(): value.strip() for label, value in re.findall(r"^\| (.*?) \| (.*?) \|$", ran.stdout, re.M)}

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert told["violations"] == "0"
    assert int(told["workers killed with -9"]) >= kills
    assert int(told["pieces of work taken up after a death"]) > 0, ran.stdout


def test_a_stopped_worker_hands_back_what_it_holds_and_that_is_no_attempt(cast, settings):
    job_id = jobs.start(make_campaign(cast.owner, people=60), StartOrder(), by=cast.owner).id
    db.session.remove()
    worker = subprocess.Popen(
        [sys.executable, "-m", "app.worker", "fieldcard-worker-1"], cwd=ROOT, env=environment(settings, lease=60.0)
    )
    try:
        wait_until(lambda: drawn(job_id) > 0, "cards are drawn")
        worker.terminate()
        assert worker.wait(PATIENCE_SECONDS) == 0
    finally:
        worker.kill()

    db.session.remove()  # what was read above is of an earlier moment
    open_chunks = select(Chunk.state, Chunk.attempts, Chunk.lease_fence).where(Chunk.state != ChunkState.settled)
    assert set(map(tuple, db.session.execute(open_chunks))) == {(ChunkState.waiting, 0, None)}


def empty_redis(url: str) -> None:
    """Empty the Redis database of this test process of what earlier tests have left in it."""
    import redis

    redis.Redis.from_url(url).flushdb()


@contextmanager
def workers(settings: Settings, log: Path) -> Iterator[subprocess.Popen]:
    """Run two supervised workers on the test's installation until the block ends."""
    with log.open("a") as out:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "app.cli", "serve", "--worker", "2"],
            cwd=ROOT,
            env=environment(settings, lease=2.0),
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            yield supervisor
        finally:
            supervisor.terminate()
            supervisor.wait(40)


def environment(settings: Settings, *, lease: float) -> dict[str, str]:
    """Return the environment of a process on the test's installation, whose leases last so many seconds."""
    return os.environ | {
        "FIELDCARD_HOME": str(settings.home),
        "FIELDCARD_SECRET": settings.secret.decode(),
        "DATABASE_URL": settings.database_url,
        "QUEUE_URL": settings.queue_url,
        "FIELDCARD_WORKERS": "2",
        "FIELDCARD_LEASE_SECONDS": str(lease),
        "FIELDCARD_REAP_SECONDS": "0.5",
    }


def wait_until(true, what: str) -> None:
    """Wait for something that must come; fail with its name when it does not."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < deadline, f"Waited in vain until {what}."
        time.sleep(0.2)


def finished(job_id) -> bool:
    """Whether the job has ended, read afresh."""
    db.session.remove()
    return db.session.get(Job, job_id).finished


def drawn(job_id) -> int:
    """How many cards are drawn, read afresh."""
    db.session.remove()
    return db.session.get(Job, job_id).cards_drawn
