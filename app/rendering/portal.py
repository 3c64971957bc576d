"""The offline portal of a job: a ZIP whose index.html alone, opened from a memory card, tells which cards are genuine.

Scripts, styles, words, public keys and the list are all inside index.html, because a page opened from a file can load
nothing; the other files are what the documentation promises to those who put the portal on a server. The portal
names no person: the list holds hashes of signed tokens, and short salted hashes of codes (docs/token-format.md).
"""

import base64
import hashlib
import json
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any, BinaryIO

from app.rendering.facts import JobFacts, PublicKey

if TYPE_CHECKING:
    from app.rendering.package import PackedCard

FOLDER = "verification-portal"
STATIC = Path(__file__).parents[2] / "static"
SOURCES = STATIC / "portal"
# In this order. Each is a script element of its own: where a browser cannot read one, the next still runs.
SCRIPTS = (
    STATIC / "vendor" / "jsqr.min.js",
    STATIC / "vendor" / "noble.min.js",
    SOURCES / "checks.js",
    SOURCES / "pictures.js",
    SOURCES / "app.js",
)
LANGUAGES = ("fr", "en", "wo")

LISTED_BYTES = 8  # of a token's SHA-256; enough, for only tokens with a right signature are looked up
SPARE_BITS = 12  # of a code's hash beyond log2(cards): a code that is not listed passes once in 4,096
SALT_BYTES = 16
CAMPAIGN = slice(3, 7)  # where the campaign number stands in a token's payload
READABLE_BY_ALL = 0o100644 << 16


def write_portal(job: JobFacts, cards: Iterable["PackedCard"], out: BinaryIO) -> None:
    """Write the portal of the job's valid cards as a ZIP; the same cards in any order give the same bytes."""
    entries = _entries(job, cards)
    script = b"\n".join(source.read_bytes() for source in SCRIPTS)
    styles = (SOURCES / "styles.css").read_bytes()

    with zipfile.ZipFile(out, "w") as archive:
        folder = _Folder(archive, job.generated_at)
        folder.write("index.html", [_index(job, entries)])
        folder.write("registry.json", _registry(job, entries))
        folder.write("assets/app.js", [script])
        folder.write("assets/styles.css", [styles])
        folder.write("manifest.json", [_json(_manifest(job, entries, folder.sha256), indent=2)])


@dataclass(frozen=True)
class _Entries:
    """What the list says, in orders that tell nothing about who was listed when."""

    tokens: list[tuple[bytes, str]]  # SHA-256 of the token and issue date, rising
    codes: list[int]  # truncated salted hashes, rising, each once
    campaigns: list[int]
    salt: bytes
    bits: int


def _entries(job: JobFacts, cards: Iterable["PackedCard"]) -> _Entries:
    """Return what is said about the valid cards; the cards are read once."""
    salt = hashlib.sha256(f"FIELDCARD1 typed codes {job.job_id} {_time(job)}".encode()).digest()[:SALT_BYTES]
    tokens: list[tuple[bytes, str]] = []
    starts: list[int] = []
    campaigns: set[int] = set()
    for card in cards:
        if card.state != "valid":
            continue
        tokens.append((hashlib.sha256(card.token.encode()).digest(), card.issued_on.isoformat()))
        starts.append(int.from_bytes(hashlib.sha256(salt + card.code.encode()).digest()[:6], "big"))
        campaigns.add(_campaign_number(card.token))

    bits = max(len(tokens) - 1, 0).bit_length() + SPARE_BITS
    codes = sorted({start >> (48 - bits) for start in starts})
    return _Entries(sorted(tokens), codes, sorted(campaigns), salt, bits)


def _campaign_number(token: str) -> int:
    """Return the campaign number in a token: its first 24 characters are the whole payload of 15 bytes."""
    return int.from_bytes(base64.b32decode(token[:24])[CAMPAIGN], "big")


def _registry(job: JobFacts, entries: _Entries) -> Iterator[bytes]:
    """Yield registry.json in its documented shape, an entry at a time."""
    head = {"campaign": job.prefix, "generated_at": _time(job), "total_cards": len(entries.tokens)}
    yield _json(head)[:-1] + b', "entries": {'
    separator = ""
    for digest, issued_on in entries.tokens:
        yield f'{separator}\n"{digest.hex()}": {{"status": "valid", "issued_at": "{issued_on}"}}'.encode()
        separator = ","
    yield b"\n}}\n"


