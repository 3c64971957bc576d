"""What a backup tells of itself: the manifest at its beginning, the index at its end. Neither holds the secret."""

import json
import re
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

from app.database import utc_now
from app.domain import backups
from app.domain.backups import Damaged
from app.domain.errors import Conflict
from app.sentences import say

FORMAT = "fieldcard-backup/1"
LONGEST = 1 << 30  # bytes of index; far above what an installation of a hundred million cards has
LONGEST_MANIFEST = 1 << 16
SHA256 = re.compile(r"[0-9a-f]{64}")
KEY = re.compile(r"[\w.-]+(?:/[\w.-]+)*")


@dataclass(frozen=True)
class Manifest:
    """Where and when the backup was made, at which tables, and which secret belongs to it, as a fingerprint."""

    format: str
    fieldcard: str
    engine: str
    migration: str
    begun_at: str
    secret: str


@dataclass(frozen=True)
class Entry:
    """A stored file: the SHA-256 that names it in the archive, and its length in bytes."""

    sha256: str
    length: int


@dataclass(frozen=True)
class Index:
    """What belongs together: the file of rows and how many there are, each stored file's key, and what was missing."""

    taken_at: str
    rows_sha256: str
    rows: dict[str, int]
    files: dict[str, Entry]
    missing: tuple[str, ...] = ()


def of_this_installation() -> Manifest:
    """Return the manifest of a backup that begins now."""
    return Manifest(
        format=FORMAT,
        fieldcard=version("fieldcard"),
        engine=backups.engine_name(),
        migration=backups.migration(),
        begun_at=utc_now().isoformat(),
        secret=backups.fingerprint(),
    )


def to_json(told: Manifest | Index) -> bytes:
    """Return it as JSON."""
    return json.dumps(asdict(told), indent=1).encode()


def read_manifest(data: bytes) -> Manifest:
    """Return the manifest. Raises Damaged, and Conflict when this version or this secret cannot restore it."""
    plain = _read(data)
    if plain.get("format") != FORMAT:
        raise Conflict(say("This backup is of a kind that this version of Fieldcard does not know."))
    try:
        manifest = Manifest(**{name: str(plain[name]) for name in Manifest.__dataclass_fields__})
    except KeyError:
        raise _unreadable() from None
    backups.refuse_newer(manifest.migration)
    if manifest.secret != backups.fingerprint():
        raise Conflict(
            say(
                "This backup was made with another FIELDCARD_SECRET, and without it the keys of its cards stay closed. "
                "Put the right one into FIELDCARD_SECRET (or, outside production, into the file “secret” in the data "
                "folder), then restore. Nothing was written."
            )
        )
    return manifest


def read_index(data: bytes) -> Index:
    """Return the index. Raises Damaged when a key or a hash in it could not be one of ours."""
    plain = _read(data)
    try:
        files = {str(key): Entry(str(entry["sha256"]), int(entry["length"])) for key, entry in plain["files"].items()}
        rows = {str(table): int(count) for table, count in plain["rows"].items()}
        index = Index(str(plain["taken_at"]), str(plain["rows_sha256"]), rows, files, tuple(plain["missing"]))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise _unreadable() from None
    for key, entry in files.items():
        if not KEY.fullmatch(key) or ".." in key.split("/") or not SHA256.fullmatch(entry.sha256):
            raise Damaged(say("This backup names a file that Fieldcard never stores (%(key)s).", key=key[:80]))
    return index


def _read(data: bytes) -> dict[str, Any]:
    try:
        plain = json.loads(data)
    except (ValueError, RecursionError):
        raise _unreadable() from None
    if not isinstance(plain, dict):
        raise _unreadable()
    return plain


def _unreadable() -> Damaged:
    return Damaged(say("What this backup tells of itself cannot be read."))
