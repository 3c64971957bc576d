"""Chromium and a whole running portal for the tests that use it as a person does."""

import http.client
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.conftest import needs

ROOT = Path(__file__).parent.parent.parent
PATIENCE_SECONDS = 90
FLAGS = [
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
]
EMAIL, PASSWORD = "owner@example.org", "Une-Bonne-Carte-2026"


@dataclass(frozen=True)
class Portal:
    """A portal that was started with one command, and who may sign in."""

    address: str
    home: Path
    email: str = EMAIL
    password: str = PASSWORD


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for all browser tests of this process."""
    path = shutil.which("chromium")
    needs(path is not None, "Chromium")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    """The whole portal, web server and workers, as `fieldcard serve` starts it."""
    home = tmp_path_factory.mktemp("portal")
    port = _free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FIELDCARD_")}
    environment |= {"FIELDCARD_HOME": str(home), "PORT": str(port), "FIELDCARD_WORKERS": "2"}
    environment.pop("DATABASE_URL", None)
    environment.pop("QUEUE_URL", None)
    command = (sys.executable, "-m", "app.cli")
    with (home / "log").open("w") as log:
        server = subprocess.Popen([*command, "serve"], cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            _wait_for(port)
            subprocess.run(
                [
                    *command,
                    "user",
                    "add",
                    EMAIL,
                    "--organisation",
                    "District de Podor",
                    "--role",
                    "admin",
                    "--password-stdin",
                ],
                cwd=ROOT,
                env=environment,
                input=PASSWORD,
                text=True,
                check=True,
                capture_output=True,
            )
            yield Portal(f"http://127.0.0.1:{port}", home)
        finally:
            server.terminate()
            server.wait(40)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", "/healthz?web")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.3)
        finally:
            connection.close()
    raise AssertionError("The portal did not open.")
