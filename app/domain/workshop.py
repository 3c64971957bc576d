"""What every kind of leased work shares: a folder to work in, and a checkpoint to pass at each step."""

import hashlib
import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from flask import current_app
from sqlalchemy.exc import OperationalError

from app.database import settings
from app.domain.leases import Checkpoint, Heartbeat, Holder

log = logging.getLogger(__name__)
LOOK_AGAIN_AFTER = 2.0  # seconds, while the database is away
# What is nobody's fault and passes: a disk that is full or a store or database that is away. Work rests until then.
AWAY = (OSError, OperationalError)


class Stopping(Exception):
    """The worker was asked to stop; what it holds goes back untouched."""


@contextmanager
def workbench(holder: Holder, stopping: Callable[[], bool]) -> Iterator[tuple[Path, Checkpoint]]:
    """Give a folder that is gone afterwards, and a checkpoint that keeps the lease while the work moves.

    The folder lies in the data folder, so that storing a file is a rename. The checkpoint raises LeaseLost when
    the hold is gone and Stopping when the worker is to stop.
    """
    home = settings().home / "work"
    home.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home) as folder, kept(holder, stopping) as checkpoint:
        yield Path(folder), checkpoint


@contextmanager
def kept(holder: Holder, stopping: Callable[[], bool]) -> Iterator[Checkpoint]:
    """Give a checkpoint that keeps the lease while the work moves, for work that needs no folder."""
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    with Heartbeat(app, holder) as heart:

        def checkpoint() -> None:
            heart.moved()
            if stopping():
                raise Stopping

        yield checkpoint


def patiently(act: Callable[[], None], stopping: Callable[[], bool]) -> None:
    """Do it once the database answers; a worker without one has nothing else to do. A stopping one does not wait.

    Otherwise an outage would count as an attempt of the work that it met, and some outages would void it.
    """
    while True:
        try:
            return act()
        except OperationalError:
            if stopping():
                raise
            log.warning("The database is away; looking again in %s s.", LOOK_AGAIN_AFTER)
            time.sleep(LOOK_AGAIN_AFTER)


def sha256_of(path: Path) -> str:
    """Return the file's SHA-256 in lower-case hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
