"""The tally of a run: what was counted, and what was found wrong. Many threads write into it."""

import threading
from collections import Counter

MOST_TOLD = 40


class Tally:
    """Counts by name, violations as sentences, and the codes that cards were given, each with its job."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.violations: list[str] = []
        self._codes: dict[str, str] = {}
        self._lock = threading.Lock()

    def count(self, name: str, number: int = 1) -> None:
        with self._lock:
            self.counts[name] += number

    def breach(self, sentence: str) -> None:
        """Note that something is as it must never be."""
        with self._lock:
            self.violations.append(sentence)

    def given(self, code: str, job_id: str) -> None:
        """Note that a new card of the job has this code; nobody else's may."""
        with self._lock:
            other = self._codes.setdefault(code, job_id)
        if other != job_id:
            self.breach(f"The code {code} was given to cards of {other} and of {job_id}.")

    def told(self) -> list[str]:
        """Return the violations to print: the first ones, and how many more there are."""
        more = len(self.violations) - MOST_TOLD
        return self.violations[:MOST_TOLD] + ([f"… and {more} more."] if more > 0 else [])
