"""Workers are killed with -9 in the middle of jobs: every job ends, nothing is made or charged twice."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from sqlalchemy import func, select

from app.database import db
from app.domain import invariants, jobs, quotas
from app.domain.orders import StartOrder
from app.models import Card, Job, JobState
from app.settings import ROOT, Settings
from tests.cast import make_campaign

PATIENCE_SECONDS = 240


@pytest.mark.both
def test_jobs_survive_the_death_of_their_workers(cast, settings, tmp_path):
    survive(cast, settings, tmp_path / "log", kills=5, cards=30, seed=7)


@pytest.mark.both
@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [11, 12])
def test_jobs_survive_many_deaths(cast, settings, tmp_path, seed):
    survive(cast, settings, tmp_path / "log", kills=30, cards=200, seed=seed)


def survive(cast, settings: Settings, log: Path, *, kills: int, cards: int, seed: int) -> None:
    """Kill workers while two organisations' jobs run; at the end everything is there, once, and paid for once."""
    chance = random.Random(seed)
    ours = jobs.start(make_campaign(cast.owner, people=cards), StartOrder(), by=cast.owner)
    ours, theirs = ours.id, jobs.start(make_campaign(cast.stranger, people=cards), StartOrder(), by=cast.stranger).id
    organisations = (cast.organisation.id, cast.abroad.id)
    db.session.remove()

    with workers(settings, log) as supervisor:
        for _ in range(kills):
            wait_until(lambda: list(worker_processes(supervisor)), "a worker runs")
            time.sleep(chance.uniform(0.5, 2.5))
            for process in list(worker_processes(supervisor))[: chance.choice((1, 2))]:
                process.send_signal(signal.SIGKILL)
        wait_until(lambda: finished(ours) and finished(theirs), "both jobs have ended")

    told = log.read_text()
    assert told.count("ended with signal 9") >= kills - 1
    assert "IntegrityError" not in told
    for job_id in (ours, theirs):
        job = db.session.get(Job, job_id)
        assert (job.state, job.cards_generated) == (JobState.completed, cards)
    assert db.session.scalar(select(func.count()).select_from(Card)) == 2 * cards
    assert [quotas.balance(organisation) for organisation in organisations] == [10_000 - cards] * 2
    assert list(invariants.breaches()) == []


def test_a_killed_worker_is_replaced_and_a_stopped_one_hands_back(cast, settings, tmp_path):
    job_id = jobs.start(make_campaign(cast.owner, people=10), StartOrder(), by=cast.owner).id
    db.session.remove()
    with workers(settings, tmp_path / "log") as supervisor:
        wait_until(lambda: drawn(job_id) > 0, "cards are drawn")
    assert not psutil.pid_exists(supervisor.pid)
    with workers(settings, tmp_path / "log"):
        wait_until(lambda: finished(job_id), "the job has ended")
    assert list(invariants.breaches()) == []


@contextmanager
def workers(settings: Settings, log: Path) -> Iterator[subprocess.Popen]:
    """Run two supervised workers on the test's installation until the block ends."""
    environment = os.environ | {
        "FIELDCARD_HOME": str(settings.home),
        "FIELDCARD_SECRET": settings.secret.decode(),
        "DATABASE_URL": settings.database_url,
        "QUEUE_URL": settings.queue_url,
        "FIELDCARD_WORKERS": "2",
        "FIELDCARD_LEASE_SECONDS": "2",
        "FIELDCARD_REAP_SECONDS": "0.5",
    }
    with log.open("a") as out:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "app.cli", "serve", "--worker", "2"],
            cwd=ROOT,
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            yield supervisor
        finally:
            supervisor.terminate()
            supervisor.wait(40)


def worker_processes(supervisor: subprocess.Popen) -> Iterator[psutil.Process]:
    """Yield the supervisor's workers, known by their command line."""
    for process in psutil.Process(supervisor.pid).children():
        with suppress(psutil.NoSuchProcess):  # it may die, of our own hand, while we look
            if any("fieldcard-worker" in word for word in process.cmdline()):
                yield process


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
