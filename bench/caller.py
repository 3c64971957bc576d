"""A caller: one person's and their program's way to the portal, signed in to both doors, until there is an answer."""

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from bench.line import Answer, Line, Lost
from bench.tally import Tally

PATIENCE = 300.0  # seconds in which the portal must be back and answer, on however busy a machine
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
CSRF = re.compile(rb'name="csrf_token" value="([^"]+)"')


class Unanswered(Exception):
    """The portal did not answer for longer than it may be away, or otherwise than it may."""


@dataclass(frozen=True)
class Person:
    """Who signs in, and for which organisation."""

    email: str
    password: str
    organisation: str


class Caller:
    """Asks through the JSON API as a program, and presses buttons as a person in a browser."""

    def __init__(self, number: int, person: Person, port: int, tally: Tally) -> None:
        self.person = person
        self.program = Line(port, f"10.0.0.{number + 1}")
        self.browser = Line(port, f"10.0.1.{number + 1}")
        self.tally = tally
        self.token = ""

    def sign_in(self) -> None:
        """Get a token, as a program does."""
        credentials = json.dumps({"email": self.person.email, "password": self.person.password}).encode()
        answer = self._until_answered(
            lambda: self.program.ask("POST", "/auth/login", credentials, JSON), (200,), "signing in"
        )
        self.token = answer.data["access_token"]

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        key: str = "",
        *,
        more: Mapping[str, str] | None = None,
        expect: tuple[int, ...] = (200,),
    ) -> Answer:
        """Ask the API until there is an answer; Unanswered when it is not one of those expected."""

        def attempt() -> Answer | None:
            answer = self.program.ask(method, path, body, self.signed(key) | dict(more or {}))
            return self.sign_in() if answer.status == 401 else answer

        return self._until_answered(attempt, expect, f"{method} {path}")

    def press(self, button: str, job_id: str) -> None:
        """Press the button on the job's page until there is an answer."""
        path = f"/app/jobs/{job_id}"

        def attempt() -> Answer | None:
            found = CSRF.search(self.browser.ask("GET", path).body)
            if not found:
                return self._enter()
            form = urlencode({"csrf_token": found[1].decode()}).encode()
            answer = self.browser.ask("POST", f"{path}/{button}", form, FORM)
            return self._enter() if "signin" in answer.headers.get("location", "") else answer

        self._until_answered(attempt, (303,), f"{button} of {job_id}")

    def signed(self, key: str = "") -> dict[str, str]:
        """Return the headers of a request with our token, and with an Idempotency-Key when there is one."""
        headers = JSON | {"Authorization": f"Bearer {self.token}"}
        return headers | {"Idempotency-Key": key} if key else headers

    def _until_answered(self, attempt: Callable[[], Answer | None], expect: tuple[int, ...], what: str) -> Answer:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                answer = attempt()
            except Lost:
                self.tally.count("connections lost", bool(self.token))  # before, the portal is not open yet
                time.sleep(0.1)
                continue
            if answer is None:
                continue
            if answer.status in expect:
                return answer
            if answer.status != 503:
                raise Unanswered(f"{what} was answered with {answer.status}: {answer.body[:300]!r}")
            self.tally.count("told to come back")
            time.sleep(0.5)
        raise Unanswered(f"{what} was not answered for {PATIENCE:.0f} s.")

    def _enter(self) -> None:
        """Sign in to the portal, as a person does."""
        self.browser.cookies.clear()
        found = CSRF.search(self.browser.ask("GET", "/signin").body)
        fields = {"email": self.person.email, "password": self.person.password, "csrf_token": found[1] if found else ""}
        self.browser.ask("POST", "/signin", urlencode(fields).encode(), FORM)
