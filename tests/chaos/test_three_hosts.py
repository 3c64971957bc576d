"""Three hosts share PostgreSQL, Redis and a bucket; one dies and one is frozen: nothing is lost, nothing done twice."""

import hashlib
import json
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import psutil
import pytest
from sqlalchemy import select

from app.database import db
from app.domain import invariants, jobs, keys, packaging, quotas
from app.domain.orders import StartOrder
from app.models import Chunk, ChunkState, Job, JobState
from app.settings import Settings
from tests.buckets import Bucket, free_port, make_bucket
from tests.cast import make_campaign
from tests.chaos.hosts import Host, host, wait_until


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of an S3 server in a process of its own."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: _listens(port), "the S3 server answers")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def bucket(server: str, monkeypatch) -> Bucket:
    """A fresh bucket, also for this process."""
    made = make_bucket(server)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    return made


@pytest.fixture
def settings(settings: Settings, bucket: Bucket) -> Settings:
    """The installation that the hosts share."""
    return replace(settings, files_url=bucket.url)


@pytest.mark.grown
def test_jobs_survive_the_death_of_one_host_and_the_sleep_of_another(cast, settings, tmp_path):
    orders = ((cast.owner, 14), (cast.stranger, 9), (cast.owner, 6))
    ids = [jobs.start(make_campaign(by, people=cards), StartOrder(), by=by).id for by, cards in orders]
    accounts = [(cast.organisation.id, 20), (cast.abroad.id, 9)]
    db.session.remove()

    with ExitStack() as running:
        hosts = [running.enter_context(host(settings, tmp_path / name)) for name in ("a", "b", "c")]
        frozen = _holder_of_a_chunk(hosts)
        frozen.send_signal(signal.SIGSTOP)
        others = [one for one in hosts if frozen.pid not in _pids(one)]
        _die(_host_of(others, _holder_of_a_chunk(others)))
        wait_until(lambda: not _holds(frozen.pid), "what the frozen worker held belongs to another")
        frozen.send_signal(signal.SIGCONT)
        wait_until(lambda: all(_finished(job_id) for job_id in ids), "all jobs have ended")
        told = "".join(one.log.read_text() for one in hosts)

    assert "IntegrityError" not in told
    for job_id, (_, cards) in zip(ids, orders, strict=True):
        job = db.session.get(Job, job_id)
        assert (job.state, job.cards_generated) == (JobState.completed, cards), told[-4_000:]
        assert _members(job) == cards * _sides(job)
    assert [quotas.balance(organisation) for organisation, _ in accounts] == [10_000 - n for _, n in accounts]
    assert list(invariants.breaches()) == []


@pytest.mark.grown
def test_a_host_with_a_secret_of_its_own_is_refused(cast, settings, tmp_path):
    """Its cards would carry signatures that no other host knows how to make, if it could make them at all."""
    keys_made = jobs.start(make_campaign(cast.owner, people=1), StartOrder(), by=cast.owner).key_id
    assert keys.public_key(keys_made)
    db.session.remove()
    strange = replace(settings, secret=b"another secret that a host has made for itself")
    for production in (False, True):
        with host(strange, tmp_path / f"d{production}", production=production) as other:
            assert other.supervisor.wait(60) == 1
        assert f"does not open signing key {keys_made}. Restore the secret." in other.log.read_text()


def _holder_of_a_chunk(hosts: list[Host]) -> psutil.Process:
    """Return a worker of one of the hosts that holds a chunk just now."""
    found: list[psutil.Process] = []

    def someone_holds() -> bool:
        found[:] = [process for one in hosts for process in one.workers() if _holds(process.pid)]
        return bool(found)

    wait_until(someone_holds, "a worker holds a chunk")
    return found[0]


def _holds(pid: int) -> bool:
    db.session.remove()
    owners = db.session.scalars(select(Chunk.lease_owner).where(Chunk.state == ChunkState.claimed))
    return any(owner.endswith(f":{pid}") for owner in owners)


def _host_of(hosts: list[Host], worker: psutil.Process) -> Host:
    return next(one for one in hosts if worker.pid in _pids(one))


def _pids(one: Host) -> list[int]:
    return [process.pid for process in one.workers()]


def _die(one: Host) -> None:
    """Let the machine go off: supervisor and worker at once, without a word."""
    for process in (*one.workers(), one.supervisor):
        process.send_signal(signal.SIGKILL)
    one.supervisor.wait()


def _finished(job_id) -> bool:
    db.session.remove()
    return db.session.get(Job, job_id).finished


def _members(job: Job) -> int:
    """Return how many pictures the job's ZIP holds, after comparing each with the manifest's SHA-256."""
    with packaging.open_artifact(packaging.artifact_of(job, "manifest")) as stream:
        manifest = json.loads(stream.read())
    listed = {file["name"]: file["sha256"] for card in manifest["cards"] for file in card["files"]}
    with packaging.open_artifact(packaging.artifact_of(job, "zip")) as stream, zipfile.ZipFile(stream) as archive:
        held = {name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()}
    assert held == listed
    return len(held)


def _sides(job: Job) -> int:
    with packaging.open_artifact(packaging.artifact_of(job, "manifest")) as stream:
        return len(json.loads(stream.read())["cards"][0]["files"])


def _listens(port: int) -> bool:
    return any(
        connection.laddr.port == port and connection.status == psutil.CONN_LISTEN
        for connection in psutil.net_connections("tcp")
    )
