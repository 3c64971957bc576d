"""Books: what a client ordered, was promised and has seen of it, and what in a fetched file does not agree with it."""

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Receipts:
    """The SHA-256 of a job's files by kind, as they were answered, and the manifest once it was fetched."""

    seen: dict[str, str] = field(default_factory=dict)
    manifest: dict[str, Any] | None = None

    def compare(self, kind: str, etag: str, body: bytes) -> Iterator[str]:
        """Yield a sentence for everything in which the file is not what it was said to be."""
        digest = hashlib.sha256(body).hexdigest()
        if etag.strip('"') != digest:
            yield f"its entity tag is {etag}, its SHA-256 is {digest}."
            return
        if self.seen.setdefault(kind, digest) != digest:
            yield "it is not the file that was fetched before."
        if kind == "manifest":
            self.manifest = json.loads(body)
        for name, told in (self.manifest or {}).get("artifacts", {}).items():
            if self.seen.get(name, told) != told:
                yield f"the manifest says that the SHA-256 of the {name} is {told}, but it is {self.seen[name]}."
        if kind == "zip" and self.manifest:
            yield from self._compare_members(body)

    def _compare_members(self, body: bytes) -> Iterator[str]:
        told = {file["name"]: file["sha256"] for card in self.manifest["cards"] for file in card["files"]}
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            found = {name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()}
        if found != told:
            yield "it does not hold the pictures that the manifest names."


@dataclass
class Order:
    """A job in a client's books: what was asked, the promise that was answered, and what is known of it."""

    path: str
    key: str
    body: bytes
    people: list[str]
    again: bool  # a reprint, which costs nothing
    promise: bytes | None = None
    job_id: str = ""
    charged: int = 0
    drawn: int = 0
    paused: bool = False
    end: dict[str, Any] | None = None  # the job as it was first seen ended
    receipts: Receipts = field(default_factory=Receipts)

    @property
    def cost(self) -> int:
        """How many cards the job has cost in the end."""
        return self.charged - (self.end or {}).get("quota_refunded", 0)

    @property
    def artifacts(self) -> bool:
        """Whether the job has ended with files."""
        return bool(self.end and self.end.get("artifacts"))
