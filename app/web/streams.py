"""Streams: pages kept up to date by server-sent events. Who is let in, and one reader for each thing that is watched.

A stream holds a thread of the web server for as long as it lasts. So there are fewer of them than threads, each
person has five, and however many people watch one thing, one poller reads it once a second for all of them.
https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from typing import Any

from flask import Flask, Response, current_app, stream_with_context
from flask_babel import get_locale, get_timezone, gettext

from app.database import db, settings
from app.domain import watching

log = logging.getLogger(__name__)

THREADS_FOR_PAGES = 56
STREAMS_PER_PERSON = 5
COME_BACK_IN = 5  # seconds
RECONNECT_IN = 2_000  # milliseconds, when the browser loses the stream
EXTENSION = "fieldcard-streams"


@dataclass(frozen=True)
class Pace:
    """How often a thing is read, how long a stream may be silent and how long it lasts, all in seconds."""

    tick: float = 1.0
    heartbeat: float = 10.0
    longest: float = 600.0


@dataclass(frozen=True)
class Event:
    """A named piece of text for the page. It goes out when it has changed, and at most `every` so many seconds."""

    name: str
    text: str
    every: float = 0.0

    def __str__(self) -> str:
        """Return the event as it goes over the wire; a line break in the text begins a new data field."""
        return f"event: {self.name}\n" + "".join(f"data: {line}\n" for line in self.text.splitlines()) + "\n"


@dataclass(frozen=True)
class Reading:
    """What the poller found: when it began to look, the thing, and which of its watchers have signed out."""

    began: float
    thing: Any
    signed_out: frozenset[str]


class Full(Exception):
    """No further stream now; the page asks again and again instead."""


class Watch:
    """One thing that is being watched, and the newest reading of it. Old readings are dropped, never queued."""

    def __init__(self, read: Callable[[], Any]) -> None:
        self.read = read
        self.tokens: Counter[str] = Counter()
        self.newest: Reading | None = None
        self.turn = threading.Condition()
        self.nobody = threading.Event()

    def look(self) -> None:
        """Read the thing and its watchers' sessions once, and wake everybody who waits."""
        began, tokens = time.monotonic(), set(self.tokens)
        reading = Reading(began, self.read(), frozenset(tokens - watching.signed_in(tokens)))
        with self.turn:
            self.newest = reading
            self.turn.notify_all()

    def after(self, began: float, patience: float) -> Reading | None:
        """Return the newest reading that began later than `began`, None when there is none for `patience` seconds."""

        def newer() -> Reading | None:
            return self.newest if self.newest and self.newest.began > began else None

        with self.turn:
            return self.turn.wait_for(newer, patience)


class Streams:
    """All streams of this web process."""

    def __init__(self, app: Flask, most: int, pace: Pace | None = None) -> None:
        self.app = app
        self.most = most
        self.pace = pace or Pace()
        self.seated: Counter[Hashable] = Counter()
        self.watches: dict[Hashable, Watch] = {}
        self.lock = threading.Lock()

    def take_seat(self, person: Hashable) -> Callable[[], None]:
        """Return how to give the seat back, which may be done twice. Raises Full."""
        with self.lock:
            if self.seated.total() >= self.most or self.seated[person] >= STREAMS_PER_PERSON:
                raise Full
            self.seated[person] += 1
        left = threading.Event()

        def leave() -> None:
            with self.lock:
                if not left.is_set():
                    left.set()
                    self.seated -= Counter([person])  # drops who has no stream any more

        return leave

    def follow(self, key: Hashable, read: Callable[[], Any], token: str) -> Iterator[Any]:
        """Yield what `read` finds, every tick, until the session `token` ends or the stream has lasted long enough.

        Yields None when nothing could be read for a while. The thing `key` is read by its first watcher's `read`.
        """
        watch = self._join(key, read, token)
        began, end = time.monotonic(), time.monotonic() + self.pace.longest
        try:
            while (left := end - time.monotonic()) > 0:
                reading = watch.after(began, min(self.pace.heartbeat, left))
                if reading is None:
                    yield None
                    continue
                if token in reading.signed_out:
                    return
                began = reading.began
                yield reading.thing
        finally:
            self._part(watch, token)

    def _join(self, key: Hashable, read: Callable[[], Any], token: str) -> Watch:
        with self.lock:
            watch = self.watches.get(key)
            if watch is None:
                watch = self.watches[key] = Watch(read)
                threading.Thread(target=self._poll, args=(key, watch), name=f"watch {key}", daemon=True).start()
            watch.tokens = watch.tokens + Counter([token])  # a new one each time: the poller may be reading the old
            return watch

    def _part(self, watch: Watch, token: str) -> None:
        with self.lock:
            watch.tokens = watch.tokens - Counter([token])
            if not watch.tokens:
                watch.nobody.set()

    def _poll(self, key: Hashable, watch: Watch) -> None:
        while self._is_watched(key, watch):
            try:
                with self.app.app_context():
                    watch.look()
            except Exception:
                log.warning("What is being watched could not be read; trying again.", exc_info=True)
            watch.nobody.wait(self.pace.tick)

    def _is_watched(self, key: Hashable, watch: Watch) -> bool:
        """Return whether anybody is left; if not, forget the watch, so that the next one begins a new one."""
        with self.lock:
            watch.nobody.clear()
            if not watch.tokens:
                del self.watches[key]
            return bool(watch.tokens)


