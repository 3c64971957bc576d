"""Makes tokens.json: tokens, the keys that are known, the day, and what every verifier must say of each token.

`python -m tests.documented.make_tokens` writes it again; the keys come from fixed seeds and Ed25519 is deterministic.
"""

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.domain.tokens import DAY_ZERO, PAYLOAD, Token, key_id_of, sign

FILE = Path(__file__).parent / "tokens.json"
TODAY = date(2026, 6, 15)
ORDER = 2**252 + 27742317777372353535851937790883648493  # of the Ed25519 group, RFC 8032 section 5.1

ISSUER, OTHER_ISSUER = "org_01JZ8K4M0CARDS", "Programme élargi de vaccination"
Vector = tuple[str, str, str]  # what it is, the token, the outcome


def _key(seed: str) -> tuple[Ed25519PrivateKey, bytes, int]:
    private = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(seed.encode()).digest())
    public = private.public_key().public_bytes_raw()
    return private, public, key_id_of(public)


KEY, PUBLIC, KEY_ID = _key("the key of the year")
OTHER_KEY, OTHER_PUBLIC, OTHER_KEY_ID = _key("the key of another issuer")
STRANGE_KEY, _, STRANGE_KEY_ID = _key("a key that nobody has published")

CARD = Token(KEY_ID, campaign=7, index=41, issued_on=date(2026, 3, 12))
TEXT = sign(CARD, ISSUER, KEY)


def document() -> dict[str, Any]:
    """Return what stands in tokens.json."""
    published = ((KEY_ID, PUBLIC, ISSUER), (OTHER_KEY_ID, OTHER_PUBLIC, OTHER_ISSUER))
    return {
        "today": TODAY.isoformat(),
        "keys": [
            {
                "kid": kid,
                "alg": "Ed25519",
                "public_key": base64.urlsafe_b64encode(public).decode().rstrip("="),
                "issuer": issuer,
            }
            for kid, public, issuer in published
        ],
        "vectors": [
            {"name": name, "token": token, "outcome": outcome}
            for makers in (_good(), _out_of_time(), _unknown(), _altered(), _misspelt())
            for name, token, outcome in makers
        ],
    }


def _good() -> Iterator[Vector]:
    tokens = {
        "a card": CARD,
        "the first card": replace(CARD, index=0),
        "the last index": replace(CARD, index=2**32 - 1),
        "the last campaign": replace(CARD, campaign=2**32 - 1),
        "issued today": replace(CARD, issued_on=TODAY),
        "issued tomorrow, as a clock to the west sees it": replace(CARD, issued_on=TODAY + timedelta(days=1)),
        "issued on the first day": replace(CARD, issued_on=DAY_ZERO + timedelta(days=1)),
        "expires today": replace(CARD, expires_on=TODAY),
        "expires on the last day": replace(CARD, expires_on=DAY_ZERO + timedelta(days=0xFFFF)),
    }
    for name, token in tokens.items():
        yield name, sign(token, ISSUER, KEY), "genuine"
    for index in range(3):
        token = Token(OTHER_KEY_ID, 900 + index, index, TODAY - timedelta(days=index))
        yield f"another issuer's card {index}", sign(token, OTHER_ISSUER, OTHER_KEY), "genuine"


def _out_of_time() -> Iterator[Vector]:
    for days in (1, 30, 90):
        token = replace(CARD, expires_on=TODAY - timedelta(days=days))
        yield f"expired {days} days ago", sign(token, ISSUER, KEY), "expired"
    for days in (2, 30, 20_000):
        token = replace(CARD, issued_on=TODAY + timedelta(days=days))
        yield f"issued in {days} days", sign(token, ISSUER, KEY), "not_yet_valid"


def _unknown() -> Iterator[Vector]:
    for index in range(4):
        token = replace(CARD, key_id=STRANGE_KEY_ID, index=index)
        yield f"signed by an unknown key {index}", sign(token, ISSUER, STRANGE_KEY), "unknown_key"
    yield "another key id in a good card", _flip(8), "unknown_key"


