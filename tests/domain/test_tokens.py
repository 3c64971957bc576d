"""Tokens: what is signed verifies, what is touched does not, and a stranger's verifier agrees with ours."""

import base64
import json
import re
import time
from collections import Counter
from datetime import date
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from app.domain.tokens import Outcome, Token, address, key_id_of, read, sign, verify
from app.rendering.facts import PublicKey
from tests.documented import make_tokens

ROOT = Path(__file__).parents[2]
DOCUMENTED = json.loads(make_tokens.FILE.read_text("utf-8"))
VECTORS = DOCUMENTED["vectors"]
TODAY = date.fromisoformat(DOCUMENTED["today"])
KEYS = {
    key["kid"]: PublicKey(key["kid"], base64.urlsafe_b64decode(key["public_key"] + "="), key["issuer"])
    for key in DOCUMENTED["keys"]
}
CARD, TEXT = make_tokens.CARD, make_tokens.TEXT


def outcome_of(text: str) -> str:
    return str(verify(text, KEYS.get, TODAY).outcome)


def test_it_works() -> None:
    private_key = Ed25519PrivateKey.generate()
    public_key = private_key.public_key().public_bytes_raw()
    card = Token(key_id_of(public_key), 3, 12, date(2026, 3, 12), date(2028, 3, 11))
    keys = {card.key_id: PublicKey(card.key_id, public_key, "org_1")}

    verdict = verify(sign(card, "org_1", private_key), keys.get, date(2026, 4, 1))

    assert verdict.outcome is Outcome.GENUINE
    assert verdict.token == card


def test_the_documented_bytes_are_the_ones_that_are_written() -> None:
    card = Token(0xBD07, 0x01020304, 0x0A0B0C0D, date(2020, 1, 3), date(2020, 9, 13))
    text = sign(card, "org_1", make_tokens.KEY)

    assert len(text) == 127
    assert base64.b32decode(text[:24]).hex() == "11bd07010203040a0b0c0d00020100"
    assert read(text) == card


def test_a_key_id_is_the_start_of_the_keys_hash() -> None:
    assert key_id_of(bytes(32)) == 0x6668  # SHA-256 of 32 zero bytes begins 6668 7aad


def test_the_published_vectors_are_the_ones_that_are_made() -> None:
    assert make_tokens.document() == DOCUMENTED


def test_there_are_vectors_of_every_outcome() -> None:
    counts = Counter(vector["outcome"] for vector in VECTORS)

    assert sum(counts.values()) >= 50
    assert set(counts) == {str(outcome) for outcome in Outcome}
    assert min(counts.values()) >= 3


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_a_vector_has_its_outcome(vector: dict[str, str]) -> None:
    assert outcome_of(vector["token"]) == vector["outcome"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_the_verifier_in_the_documentation_agrees(vector: dict[str, str]) -> None:
    assert documented_verifier()(vector["token"], DOCUMENTED["keys"], TODAY) == vector["outcome"]


def test_the_verifier_in_the_documentation_is_short() -> None:
    assert len([line for line in documented_source().splitlines() if line.strip()]) <= 30


def test_none_of_the_632_bits_can_be_flipped() -> None:
    raw = base64.b32decode(TEXT + "=")
    documented = documented_verifier()
    for bit in range(632):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 0x80 >> bit % 8
        text = base64.b32encode(flipped).decode().rstrip("=")
        assert outcome_of(text) in ("malformed", "unknown_key", "signature_wrong"), bit
        assert documented(text, DOCUMENTED["keys"], TODAY) == outcome_of(text)


def test_only_one_spelling_verifies() -> None:
    others = [TEXT[:place] + TEXT[place].lower() + TEXT[place + 1 :] for place in range(127) if TEXT[place].isalpha()]
    others += [TEXT[:-1] + letter for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567" if letter != TEXT[-1]]
    others += [TEXT + "=", TEXT + "A", " " + TEXT, TEXT + " ", TEXT[:-1], TEXT.lower(), TEXT.replace("O", "0")]

    assert outcome_of(TEXT) == "genuine"
    assert not [text for text in others if text != TEXT and outcome_of(text) == "genuine"]
    assert {outcome_of(text) for text in others[-7:-1]} == {"malformed"}


@given(st.text(max_size=140) | st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", min_size=127, max_size=127))
def test_nothing_sent_is_an_error_of_ours_or_genuine(text: str) -> None:
    assert verify(text, KEYS.get, TODAY).outcome in (Outcome.MALFORMED, Outcome.UNKNOWN_KEY, Outcome.SIGNATURE_WRONG)


@pytest.mark.parametrize(
    "card",
    [
        Token(0x10000, 1, 1, TODAY),
        Token(1, 2**32, 1, TODAY),
        Token(1, 1, -1, TODAY),
        Token(1, 1, 1, date(2020, 1, 1)),
        Token(1, 1, 1, date(2199, 6, 7)),
        Token(1, 1, 1, date(2026, 2, 2), date(2026, 2, 1)),
    ],
)
def test_what_does_not_fit_is_not_signed(card: Token) -> None:
    with pytest.raises(ValueError):
        sign(card, "org_1", make_tokens.KEY)


@pytest.mark.parametrize(
    ("public_url", "start"),
    [
        ("https://cards.example.sn", "HTTPS://CARDS.EXAMPLE.SN/V/"),
        ("https://cards.example.sn/", "HTTPS://CARDS.EXAMPLE.SN/V/"),
        ("http://localhost:8000", "HTTP://LOCALHOST:8000/V/"),
        ("https://health.example.sn/cards/", "HTTPS://HEALTH.EXAMPLE.SN/cards/V/"),
        ("https://santé.example.sn", "HTTPS://XN--SANT-EPA.EXAMPLE.SN/V/"),
    ],
)
def test_the_address_in_the_qr(public_url: str, start: str) -> None:
    assert address(public_url, TEXT) == start + TEXT


def test_the_address_stays_in_the_alphanumeric_mode_of_a_qr() -> None:
    assert re.fullmatch(r"[0-9A-Z $%*+\-./:]+", address("https://cards.example.sn", TEXT))


@pytest.mark.parametrize(
    "public_url", ["cards.example.sn", "ftp://example.sn", "https://", "https://a@b.sn", "https://b.sn/?a=1", ""]
)
def test_no_address_without_a_base(public_url: str) -> None:
    with pytest.raises(ValueError):
        address(public_url, TEXT)


def test_signing_a_campaign_takes_seconds() -> None:
    began = time.perf_counter()
    for index in range(2_000):
        sign(Token(CARD.key_id, 7, index, TODAY), "org_1", make_tokens.KEY)

    assert time.perf_counter() - began < 4  # about 0.1 s on an idle core


def documented_source() -> str:
    page = (ROOT / "docs" / "token-format.md").read_text("utf-8")
    return re.search(r"```python\n(.+?)```", page, re.DOTALL)[1]


def documented_verifier():
    names: dict = {}
    exec(documented_source(), names)
    return names["verify"]
