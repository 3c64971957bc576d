"""Card tokens: how they are signed, written, read and checked (docs/token-format.md). No database, no clock."""

import base64
import binascii
import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from functools import lru_cache
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from app.rendering.facts import PublicKey

TOKEN_LENGTH = 127  # characters: 79 bytes in Base32 without padding
PAYLOAD = struct.Struct(">BHIIHH")  # version and type, key id, campaign, index, issued day, expiry day
SIGNATURE_LENGTH = 64  # bytes
CARD_V1 = 0x11  # high four bits: version 1; low four bits: type 1, a card
DOMAIN = b"FIELDCARD1"
DAY_ZERO = date(2020, 1, 1)

# A card issued today is already tomorrow's on a phone some time zones to the west.
CLOCKS_DIFFER_BY = timedelta(days=1)


@dataclass(frozen=True)
class Token:
    """What a token says; nothing in it is about the person."""

    key_id: int
    campaign: int
    index: int
    issued_on: date
    expires_on: date | None = None  # the last day it is good


class Outcome(StrEnum):
    """What checking a token can find."""

    GENUINE = "genuine"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    SIGNATURE_WRONG = "signature_wrong"
    UNKNOWN_KEY = "unknown_key"
    MALFORMED = "malformed"


@dataclass(frozen=True)
class Verdict:
    """What was found, and what the token says; None when it could not be read.

    Only with GENUINE, EXPIRED and NOT_YET_VALID is what it says proven.
    """

    outcome: Outcome
    token: Token | None = None


def sign(token: Token, issuer: str, private_key: Ed25519PrivateKey) -> str:
    """Return the signed token, 127 characters; raise ValueError when a number or a day does not fit."""
    payload = _payload(token)
    return _spell(payload + private_key.sign(_signed(issuer, payload)))


def read(text: str) -> Token | None:
    """Return what the token says without checking its signature, or None when it is not one."""
    raw = _bytes(text)
    return None if raw is None else _token(raw)


def verify(text: str, public_key_of: Callable[[int], PublicKey | None], today: date) -> Verdict:
    """Return whether the token is genuine and good `today` (UTC); never raise, whatever `text` is.

    `public_key_of` gives the key that has a key id, or None when no key that is trusted has it.
    """
    raw = _bytes(text)
    token = None if raw is None else _token(raw)
    if raw is None or token is None:
        return Verdict(Outcome.MALFORMED)
    key = public_key_of(token.key_id)
    if key is None:
        return Verdict(Outcome.UNKNOWN_KEY, token)

    payload, signature = raw[: PAYLOAD.size], raw[PAYLOAD.size :]
    try:
        _load(key.public_key).verify(signature, _signed(key.issuer, payload))
    except (InvalidSignature, ValueError):
        return Verdict(Outcome.SIGNATURE_WRONG, token)
    if token.issued_on > today + CLOCKS_DIFFER_BY:
        return Verdict(Outcome.NOT_YET_VALID, token)
    if token.expires_on is not None and token.expires_on < today:
        return Verdict(Outcome.EXPIRED, token)
    return Verdict(Outcome.GENUINE, token)


def address(public_url: str, token: str) -> str:
    """Return what the QR holds, `HTTPS://HOST[:PORT]/V/<token>`; raise ValueError when the URL cannot be a base.

    Scheme and host are in capitals, which mean the same and keep the QR alphanumeric. A path prefix stays as
    it is written, because servers tell its cases apart.
    """
    url = urlsplit(public_url)
    if url.scheme not in ("http", "https") or not url.hostname or "@" in url.netloc or url.query or url.fragment:
        raise ValueError(f"{public_url!r} is not a public address")
    host = url.netloc.encode("idna").decode("ascii").upper()
    return f"{url.scheme.upper()}://{host}{url.path.rstrip('/')}/V/{token}"


def key_id_of(public_key: bytes) -> int:
    """Return the key id: the first two bytes of SHA-256 of the 32-byte public key, big-endian."""
    return int.from_bytes(hashlib.sha256(public_key).digest()[:2], "big")


def _payload(token: Token) -> bytes:
    if token.expires_on is not None and token.expires_on < token.issued_on:
        raise ValueError("A card cannot expire before it is issued")
    expiry = 0 if token.expires_on is None else _day(token.expires_on)
    try:
        return PAYLOAD.pack(CARD_V1, token.key_id, token.campaign, token.index, _day(token.issued_on), expiry)
    except struct.error as error:
        raise ValueError(f"A number of {token} does not fit") from error


def _day(day: date) -> int:
    """Return the days since 2020-01-01, from 1: 0 is kept for "none"."""
    number = (day - DAY_ZERO).days
    if not 1 <= number <= 0xFFFF:
        raise ValueError(f"{day} is outside 2020-01-02 to 2199-06-06")
    return number


def _signed(issuer: str, payload: bytes) -> bytes:
    return DOMAIN + issuer.encode("utf-8") + payload


def _spell(raw: bytes) -> str:
    return base64.b32encode(raw).decode("ascii").rstrip("=")


def _bytes(text: str) -> bytes | None:
    """Return the 79 bytes of a token, or None for any spelling but the one `_spell` writes."""
    if len(text) != TOKEN_LENGTH:
        return None
    try:
        raw = base64.b32decode(text + "=")
    except (binascii.Error, ValueError):
        return None
    # The last character has three bits to spare; b32decode overlooks them, and one card had eight spellings.
    return raw if _spell(raw) == text else None


def _token(raw: bytes) -> Token | None:
    kind, key_id, campaign, index, issued, expiry = PAYLOAD.unpack_from(raw)
    if kind != CARD_V1 or issued == 0:
        return None
    return Token(
        key_id,
        campaign,
        index,
        issued_on=DAY_ZERO + timedelta(days=issued),
        expires_on=DAY_ZERO + timedelta(days=expiry) if expiry else None,
    )


@lru_cache(maxsize=256)
def _load(public_key: bytes) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(public_key)
