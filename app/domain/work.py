"""Work: what a worker does when the bell rings. One claim at a time, the shortest kind first."""

from collections.abc import Callable

from app import files
from app.domain import claims, drawing, importing, packaging

LEAST_FREE_BYTES = 500_000_000


def do_one(owner: str, *, stopping: Callable[[], bool]) -> bool:
    """Claim one piece of work for `owner` and do it; return whether it is worth looking for more at once.

    People waiting for an import come first, then jobs that only need packaging, then chunks. A full disk stops
    claims before it stops the database.
    """
    if stopping() or _disk_is_full():
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
    """Bring back into motion what a dead worker left behind; leases that ran out are claimable by themselves."""
    claims.unstick()


def _disk_is_full() -> bool:
    free = files.store().free_bytes()
    return free is not None and free < LEAST_FREE_BYTES
