"""Buckets for tests: an S3 server (moto) of their own, and a gate before it that can be shut or break answers off."""

import select
import socket
import threading
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

import boto3

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "tests",
    "AWS_SECRET_ACCESS_KEY": "only the tests know",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclass(frozen=True)
class Bucket:
    """A fresh bucket: its FILES_URL, and the environment by which it is reached."""

    url: str
    endpoint: str
    environment: dict[str, str]


def make_bucket(endpoint: str, *, through: str = "") -> Bucket:
    """Return a new bucket of the server at `endpoint`, to be reached `through` a gate when given."""
    name = f"cards-{uuid.uuid4().hex[:8]}"
    keys = {"aws_access_key_id": "tests", "aws_secret_access_key": "tests", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=endpoint, **keys).create_bucket(Bucket=name)
    reached = through or endpoint
    return Bucket(f"s3://{name}/field/cards", reached, CREDENTIALS | {"AWS_ENDPOINT_URL_S3": reached})


def free_port() -> int:
    """Return a port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Gate:
    """A way to a server that passes everything on, until it is shut, or breaks answers off after `cut_after` bytes."""

    def __init__(self, endpoint: str) -> None:
        self.behind = (urlsplit(endpoint).hostname, urlsplit(endpoint).port)
        self.shut = False
        self.cuts = 0  # how many more connections are broken off
        self.cut_after = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._listen, daemon=True).start()

    def close(self) -> None:
        self.shut = True
        self.listener.close()

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                visitor, _ = self.listener.accept()
                threading.Thread(target=self._pass, args=(visitor,), daemon=True).start()

    def _pass(self, visitor: socket.socket) -> None:
        with suppress(OSError), visitor, socket.create_connection(self.behind) as server:
            answered = 0
            while not self.shut:
                ready, _, _ = select.select([visitor, server], [], [], 0.05)
                for end in ready:
                    data = end.recv(1 << 16)
                    if not data:
                        return
                    if end is visitor:
                        answered = 0
                        server.sendall(data)
                        continue
                    answered += len(data)
                    if self.cuts and answered > self.cut_after:
                        self.cuts -= 1
                        return
                    visitor.sendall(data)


@contextmanager
def s3_server() -> Iterator[str]:
    """Run an S3 server in this process and give its address."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", free_port(), verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@contextmanager
def checked_credentials(server: str) -> Iterator[None]:
    """While this lasts, the server checks credentials, and knows none."""

    def check_after(requests: bytes) -> None:
        plain = {"Content-Type": "text/plain"}
        urllib.request.urlopen(urllib.request.Request(f"{server}/moto-api/reset-auth", requests, plain)).close()

    check_after(b"0")
    try:
        yield
    finally:
        check_after(b"inf")
