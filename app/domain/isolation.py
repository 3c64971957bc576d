"""Drawing in a child process: for chunks that killed their worker, so that the card to blame is found and left out."""

import errno
import importlib
import json
import multiprocessing
import time
from collections.abc import Callable, Sequence
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path

from app.database import settings
from app.rendering.chunk import DrawnCard, FailedCard, draw_chunk
from app.rendering.design import Design, from_files
from app.rendering.facts import CardFacts, JobFacts
from app.sentences import say

DEATHS_THAT_VOID = 2
NOT_STARTED = -1
START_SECONDS = 60.0
LOOK_AFTER_START = 1 / 6  # of a lease: twice for each heartbeat
LEAST_PATIENCE = 10.0  # seconds; on a busy machine one card may take several
PATIENCE_OF_A_LEASE = 0.6  # a third of a lease is left for the heartbeat to renew it once the next child is at work


def draw_in_child(
    job: JobFacts,
    design: Design,
    cards: Sequence[CardFacts],
    folder: Path,
    checkpoint: Callable[[], None],
    count_death: Callable[[int], int],
) -> list[DrawnCard | FailedCard]:
    """Return the result of every card, in order, with `zip` and `pages` written into `folder`.

    Each time the child dies or stands still, the card it was at is counted by `count_death(place)`; at two deaths
    the card is left out and fails with a reason. Errors that the child reports are no card's doing: an OSError
    comes back as it was, any other as a RuntimeError. So is a machine too busy to start a child, an OSError; but a
    child that ends by itself before its first card is a RuntimeError, for that might happen for ever.
    """
    failed: dict[int, FailedCard] = {}
    while True:
        places = [place for place in range(len(cards)) if place not in failed]
        ended_at = _run(job, design, [cards[place] for place in places], folder, checkpoint)
        if ended_at is None:
            drawn = iter(_read(folder))
            return [failed[place] if place in failed else next(drawn) for place in range(len(cards))]
        if ended_at == NOT_STARTED:
            raise RuntimeError("The process that draws cards ended before its first card.")
        culprit = places[ended_at]
        if count_death(culprit) >= DEATHS_THAT_VOID:
            failed[culprit] = FailedCard(cards[culprit].code, say("Drawing this card stopped the program twice."))


def _run(
    job: JobFacts, design: Design, cards: Sequence[CardFacts], folder: Path, checkpoint: Callable[[], None]
) -> int | None:
    """Return None when the child drew everything, else the place of the card at which it died or stood still."""
    context = multiprocessing.get_context("spawn")
    news, telling = context.Pipe(duplex=False)
    # The design goes over as its files: what is worked out from them is not made to travel.
    child = context.Process(target=_draw, args=(job, dict(design.files), list(cards), folder, telling), daemon=True)
    with news:
        with telling:  # closed on our side at once: the death of the child is then the end of its news
            child.start()
        try:
            return _follow(news, checkpoint)
        finally:
            child.kill()
            child.join()


def _follow(news: Connection, checkpoint: Callable[[], None]) -> int | None:
    """Pass a checkpoint at each new card, and at no other moment: a card that hangs must not keep the lease."""
    checkpoint()
    _wait_for_start(news, checkpoint)
    place, patience = NOT_STARTED, 0.0
    while news.poll(patience):
        try:
            heard = news.recv()
        except EOFError:
            break
        if heard is None:
            return None
        if isinstance(heard, Exception):
            raise heard
        place, patience = heard, max(LEAST_PATIENCE, settings().lease_seconds * PATIENCE_OF_A_LEASE)
        checkpoint()
    return place


def _wait_for_start(news: Connection, checkpoint: Callable[[], None]) -> None:
    """Wait until the child speaks, at most START_SECONDS, and keep the lease meanwhile.

    Otherwise a machine so busy that a start lasts longer than a lease would start one child after another for ever.
    """
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if news.poll(settings().lease_seconds * LOOK_AFTER_START):
            return
        checkpoint()
    raise TimeoutError(errno.ETIMEDOUT, "The process that draws cards could not start in time")


def _draw(
    job: JobFacts, files: dict[str, bytes], cards: Sequence[CardFacts], folder: Path, telling: Connection
) -> None:
    """Draw in the child, and tell the place of each card before it is drawn, at the end None or what went wrong."""
    try:
        design = from_files(files)
        importlib.import_module("app.rendering.side")  # its two seconds shall not count as the first card's
        places = count()
        with (folder / "zip").open("wb") as zip_out, (folder / "pages").open("wb") as pages_out:
            results = draw_chunk(job, design, cards, zip_out, pages_out, lambda: telling.send(next(places)))
        (folder / "results.json").write_text(json.dumps([result.to_json() for result in results]))
        telling.send(None)
    except BrokenPipeError:
        return  # whoever asked for these cards is gone
    except OSError as error:
        telling.send(OSError(error.errno, error.strerror or type(error).__name__))
    except Exception as error:  # its kind only: the text may hold a person's name
        telling.send(RuntimeError(f"The process that draws cards ended with {type(error).__name__}."))


def _read(folder: Path) -> list[DrawnCard | FailedCard]:
    results = json.loads((folder / "results.json").read_text())
    return [DrawnCard.from_json(plain) if "members" in plain else FailedCard.from_json(plain) for plain in results]
