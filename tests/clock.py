"""A wall clock that a test sets, for the rooms that live by it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from unittest.mock import patch

from app.domain import duties, ledgers, quotas, standings

ROOMS = (duties, ledgers, quotas, standings)


class Clock:
    """What time it is, as the rooms are told."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def set(self, text: str) -> None:
        """Set the clock to a moment like `2026-12-01T00:00`, in UTC."""
        self.now = datetime.fromisoformat(text).replace(tzinfo=UTC)

    def move(self, **by: float) -> None:
        """Move the clock, as `timedelta` says it; negative numbers set it back."""
        self.now += timedelta(**by)


@contextmanager
def clock_at(text: str) -> Iterator[Clock]:
    """Let the rooms live at that moment."""
    clock = Clock(datetime.fromisoformat(text).replace(tzinfo=UTC))
    patches = [patch.object(room, "utc_now", lambda: clock.now) for room in ROOMS]
    for one in patches:
        one.start()
    try:
        yield clock
    finally:
        for one in patches:
            one.stop()
