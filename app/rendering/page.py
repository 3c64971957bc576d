"""A page of a card, ready to be bound."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finished:
    """A page that is ready: a PDF of one page."""

    pdf: bytes