def streams() -> Streams:
    """Return the streams of the running app."""
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    if EXTENSION not in app.extensions:
        app.extensions.setdefault(EXTENSION, Streams(app, max(0, settings().web_threads - THREADS_FOR_PAGES)))
    return app.extensions[EXTENSION]


def stream(
    key: Hashable,
    read: Callable[[], Any],
    draw: Callable[[Any], Sequence[Event]],
    is_over: Callable[[Any], bool],
    *,
    token: str,
    person: Hashable,
) -> Response:
    """Return a stream of the events that `draw` makes of each reading of the thing `key`, the first ones at once.

    Ends with a `close` event when the thing `is_over`, and without one when the session `token` ends or the time
    is up: then the browser comes back by itself. Answers 503 when there are enough streams, so that the page polls.
    """
    everyone = streams()
    try:
        leave = everyone.take_seat(person)
    except Full:
        words = gettext("Too many pages are kept up to date at once. This one renews itself more slowly.")
        return Response(words, 503, {"Retry-After": str(COME_BACK_IN)}, mimetype="text/plain")
    # Asked now, while the reader is known: both are remembered for as long as the stream lasts.
    get_locale()
    get_timezone()
    answer = Response(
        stream_with_context(_events(everyone, key, read, draw, is_over, token)),
        mimetype="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )
    answer.call_on_close(leave)
    return answer


def _events(
    everyone: Streams,
    key: Hashable,
    read: Callable[[], Any],
    draw: Callable[[Any], Sequence[Event]],
    is_over: Callable[[Any], bool],
    token: str,
) -> Iterator[str]:
    yield f"retry: {RECONNECT_IN}\n\n"
    first = read()
    sent: dict[str, tuple[str, float]] = {}
    spoke = time.monotonic()
    with closing(everyone.follow(key, read, token)) as later:
        for thing in chain([first], later):
            over = thing is not None and is_over(thing)
            news = "".join(_news(draw(thing), sent, over)) if thing is not None else ""
            db.session.remove()  # drawing reads too; a stream that keeps its connection would use up the pool
            if news or time.monotonic() - spoke >= everyone.pace.heartbeat:
                spoke = time.monotonic()
                yield news or ": still here\n\n"  # a client that is gone is found out by writing to it
            if over:
                yield str(Event("close", "done"))
                return


def _news(events: Sequence[Event], sent: dict[str, tuple[str, float]], over: bool) -> Iterator[str]:
    """Yield the events that say something new, and remember them in `sent`; the last ones are never held back."""
    now = time.monotonic()
    for event in events:
        text, at = sent.get(event.name, (None, 0.0))
        if event.text == text or (now - at < event.every and not over):
            continue
        sent[event.name] = event.text, now
        yield str(event)
