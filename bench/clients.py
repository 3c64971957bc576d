"""Clients: programs and people that order cards, ask twice, change their minds and fetch files.

Each has a seed, an organisation, and an address of its own. Whatever the portal answers is compared with what it
promised before, which stands in the client's books.
"""

import json
import random
import threading
import time
from collections.abc import Callable
from typing import Any

from app.domain.demo import FIRST_NAMES, LAST_NAMES
from bench.books import Order
from bench.caller import Caller, Person
from bench.line import Answer, Lost
from bench.tally import Tally

DRAIN_PATIENCE = 600.0  # seconds in which, with nobody killed any more, every job must have ended
MOST_OPEN = 3  # jobs of one client that have not ended
CAMPAIGNS = 2
ENDED = ("completed", "failed", "cancelled")
SETTLING = ("packaging", *ENDED)
KINDS = ("pdf", "zip", "portal", "manifest")


class Client(threading.Thread):
    """One client; lives until `calm` is set, then waits for its jobs to end and looks through its books."""

    def __init__(self, number: int, person: Person, port: int, seed: int, tally: Tally, calm: threading.Event) -> None:
        super().__init__(name=f"client {number}", daemon=True)
        self.number = number
        self.person = person
        self.caller = Caller(number, person, port, tally)
        self.chance = random.Random(f"client {number} {seed}")  # noqa: S311 - a story that can be told again
        self.tally = tally
        self.calm = calm
        self.orders: list[Order] = []
        self.campaigns: list[str] = []
        self.serial = 0

    def run(self) -> None:
        try:
            self.caller.sign_in()
            while not self.calm.is_set():
                self._act()
                self.calm.wait(self.chance.uniform(0.02, 0.3))
            self._wind_up()
        except Exception as reason:
            self.tally.breach(f"{self.name} could not go on: {type(reason).__name__}: {reason}")

    @property
    def promised(self) -> list[Order]:
        """The orders that the portal has accepted."""
        return [order for order in self.orders if order.promise]

    @property
    def open(self) -> list[Order]:
        """The accepted orders that were not seen ended."""
        return [order for order in self.promised if not order.end]

    def _act(self) -> None:
        """Do one thing of many."""
        acts: list[tuple[int, Callable[[], None]]] = [(6, self._poll_one), (3, self._fetch_one)]
        if len(self.campaigns) < CAMPAIGNS:
            acts = [(1, self._open_campaign)]
        elif len(self.open) < MOST_OPEN:
            acts += [(8, self._order), (2, self._order_reprints), (2, self._order_as_twins)]
        if self.promised:
            acts += [(3, self._repeat), (1, self._abuse_key)]
        if self.open:
            acts += [(2, self._pause_or_go_on), (1, self._cancel), (1, self._watch)]
        weights, doing = zip(*acts, strict=True)
        self.chance.choices(doing, weights)[0]()

    def _wind_up(self) -> None:
        """Let paused jobs go on, wait until every job has ended, and ask for what is still to be compared."""
        deadline = time.monotonic() + DRAIN_PATIENCE
        while self.open and time.monotonic() < deadline:
            for order in self.open:
                if order.paused:
                    self._go_on(order)
                self._poll(order)
            time.sleep(0.3)
        for order in self.open:
            self.tally.breach(f"{order.job_id} was promised and has not ended.")
        for order in self.promised:
            self._poll(order)
            if order.artifacts:
                self._fetch(order, "manifest")

    def _open_campaign(self) -> None:
        serial = len(self.campaigns)
        wanted = {
            "name": f"Campaign {self.number}-{serial}",
            "campaign_type": "vaccination",
            "prefix": f"K{self.number:02d}{serial:02d}",
            "language": "fr",
            "template_id": "vaccination",
        }
        asked = ("POST", "/campaigns/", json.dumps(wanted).encode(), f"campaign-{self.number}-{serial}")
        first = self.caller.ask(*asked, expect=(201,))
        again = self.caller.ask(*asked, expect=(201,))
        if again.data != first.data:
            self.tally.breach(f"A campaign was asked for twice and answered {first.data} and {again.data}.")
        self.campaigns.append(first.data["id"])

    def _order(self) -> None:
        size = self.chance.choice((2, 3, 4, 5, 6, 8, 10, 12)) if self.chance.random() < 0.9 else 40
        order = self._new_order(self.chance.choice(self.campaigns), self._new_people(size), again=False)
        if self.chance.random() < 0.3:
            self.caller.program.hang_up(
                "POST", order.path, order.body, self.caller.signed(order.key), self.chance.uniform(0, 0.2)
            )
            self.tally.count("posts hung up on")
        self._place(order)

    def _order_reprints(self) -> None:
        ended = [order for order in self.promised if order.end and order.end["status"] == "completed"]
        if ended:
            before = self.chance.choice(ended)
            people = self.chance.sample(json.loads(before.body)["beneficiaries"], min(3, len(before.people)))
            self._place(self._new_order(before.path.split("/")[2], people, again=True))

    def _order_as_twins(self) -> None:
        """Send one order twice at the same moment: one job, and one of the two answers is a replay."""
        order = self._new_order(self.chance.choice(self.campaigns), self._new_people(3), again=False)
        answers: list[Answer] = []
        twin = threading.Thread(target=lambda: answers.append(self._post(order)), daemon=True)
        twin.start()
        answers.append(self._post(order))
        twin.join()
        told = [(answer.status, answer.data if answer.status == 202 else None) for answer in answers]
        if len(told) != 2 or told[0] != told[1]:
            self.tally.breach(f"Twins of one order were answered {told}.")
        if accepted := [answer for answer in answers if answer.status == 202]:
            self._accept(order, accepted[0])
            self.tally.count("twins")

    def _new_people(self, count: int) -> list[dict[str, str]]:
        people = []
        for _ in range(count):
            self.serial += 1
            names = self.chance.choice(FIRST_NAMES), self.chance.choice(LAST_NAMES)
            number = f"P{self.number:02d}-{self.serial:05d}"
            people.append({"first_name": names[0], "last_name": names[1], "beneficiary_id": number})
        return people

    def _new_order(self, campaign: str, people: list[dict[str, str]], *, again: bool) -> Order:
        body = json.dumps({"beneficiaries": people, "dpi": 300}).encode()
        key = f"order-{self.number}-{len(self.orders)}"
        order = Order(f"/campaigns/{campaign}/jobs", key, body, [one["beneficiary_id"] for one in people], again)
        self.orders.append(order)
        return order

    def _place(self, order: Order) -> None:
        answer = self._post(order)
        if answer.status == 202:
            self._accept(order, answer)
        else:
            self.tally.count("orders refused")

    def _post(self, order: Order) -> Answer:
        # 409: the people of a reprint are in another reprint that has not ended
        expect = (202, 402, 409) if order.again else (202, 402)
        answer = self.caller.ask("POST", order.path, order.body, order.key, expect=expect)
        self.tally.count("duplicates absorbed", "idempotent-replayed" in answer.headers)
        return answer

    def _accept(self, order: Order, answer: Answer) -> None:
        promise = answer.data
        order.promise, order.job_id, order.charged = answer.body, promise["job_id"], promise["quota_consumed"]
        cost = 0 if order.again else len(order.people)
        if order.charged != cost or (not order.again and promise["total_cards"] != len(order.people)):
            self.tally.breach(f"{len(order.people)} cards that cost {cost} were ordered, and answered with {promise}.")
        self.tally.count("jobs")

    def _repeat(self) -> None:
        order = self.chance.choice(self.promised)
        answer = self._post(order)
        if "idempotent-replayed" not in answer.headers or answer.body != order.promise:
            self.tally.breach(f"A repeated order was answered {answer.body!r} after {order.promise!r}.")

    def _abuse_key(self) -> None:
        order = self.chance.choice(self.promised)
        other = json.dumps({"beneficiaries": self._new_people(1), "dpi": 300}).encode()
        self.caller.ask("POST", order.path, other, order.key, expect=(422,))

    def _poll_one(self) -> None:
        if self.promised:
            self._poll(self.chance.choice(self.open or self.promised))

    def _poll(self, order: Order) -> str:
        """Ask how the job stands and compare it with what it was before; return its status."""
        seen = self.caller.ask("GET", f"/jobs/{order.job_id}").data
        status = seen["status"]
        order.paused = bool(seen.get("paused"))
        if order.end and seen != order.end:
            self.tally.breach(f"{order.job_id} had ended as {order.end} and is now {seen}.")
        if status in ENDED:
            self._note_end(order, seen)
        elif seen["progress"] > 99 or seen["cards_generated"] < order.drawn:
            self.tally.breach(f"{order.job_id} had {order.drawn} cards drawn and is now {seen}.")
        else:
            order.drawn = seen["cards_generated"]
        return status

    def _note_end(self, order: Order, seen: dict[str, Any]) -> None:
        if order.end:
            return
        order.end = seen
        self.tally.count(f"jobs {seen['status']}")
        total = json.loads(order.promise)["total_cards"]
        if seen["status"] == "failed" or (seen["status"] == "completed" and seen["cards_generated"] != total):
            self.tally.breach(f"Nothing was wrong with the {total} cards of {order.job_id}, and it ended as {seen}.")

    def _fetch_one(self) -> None:
        if self.promised:
            self._fetch(self.chance.choice(self.promised), self.chance.choice(KINDS))

    def _fetch(self, order: Order, kind: str) -> None:
        """Fetch a file, in two parts when the line breaks, and compare it with all that is known of it."""
        answer = self._file(order, kind)
        if answer is None:
            return
        self.tally.count("downloads checked")
        for problem in order.receipts.compare(kind, answer.headers["etag"], answer.body):
            self.tally.breach(f"The {kind} of {order.job_id}: {problem}")
        if not order.end and self._poll(order) not in ENDED:
            self.tally.breach(f"The {kind} of {order.job_id} was there before the job had ended.")
        elif kind == "manifest":
            self._read_manifest(order)

    def _file(self, order: Order, kind: str) -> Answer | None:
        """Return the whole file, None while there is none or when the line broke at once."""
        path = f"/jobs/{order.job_id}/download/{kind}"
        try:
            answer = self.caller.program.ask("GET", path, headers=self.caller.signed())
        except Lost as lost:
            return self._rest(path, lost.part) if lost.part and lost.part.status == 200 else None
        if answer.status in (401, 503):
            answer = self.caller.ask("GET", path, expect=(200, 409))
        if answer.status == 200:
            return answer
        if answer.status != 409 or order.artifacts:
            self.tally.breach(f"The {kind} of {order.job_id} was answered with {answer.status}: {answer.body[:200]!r}")
        return None

    def _rest(self, path: str, part: Answer) -> Answer:
        """Ask for what was missing when the line broke, and return the whole."""
        self.tally.count("downloads cut and resumed")
        missing = {"Range": f"bytes={len(part.body)}-", "If-Range": part.headers["etag"]}
        rest = self.caller.ask("GET", path, more=missing, expect=(206, 416))
        return Answer(200, part.headers, part.body + (rest.body if rest.status == 206 else b""))

    def _read_manifest(self, order: Order) -> None:
        valid = [card for card in order.receipts.manifest["cards"] if card["state"] == "valid"]
        if order.end["status"] == "completed" and len(valid) != order.end["cards_generated"]:
            self.tally.breach(f"The manifest of {order.job_id} names {len(valid)} cards, the job {order.end}.")
        if not {card["beneficiary_id"] for card in valid} <= set(order.people):
            self.tally.breach(f"The manifest of {order.job_id} names people who were not ordered.")
        for card in valid:
            if not order.again:
                self.tally.given(card["code"], order.job_id)

    def _pause_or_go_on(self) -> None:
        order = self.chance.choice(self.open)
        if order.paused:
            self._go_on(order)
            return
        self.caller.press("pause", order.job_id)
        if self._poll(order) not in SETTLING and not order.paused:
            self.tally.breach(f"{order.job_id} was paused and is not.")
        self.tally.count("pauses")

    def _go_on(self, order: Order) -> None:
        self.caller.press("resume", order.job_id)
        self._poll(order)
        if order.paused:
            self.tally.breach(f"{order.job_id} was told to go on and is paused.")

    def _cancel(self) -> None:
        order = self.chance.choice(self.open)
        self.caller.press("cancel", order.job_id)
        if (status := self._poll(order)) not in SETTLING:
            self.tally.breach(f"{order.job_id} was cancelled and is {status}.")
        self.tally.count("cancels")

    def _watch(self) -> None:
        try:
            status = self.caller.browser.listen(f"/app/jobs/{self.chance.choice(self.open).job_id}/events", 1.0)
        except Lost:
            return
        if status >= 500 and status != 503:
            self.tally.breach(f"A stream was answered with {status}.")
