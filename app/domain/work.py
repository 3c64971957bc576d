"""Work: what a worker does when the bell rings. One claim at a time, the shortest kind first."""

import logging
import shutil
from collections.abc import Callable

from app import files
from app.database import settings
from app.domain import claims, drawing, importing, packaging, reaping

log = logging.getLogger(__name__)
LEAST_FREE_BYTES = 500_000_000


def do_one(owner: str, *, stopping: Callable[[], bool]) -> bool:
    """Claim one piece of work for `owner` and do it; return whether it is worth looking for more at once.

    People waiting for an import come first, then jobs that only need packaging, then chunks. A full disk stops
    claims before it stops the database; a file store that is away stops them before work is done in vain.
    """
    if stopping() or _disk_is_full() or files.store().problem():
        return False
    if batch := importing.claim(owner):
        return importing.go_on(batch, stopping=stopping)
    if packing := claims.claim_packaging(owner):
        return packaging.finish(packing, stopping=stopping)
    if chunk := claims.claim_chunk(owner):
        return drawing.draw(chunk, stopping=stopping)
    return False


def waits() -> bool:
    """Return whether there is anything that a worker could claim now."""
    return importing.work_waits() or claims.work_waits()


def take_up() -> None:
    """Bring back into motion what a dead worker left behind."""
    if lost := reaping.reap():
        log.warning("Took up what was left by workers that were not heard of: %s pieces of work.", lost)
    claims.unstick()


def _disk_is_full() -> bool:
    """Look at the store, where there is telling, and at the data folder, in which every worker draws."""
    frees = (files.store().free_bytes(), shutil.disk_usage(settings().home).free)
    return any(free is not None and free < LEAST_FREE_BYTES for free in frees)