def _index(job: JobFacts, entries: _Entries) -> bytes:
    """Return index.html with everything it needs inside, and a policy that lets it load nothing else."""
    styles = (SOURCES / "styles.css").read_text("utf-8")
    scripts = [source.read_text("utf-8") for source in SCRIPTS]
    words = json.loads((SOURCES / "words.json").read_text("utf-8"))
    page = Template((SOURCES / "index.html").read_text("utf-8"))
    return page.substitute(
        language=_language(job),
        prefix=job.prefix,
        policy=_policy(styles, scripts),
        styles=styles,
        words=_inline_json(words),
        facts=_inline_json(_facts(job, entries)),
        scripts="\n".join(f"<script>{script}</script>" for script in scripts),
    ).encode()


def _facts(job: JobFacts, entries: _Entries) -> dict[str, Any]:
    listed = b"".join(digest[:LISTED_BYTES] for digest, _ in entries.tokens)
    return {
        "prefix": job.prefix,
        "language": _language(job),
        "generated_at": _time(job),
        "total_cards": len(entries.tokens),
        "test": job.test,
        "verify_address": job.verify_address,
        "campaigns": entries.campaigns,
        "keys": [_key(key) for key in job.keys],
        "listed": _base64(listed),
        "typed": {
            "salt": entries.salt.hex(),
            "bits": entries.bits,
            "count": len(entries.codes),
            "hashes": _base64(_rice(entries.codes)),
        },
    }


def _policy(styles: str, scripts: list[str]) -> str:
    """Return the Content-Security-Policy: the scripts and styles inside by their hash, no connection at all."""
    allowed = " ".join(_hash_source(script) for script in scripts)
    return (
        f"default-src 'none'; script-src {allowed}; style-src {_hash_source(styles)}; "
        "img-src blob: data:; base-uri 'none'; form-action 'none'"
    )


def _hash_source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _manifest(job: JobFacts, entries: _Entries, sha256: dict[str, str]) -> dict[str, Any]:
    """Return what the portal is; the campaign by its prefix only, which is on every card anyway."""
    return {
        "campaign": {"prefix": job.prefix, "language": _language(job)},
        "generated_at": _time(job),
        "total_cards": len(entries.tokens),
        "keys": [_key(key) for key in job.keys],
        "files": [{"name": name, "sha256": digest} for name, digest in sorted(sha256.items())],
    }


def _key(key: PublicKey) -> dict[str, Any]:
    """Return a public key as /.well-known/fieldcard-keys.json writes it."""
    public_key = base64.urlsafe_b64encode(key.public_key).decode().rstrip("=")
    return {"kid": key.key_id, "alg": "Ed25519", "public_key": public_key, "issuer": key.issuer}


def _rice(rising: list[int]) -> bytes:
    """Return a rising list of numbers as Golomb-Rice coded gaps: gap >> 12 in unary, a zero, the low 12 bits.

    About 14 bits a code, where the hash itself has 29 in a list of 100,000 cards.
    """
    gaps = (number - before - 1 for before, number in zip([-1, *rising], rising, strict=False))
    low = (1 << SPARE_BITS) - 1
    bits = "".join(f"{'1' * (gap >> SPARE_BITS)}0{gap & low:0{SPARE_BITS}b}" for gap in gaps)
    padded = bits + "0" * (-len(bits) % 8)
    return int(padded or "0", 2).to_bytes(len(padded) // 8, "big")


class _Folder:
    """The portal's folder in the ZIP: files with the job's own time, and their SHA-256 as they are written."""

    def __init__(self, archive: zipfile.ZipFile, made_at: datetime) -> None:
        self.archive = archive
        self.date_time = made_at.astimezone(UTC).timetuple()[:6]
        self.sha256: dict[str, str] = {}

    def write(self, name: str, chunks: Iterable[bytes]) -> None:
        info = zipfile.ZipInfo(f"{FOLDER}/{name}", self.date_time)
        info.compress_type = zipfile.ZIP_DEFLATED
        info.create_system = 3  # Unix, on whatever system it is written
        info.external_attr = READABLE_BY_ALL
        digest = hashlib.sha256()
        with self.archive.open(info, "w") as member:
            for chunk in chunks:
                digest.update(chunk)
                member.write(chunk)
        self.sha256[name] = digest.hexdigest()


def _language(job: JobFacts) -> str:
    return job.language if job.language in LANGUAGES else LANGUAGES[0]


def _time(job: JobFacts) -> str:
    return job.generated_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _json(value: Any, indent: int | None = None) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=indent).encode()


def _inline_json(value: Any) -> str:
    """Return JSON that may stand in a script element: no "<" can end it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
