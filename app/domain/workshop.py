"""What every kind of leased work shares: a folder to work in, and a checkpoint to pass at each step."""

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from flask import current_app

from app.database import settings
from app.domain.leases import Heartbeat, Holder


class Stopping(Exception):
    """The worker was asked to stop; what it holds goes back untouched."""


@contextmanager
def workbench(holder: Holder, stopping: Callable[[], bool]) -> Iterator[tuple[Path, Callable[[], None]]]:
    """Give a folder that is gone afterwards, and a checkpoint that keeps the lease while the work moves.

    The folder lies in the data folder, so that storing a file is a rename. The checkpoint raises LeaseLost when
    the hold is gone and Stopping when the worker is to stop.
    """
    home = settings().home / "work"
    home.mkdir(exist_ok=True)
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory(dir=home) as folder, Heartbeat(app, holder) as heart:

        def checkpoint() -> None:
            heart.moved()
            if stopping():
                raise Stopping

        yield Path(folder), checkpoint


def sha256_of(path: Path) -> str:
    """Return the file's SHA-256 in lower-case hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
