"""A line to the portal: plain HTTP from an address of one's own, and the ways in which a connection is lost."""

import http.client
import json
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any

PATIENCE = 120.0  # seconds for one answer; a portal that needs longer counts as not answering
READ_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class Answer:
    """A whole answer. Header names are in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def data(self) -> dict[str, Any]:
        """The JSON object of the body."""
        return json.loads(self.body)


class Lost(Exception):
    """The connection broke before the answer was whole; what had come by then is in `part`, if headers had."""

    def __init__(self, reason: BaseException, part: Answer | None = None) -> None:
        super().__init__(f"{type(reason).__name__}: {reason}")
        self.part = part


@dataclass
class Line:
    """Requests from the client at `address`, each on a connection of its own, with the cookies it was given."""

    port: int
    address: str
    cookies: dict[str, str] = field(default_factory=dict)

    def ask(self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] = {}) -> Answer:
        """Return the answer. Raises Lost when there is none, or only a part of one."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        came: list[bytes] = []
        part = None
        try:
            connection.request(method, path, body, self._headers(headers))
            response = connection.getresponse()
            self._keep_cookies(response)
            named = {name.lower(): value for name, value in response.getheaders()}
            part = Answer(response.status, named, b"")
            while some := response.read(READ_AT_ONCE):
                came.append(some)
            if (length := named.get("content-length")) and method != "HEAD" and sum(map(len, came)) != int(length):
                raise http.client.IncompleteRead(b"")
            return Answer(response.status, named, b"".join(came))
        except (OSError, http.client.HTTPException) as reason:
            if isinstance(reason, http.client.IncompleteRead):
                came.append(reason.partial)
            raise Lost(reason, part and Answer(part.status, part.headers, b"".join(came))) from None
        finally:
            connection.close()

    def hang_up(self, method: str, path: str, body: bytes, headers: Mapping[str, str], after: float) -> None:
        """Send the request and break the connection `after` so many seconds, whatever comes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        with suppress(OSError, http.client.HTTPException):
            connection.request(method, path, body, self._headers(headers))
            time.sleep(after)
        connection.close()

    def listen(self, path: str, seconds: float) -> int:
        """Listen to a stream for so long, then hang up; return the status of the answer. Raises Lost without one."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("GET", path, headers=self._headers({}))
            response = connection.getresponse()
            if connection.sock:
                connection.sock.settimeout(seconds)
            with suppress(socket.timeout):
                response.read(READ_AT_ONCE)
            return response.status
        except (OSError, http.client.HTTPException) as reason:
            raise Lost(reason) from None
        finally:
            connection.close()

    def _headers(self, more: Mapping[str, str]) -> dict[str, str]:
        ours = {"X-Forwarded-For": self.address}
        if self.cookies:
            ours["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return ours | dict(more)

    def _keep_cookies(self, response: http.client.HTTPResponse) -> None:
        for line in response.headers.get_all("Set-Cookie", []):
            for name, morsel in SimpleCookie(line).items():
                self.cookies[name] = morsel.value
