"""The supervisor with small stand-ins for the web server and the workers; real processes, real signals."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from app.children import Child
from app.settings import ROOT, Settings
from app.supervisor import Plan, plan_for, supervise

WORKER = """
import os, sys, time
with open(sys.argv[1], "a") as births:
    births.write(f"{os.getpid()}\\n")
time.sleep(600)
"""
WEB = """
import http.server, sys
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + WORKER
SUPERVISOR = """
import json, sys
from pathlib import Path
from app import supervisor
plan = json.loads(sys.argv[1])
sys.exit(supervisor.supervise(supervisor.Plan(**plan | {"home": Path(plan["home"])})))
"""
NOTHING = [sys.executable, "-c", ""]


class Portal:
    """A supervisor at work in a process of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.births = home / "births"
        self.log = home / "log"
        self.processes: list[subprocess.Popen] = []

    def start(self, **plan: object) -> subprocess.Popen:
        plan = {"home": str(self.home), "alone": True, "prepare": NOTHING} | plan
        with self.log.open("a") as log:
            command = [sys.executable, "-c", SUPERVISOR, json.dumps(plan)]
            process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def worker(self, code: str = WORKER) -> list[str]:
        return [sys.executable, "-c", code, str(self.births)]

    def born(self, at_least: int) -> list[int]:
        """Wait for so many workers to have been born and return their process ids, oldest first."""
        eventually(lambda: len(self._births()) >= at_least)
        return self._births()

    def said(self) -> str:
        return self.log.read_text()

    def _births(self) -> list[int]:
        return [int(pid) for pid in self.births.read_text().split()] if self.births.exists() else []


@pytest.fixture
def portal(tmp_path: Path) -> Iterator[Portal]:
    portal = Portal(tmp_path)
    yield portal
    for process in portal.processes:
        process.kill()
        process.wait()


def eventually(true: Callable[[], object], within: float = 10.0) -> float:
    """Wait until it is true and return how many seconds that took."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < within, f"not within {within} s"
        time.sleep(0.02)
    return time.monotonic() - began


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_it_works(portal: Portal):
    port = free_port()
    demo = [sys.executable, "-c", "print('owner@example.org / secret words')"]
    web = [sys.executable, "-c", WEB, str(port)]
    address = f"http://localhost:{port}"
    plan = {"web": web, "listens": ["127.0.0.1", port], "address": address, "workers": [portal.worker()]}
    running = portal.start(**plan, demo=demo)

    [worker] = portal.born(1)
    eventually(lambda: "owner@example.org" in portal.said())
    running.send_signal(signal.SIGINT)

    assert running.wait(10) == 0
    assert not lives(worker)
    said = portal.said()
    assert said.index(f"open at {address}") < said.index("owner@example.org / secret words")


def test_a_killed_worker_is_back_within_two_seconds(portal: Portal):
    portal.start(workers=[portal.worker()])
    [first] = portal.born(1)

    os.kill(first, signal.SIGKILL)

    assert eventually(lambda: len(portal.born(1)) == 2) < 2
    assert "worker 1 ended with signal 9" in portal.said()


def test_a_worker_that_cannot_live_is_tried_ever_more_rarely():
    child = Child("worker 1", [sys.executable, "-c", "raise SystemExit(7)"], ROOT, dict(os.environ))
    child.start()
    pauses = []
    for _ in range(7):
        child.process.wait()
        news = child.keep_running()
        assert "exit code 7" in news
        pauses.append(round(child.next_start - time.monotonic()))
        child.start()  # as if the pause had passed
    child.process.wait()

    assert pauses == [1, 2, 4, 8, 16, 30, 30]


def test_a_worker_that_is_killed_again_and_again_is_given_a_second_between():
    child = Child("worker 1", [sys.executable, "-c", "import time; time.sleep(600)"], ROOT, dict(os.environ))
    child.start()
    pauses, news = [], ""
    for _ in range(3):
        child.process.kill()
        child.process.wait()
        news = child.keep_running()
        pauses.append(max(0, round(child.next_start - time.monotonic())))
        if not child.is_running():
            child.start()  # as if the pause had passed
    child.kill()

    assert pauses == [0, 1, 1]
    assert "3 times in a row" in news


def test_a_worker_that_was_killed_after_a_while_is_back_at_once():
    child = Child("worker 1", [sys.executable, "-c", "import time; time.sleep(600)"], ROOT, dict(os.environ))
    child.ended_at_once = 3
    child.start()
    child.started -= 11
    child.process.kill()
    child.process.wait()

    child.keep_running()

    assert child.is_running()
    child.kill()


def test_only_workers_are_called_workers(tmp_path: Path):
    plan = plan_for(Settings(home=tmp_path, secret=b""), web=True, workers=3)

    assert [command[-1] for command in plan.workers] == [f"fieldcard-worker-{n}" for n in (1, 2, 3)]
    assert "fieldcard-worker" not in " ".join([*plan.prepare, *plan.web, *plan.demo])


