"""Memory: what was read in a cell is kept while a list is read, which repeats itself, and forgotten with it.

Cells are people's data. Whoever has read some calls `forget`, so that nobody's name outlives their erasure in here.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_forgetting: list[Callable[[], None]] = []


def remembered(most: int) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function remember its last `most` answers, until `forget` is called."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        kept = lru_cache(most)(function)
        _forgetting.append(kept.cache_clear)
        return kept

    return decorate


def forget() -> None:
    """Forget every answer, and with it every cell."""
    for clear in _forgetting:
        clear()
