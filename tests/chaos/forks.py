"""How a process makes itself ready to be forked: everything at hand, and children that start at once."""

import multiprocessing
import os
from typing import Any

from app.domain import isolation, orders
from app.rendering import chunk
from app.rendering.facts import CardFacts, JobFacts

KILLS = "Deadly"  # the last name of the person whose card ends the process that draws it


class Forking:
    """In the place of `multiprocessing`: children are forks, which start at once, instead of new interpreters."""

    @staticmethod
    def get_context(_method: str) -> Any:
        return multiprocessing.get_context("fork")


def make_ready() -> None:
    """Let chunks be of one card each, children start as forks, and one person's card end the process that draws it."""
    orders.SMALLEST_CHUNK = 1
    isolation.multiprocessing = Forking()
    isolation.draw_chunk = _draw_or_die


def _draw_or_die(facts: JobFacts, look: Any, cards: list[CardFacts], *rest: Any) -> Any:
    """Draw in a child; the card of one person ends it."""
    *_, checkpoint = rest
    for card in cards:
        if card.last_name == KILLS:
            checkpoint()
            os._exit(9)
    return chunk.draw_chunk(facts, look, cards, *rest)