def _altered() -> Iterator[Vector]:
    places = {"campaign": 55, "index": 87, "issued day": 103, "expiry day": 119, "R": 120, "R's end": 375}
    for name, bit in (places | {"S": 376, "S's end": 631}).items():
        yield f"one bit of {name} flipped", _flip(bit), "signature_wrong"

    raw = _raw(TEXT)
    payload, r, s = raw[:15], raw[15:47], raw[47:]
    neighbour = _raw(sign(replace(CARD, index=42), ISSUER, KEY))
    yield "a neighbour's signature", _text(payload + neighbour[15:]), "signature_wrong"
    yield "signed by an unknown key under a known key id", sign(CARD, ISSUER, STRANGE_KEY), "signature_wrong"
    yield "signed by another issuer under our key id", sign(CARD, OTHER_ISSUER, OTHER_KEY), "signature_wrong"
    yield "signed for another issuer's name", sign(CARD, OTHER_ISSUER, KEY), "signature_wrong"
    yield "signed without FIELDCARD1", _text(payload + KEY.sign(ISSUER.encode() + payload)), "signature_wrong"
    yield "only the payload signed", _text(payload + KEY.sign(payload)), "signature_wrong"
    yield "a signature of zeros", _text(payload + bytes(64)), "signature_wrong"
    yield "a signature of ones", _text(payload + b"\xff" * 64), "signature_wrong"
    larger = (int.from_bytes(s, "little") + ORDER).to_bytes(32, "little")
    yield "S larger by the order of the group", _text(payload + r + larger), "signature_wrong"


def _misspelt() -> Iterator[Vector]:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
    last = alphabet.index(TEXT[-1])
    for spare in range(1, 8):
        yield f"spare bits {spare:03b} set", TEXT[:-1] + alphabet[last + spare], "malformed"
    spellings = {
        "lower case": TEXT.lower(),
        "mixed case": TEXT[:64] + TEXT[64:].lower(),
        "with padding": TEXT + "=",
        "one character short": TEXT[:-1],
        "one character long": TEXT + "A",
        "a space inside": TEXT[:60] + " " + TEXT[61:],
        "a line end instead of the last": TEXT[:-1] + "\n",
        "a line end after it": TEXT + "\n",
        "a zero instead of O": TEXT[:60] + "0" + TEXT[61:],
        "a one instead of I": TEXT[:60] + "1" + TEXT[61:],
        "full-width letters": "".join(chr(ord(letter) + 0xFEE0) for letter in TEXT),
        "the whole address": "HTTPS://FIELDCARD.EXAMPLE/V/" + TEXT,
        "nothing": "",
    }
    for name, text in spellings.items():
        yield name, text, "malformed"

    fields = PAYLOAD.unpack(_raw(TEXT)[:15])
    yield "version 2", _signed(0x21, *fields[1:]), "malformed"
    yield "a type that is not a card", _signed(0x12, *fields[1:]), "malformed"
    yield "no issue day", _signed(*fields[:4], 0, 0), "malformed"


def _signed(*fields: int) -> str:
    payload = PAYLOAD.pack(*fields)
    return _text(payload + KEY.sign(b"FIELDCARD1" + ISSUER.encode() + payload))


def _flip(bit: int) -> str:
    raw = bytearray(_raw(TEXT))
    raw[bit // 8] ^= 0x80 >> bit % 8
    return _text(bytes(raw))


def _raw(text: str) -> bytes:
    return base64.b32decode(text + "=")


def _text(raw: bytes) -> str:
    return base64.b32encode(raw).decode().rstrip("=")


if __name__ == "__main__":
    FILE.write_text(json.dumps(document(), ensure_ascii=False, indent=1) + "\n", "utf-8")
