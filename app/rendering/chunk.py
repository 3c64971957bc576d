"""A chunk of a job's cards drawn: PNGs into a run of the ZIP, pages into a PDF; a bad card stops no other."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from app.rendering import document, proof, sheet
from app.rendering.archive import Member, Run
from app.rendering.design import Design
from app.rendering.errors import CannotDraw
from app.rendering.facts import CardFacts, JobFacts
from app.sentences import Sentence, say

if TYPE_CHECKING:
    from app.rendering.side import Side

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DrawnCard:
    """A card whose files are in the chunk's piece."""

    code: str
    members: tuple[Member, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values that `from_json` reads back."""
        return {"code": self.code, "members": [member.to_json() for member in self.members]}

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> "DrawnCard":
        """Return the card that `to_json` wrote."""
        return cls(plain["code"], tuple(Member.from_json(member) for member in plain["members"]))


@dataclass(frozen=True)
class FailedCard:
    """A card that could not be drawn, and why."""

    code: str
    reason: Sentence

    def to_json(self) -> dict[str, Any]:
        """Return plain values that `from_json` reads back."""
        return {"code": self.code, "reason": self.reason.to_json()}

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> "FailedCard":
        """Return the card that `to_json` wrote."""
        return cls(plain["code"], Sentence.from_json(plain["reason"]))


def draw_chunk(
    job: JobFacts,
    design: Design,
    cards: Sequence[CardFacts],
    zip_out: BinaryIO,
    pages_out: BinaryIO,
    checkpoint: Callable[[], None],
) -> list[DrawnCard | FailedCard]:
    """Return what became of each card, in order, with its PNGs in `zip_out` and its two pages in `pages_out`.

    `checkpoint` is called before each card and may raise to stop. For a card nothing else is raised, but what the
    machine lacks is: OSError, MemoryError.
    """
    run = Run(zip_out, job.generated_at)
    outcomes: list[DrawnCard | FailedCard] = []
    pages = []
    for card in cards:
        checkpoint()
        sides = _draw_card(job, design, card)
        if isinstance(sides, Sentence):
            outcomes.append(FailedCard(card.code, sides))
            continue
        front, back = sides
        members = run.add(f"{card.code}-front.png", front.png), run.add(f"{card.code}-back.png", back.png)
        pages += [front.page, back.page]
        outcomes.append(DrawnCard(card.code, members))
    document.bind(pages, pages_out, job)
    return outcomes


def preview(job: JobFacts, design: Design, card: CardFacts, dpi: int = 150) -> tuple[bytes, bytes]:
    """Return front and back as PNGs for the screen; raises CannotDraw. May be called by several threads."""
    return preview_side(job, design, card, "front", dpi), preview_side(job, design, card, "back", dpi)


def preview_side(
    job: JobFacts, design: Design, card: CardFacts, side: Literal["front", "back"], dpi: int = 150
) -> bytes:
    """Return one side as a PNG for the screen; raises CannotDraw. May be called by several threads."""
    try:
        draw = _side().front if side == "front" else _side().back
        return draw(job, design, card, dpi).png
    except CannotDraw:
        raise
    except Exception as error:
        raise CannotDraw(_unexpected(error)) from error


def _draw_card(job: JobFacts, design: Design, card: CardFacts) -> "tuple[Side, Side] | Sentence":
    """Return front and back, the front proved to be readable; or why not."""
    if job.sheet is not None and not sheet.fits(design.size_mm):
        return say("Ten cards of this size do not fit on an A4 sheet. Print them one side a page.")
    try:
        front, back = _side().front(job, design, card, job.dpi), _side().back(job, design, card, job.dpi)
        proof.check(front.png, job.dpi, card.address)
    except CannotDraw as refusal:
        return refusal.sentence
    except Exception as error:  # whatever a library makes of one card's facts must not stop the others
        if _is_the_machines(error):
            raise
        return _unexpected(error)
    return front, back


def _is_the_machines(error: Exception) -> bool:
    """Return whether the machine lacks something (disk, memory, open files), which is no fault of the card.

    Errors of the system carry a number; libraries also raise OSErrors of their own making, without one.
    """
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno is not None)


def _side() -> ModuleType:
    """Return the module that draws sides: it brings xhtml2pdf, two seconds that nobody waits for who draws nothing."""
    from app.rendering import side

    return side


def _unexpected(error: Exception) -> Sentence:
    # The kind of error only: its text may hold a person's name.
    log.error("A card could not be drawn: %s", type(error).__name__)
    return say("This card could not be drawn with this design. Choose another design for it.")