def test_a_single_role_does_not_migrate_and_production_has_no_demo(tmp_path: Path):
    settings = Settings(home=tmp_path, secret=b"")
    both = plan_for(settings, web=True, workers=1)
    web = plan_for(settings, web=True, workers=0)
    worker = plan_for(settings, web=False, workers=1)
    live = plan_for(replace(settings, production=True), web=True, workers=1)

    assert ["migrating=True" in plan.prepare[-1] for plan in (both, web, worker, live)] == [True, False, False, True]
    assert [plan.alone for plan in (both, web, worker, live)] == [True, False, False, True]
    assert [plan.demo is not None for plan in (both, web, worker, live)] == [True, False, False, False]


def test_ctrl_c_leaves_nothing(portal: Portal):
    running = portal.start(workers=[portal.worker()] * 3)
    workers = portal.born(3)

    running.send_signal(signal.SIGINT)

    assert running.wait(10) == 0
    assert not any(map(lives, workers))


def test_what_a_worker_started_ends_with_it(portal: Portal):
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {WORKER!r}, sys.argv[1]]); {WORKER}"
    running = portal.start(workers=[portal.worker(code)])
    both = portal.born(2)

    running.send_signal(signal.SIGTERM)

    assert running.wait(10) == 0
    eventually(lambda: not any(map(lives, both)), within=2)


def test_a_second_ctrl_c_does_not_wait_for_the_stubborn(portal: Portal):
    running = portal.start(workers=[portal.worker(STUBBORN)])
    [worker] = portal.born(1)

    running.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        running.wait(0.5)
    running.send_signal(signal.SIGINT)

    assert running.wait(5) == 0
    assert not lives(worker)


def test_kill_9_of_the_supervisor_leaves_no_orphan(portal: Portal):
    running = portal.start(workers=[portal.worker(), portal.worker(STUBBORN)])
    workers = portal.born(2)

    running.kill()

    eventually(lambda: not any(map(lives, workers)), within=2)


@pytest.fixture
def real_web(portal: Portal, tmp_path: Path) -> tuple[subprocess.Popen, int]:
    """Gunicorn as the portal runs it, with a page and an endless stream; the supervisor and the port."""
    port = free_port()
    (tmp_path / "streaming.py").write_text(
        "import itertools, time\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    if environ['PATH_INFO'] != '/stream':\n"
        "        return [b'ok']\n"
        "    return (time.sleep(0.1) or b'tick' for _ in itertools.count())\n"
    )
    gunicorn = [sys.executable, "-m", "gunicorn", "-c", "python:app.webserver", "--pythonpath", str(tmp_path)]
    environment = {"FIELDCARD_HOME": str(tmp_path), "PORT": str(port), "FIELDCARD_BIND": "127.0.0.1"}
    running = portal.start(
        web=[*gunicorn, "streaming:app"], listens=["127.0.0.1", port], address="there", environment=environment
    )
    eventually(lambda: "open at there" in portal.said())
    return running, port


def test_kill_9_takes_the_web_server_and_its_open_streams_along(real_web: tuple[subprocess.Popen, int]):
    running, port = real_web
    family = [child.pid for child in psutil.Process(running.pid).children(recursive=True)]
    assert len(family) == 2  # gunicorn and the process that serves

    with socket.create_connection(("127.0.0.1", port)) as stream:
        stream.sendall(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert stream.recv(100)
        running.kill()
        eventually(lambda: not any(map(lives, family)), within=2)


def test_a_second_supervisor_refuses(portal: Portal):
    first = portal.start(workers=[portal.worker()])
    [worker] = portal.born(1)

    assert portal.start(workers=[portal.worker()]).wait(10) == 1

    assert f"already runs on {portal.home} (process {first.pid})" in portal.said()
    assert lives(worker)


def test_single_roles_share_a_folder_with_each_other_only(portal: Portal):
    portal.start(alone=False, workers=[portal.worker()])
    portal.start(alone=False, workers=[portal.worker()])
    portal.born(2)

    assert portal.start(alone=True, workers=[portal.worker()]).wait(10) == 1


def test_nothing_starts_when_the_migration_fails(portal: Portal):
    broken = [sys.executable, "-c", "raise SystemExit('The database is newer than this program.')"]

    assert portal.start(prepare=broken, workers=[portal.worker()]).wait(10) == 1

    assert portal.said() == "The database is newer than this program.\n"
    assert not portal.births.exists()


def test_a_taken_port_is_said_before_anything_is_touched(tmp_path: Path, capsys: pytest.CaptureFixture):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        prepare = [sys.executable, "-c", f"open({str(tmp_path / 'touched')!r}, 'w')"]
        plan = Plan(home=tmp_path, alone=True, prepare=prepare, web=NOTHING, listens=("127.0.0.1", port))

        assert supervise(plan) == 1

    assert f"PORT={port + 1} ./run" in capsys.readouterr().err
    assert not (tmp_path / "touched").exists()
