"""Drawing in a child process: for chunks that killed their worker, so that the card to blame is found and left out."""

import json
import multiprocessing
from collections.abc import Callable, Sequence
from ctypes import c_int
from pathlib import Path
from typing import Any

from app.rendering.chunk import DrawnCard, FailedCard, draw_chunk
from app.rendering.design import Design, from_files
from app.rendering.facts import CardFacts, JobFacts
from app.sentences import say

DEATHS_THAT_VOID = 2
LOOK_EVERY_SECONDS = 0.2


def draw_in_child(
    job: JobFacts,
    design: Design,
    cards: Sequence[CardFacts],
    folder: Path,
    checkpoint: Callable[[], None],
    count_death: Callable[[int], int],
) -> list[DrawnCard | FailedCard]:
    """Return the result of every card, in order, with `zip` and `pages` written into `folder`.

    Each time the child dies, the card it was at is counted by `count_death(place)`; at two deaths the card is
    left out and fails with a reason. A child that dies before its first card is an OSError.
    """
    failed: dict[int, FailedCard] = {}
    while True:
        places = [place for place in range(len(cards)) if place not in failed]
        died_at = _run(job, design, [cards[place] for place in places], folder, checkpoint)
        if died_at is None:
            drawn = iter(_read(folder))
            return [failed[place] if place in failed else next(drawn) for place in range(len(cards))]
        if died_at < 0:
            raise OSError("The process that draws cards could not start.")
        culprit = places[died_at]
        if count_death(culprit) >= DEATHS_THAT_VOID:
            failed[culprit] = FailedCard(cards[culprit].code, say("Drawing this card stopped the program twice."))


def _run(
    job: JobFacts, design: Design, cards: Sequence[CardFacts], folder: Path, checkpoint: Callable[[], None]
) -> int | None:
    """Return None when the child drew everything, else the place of the card it was at when it ended."""
    context = multiprocessing.get_context("spawn")
    place = context.Value(c_int, -1)
    # The design goes over as its files: what is worked out from them is not made to travel.
    child = context.Process(target=_draw, args=(job, dict(design.files), list(cards), folder, place), daemon=True)
    child.start()
    try:
        seen = -1
        while child.exitcode is None:
            child.join(LOOK_EVERY_SECONDS)
            if place.value != seen:
                seen = place.value
                checkpoint()
    finally:
        child.kill()
        child.join()
    return None if child.exitcode == 0 else place.value


def _draw(job: JobFacts, files: dict[str, bytes], cards: Sequence[CardFacts], folder: Path, place: Any) -> None:
    design = from_files(files)

    def next_card() -> None:
        place.value += 1

    with (folder / "zip").open("wb") as zip_out, (folder / "pages").open("wb") as pages_out:
        results = draw_chunk(job, design, cards, zip_out, pages_out, next_card)
    (folder / "results.json").write_text(json.dumps([result.to_json() for result in results]))


def _read(folder: Path) -> list[DrawnCard | FailedCard]:
    results = json.loads((folder / "results.json").read_text())
    return [DrawnCard.from_json(plain) if "members" in plain else FailedCard.from_json(plain) for plain in results]
