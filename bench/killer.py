"""The killer: kills, freezes and stops processes of a portal, in an order that a seed decides."""

import random
import signal
import time
from collections.abc import Callable

from bench.deaths import Deaths
from bench.premises import Portal, lives, send
from bench.tally import Tally

# A shuffled deck, dealt again and again: a short run too holds something of everything.
DECK = (
    ["kill a worker at work"] * 12
    + ["kill a worker that packages"] * 4
    + ["kill a worker, whatever it does"] * 2
    + ["kill two workers"]
    + ["freeze a worker"] * 5
    + ["stop a worker"] * 2
    + ["kill the web server"] * 2
    + ["kill everything"]
    + ["wipe the queue"]
)
WAIT_FOR_WORK = 5.0  # seconds to wait for a victim that has something in hand
DYING_LASTS = 5.0
STEP = 0.03


class Killer:
    """Deals one card after another; the moment within the victim's work is chance, too."""

    def __init__(self, portal: Portal, deaths: Deaths, wipe_queue: Callable[[], None], tally: Tally, seed: int) -> None:
        self.portal = portal
        self.deaths = deaths
        self.wipe_queue = wipe_queue
        self.tally = tally
        self.chance = random.Random(f"killer {seed}")  # noqa: S311 - a story that can be told again
        self.deck: list[str] = []
        self.frozen: dict[int, float] = {}  # process id -> when it is thawed

    def turn(self) -> None:
        """Deal the next card."""
        if not self.deck:
            self.deck = self.chance.sample(DECK, len(DECK))
        card = self.deck.pop()
        moment = self.chance.uniform(0, 0.5)
        if card == "kill everything":
            self.rest(moment)
            self._end_everything()
        elif card == "kill the web server":
            self.rest(moment)
            self._kill_web()
        elif card == "wipe the queue":
            self.thaw()  # somebody frozen may hold the queue's lock
            self.wipe_queue()
            self.tally.count("queue wiped")
        else:
            self._meet_workers(card, moment)

    def rest(self, seconds: float) -> None:
        """Wait, and thaw meanwhile whoever's time has come."""
        deadline = time.monotonic() + seconds
        while True:
            self.thaw(time.monotonic())
            left = deadline - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(STEP, left))

    def thaw(self, now: float = float("inf")) -> None:
        """Let the frozen run on whose time has come by `now`; without it, all."""
        for pid, when in list(self.frozen.items()):
            if when <= now:
                send(pid, signal.SIGCONT)
                del self.frozen[pid]

    def _meet_workers(self, card: str, moment: float) -> None:
        packaging = True if card == "kill a worker that packages" else None
        victims = self._any_workers() if card == "kill a worker, whatever it does" else self._at_work(packaging)
        self.rest(moment if packaging is None else moment / 5)  # packaging a small job is a matter of tenths
        for pid in victims[: 2 if card == "kill two workers" else 1]:
            if card == "freeze a worker":
                self._freeze(pid)
            elif card == "stop a worker":
                self.tally.count("workers stopped", send(pid, signal.SIGTERM))
            else:
                self._kill(pid)

    def _at_work(self, packaging: bool | None) -> list[int]:
        """Return workers with something in hand, in random order; any at all when none has for a while."""
        deadline = time.monotonic() + WAIT_FOR_WORK
        while time.monotonic() < deadline:
            alive = set(self._any_workers())
            held = self.deaths.held()
            busy = {work.pid for work in held if packaging is None or (work.number is None) == packaging} & alive
            if busy:
                return self.chance.sample(sorted(busy), len(busy))
            self.rest(STEP)
        return self._any_workers()

    def _any_workers(self) -> list[int]:
        workers = [pid for pid in self.portal.workers() if pid not in self.frozen]
        return self.chance.sample(workers, len(workers))

    def _kill(self, pid: int) -> None:
        if not send(pid, signal.SIGKILL):
            return
        self.tally.count("workers killed")
        self._bury(pid, time.monotonic())

    def _bury(self, pid: int, since: float) -> None:
        deadline = time.monotonic() + DYING_LASTS
        while lives(pid) and time.monotonic() < deadline:
            time.sleep(0.005)
        self.tally.count("killed with work in hand", bool(self.deaths.died(pid, since=since)))

    def _freeze(self, pid: int) -> None:
        """Stop the process for longer than a lease; afterwards it runs on and knows nothing of it."""
        if not send(pid, signal.SIGSTOP):
            return
        now = time.monotonic()
        self.frozen[pid] = now + self.portal.settings.lease_seconds * self.chance.uniform(1.1, 2.5)
        self.tally.count("workers frozen")
        self.deaths.died(pid, since=now, killed=False)

    def _kill_web(self) -> None:
        """Kill gunicorn's parent process or the one that serves."""
        if web := self.portal.web():
            self.tally.count("web server killed", send(self.chance.choice(web), signal.SIGKILL))

    def _end_everything(self) -> None:
        """Kill the supervisor, and all with it, or ask it to stop; then start it again."""
        workers = self.portal.workers()
        if self.chance.random() < 0.3:
            self.thaw()
            code = self.portal.stop()
            self.tally.count("supervisor stopped")
            if code:
                self.tally.breach(f"The supervisor was asked to stop and ended with {code}.")
        else:
            since = time.monotonic()
            self.portal.kill()
            self.tally.count("supervisor killed")
            self.frozen.clear()
            for pid in workers:
                self._bury(pid, since)
        self.portal.start()
