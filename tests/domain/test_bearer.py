"""Access tokens: ours are believed for half an hour, and nothing else ever is."""

import base64
import json
from datetime import timedelta

import jwt
import pytest
from sqlalchemy import select

from app.database import db, settings, transaction, utc_now
from app.domain import bearer
from app.domain.errors import NotSignedIn
from app.keyring import derived
from app.models import User


@pytest.fixture
def user(cast):
    return db.session.scalars(select(User).where(User.id == cast.owner.user_id)).one()


def claims(user: User, **changes) -> dict:
    now = int(utc_now().timestamp())
    ours = {
        "iss": settings().public_url,
        "aud": bearer.AUDIENCE,
        "sub": str(user.id),
        "jti": "1",
        "iat": now,
        "nbf": now,
        "exp": now + 600,
        "token_version": user.token_version,
    }
    return {name: value for name, value in (ours | changes).items() if value is not ...}


def signed(claims: dict, key: bytes | None = None, algorithm: str = "HS256", **headers) -> str:
    key = derived(settings().secret, "jwt") if key is None else key
    return jwt.encode(claims, key, algorithm, headers={"typ": bearer.KIND} | headers)


def unsigned(claims: dict, algorithm: str) -> str:
    parts = ({"alg": algorithm, "typ": bearer.KIND}, claims)
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + "."


def test_it_works(user):
    assert bearer.holder(bearer.issue(user)) is user
    assert bearer.holder(signed(claims(user))) is user


def test_a_token_lasts_half_an_hour_and_the_minute_by_which_clocks_differ(user):
    assert bearer.holder(bearer.issue(user, utc_now() - timedelta(minutes=30, seconds=50))) is user
    with pytest.raises(NotSignedIn):
        bearer.holder(bearer.issue(user, utc_now() - timedelta(minutes=31, seconds=1)))
    with pytest.raises(NotSignedIn):
        bearer.holder(bearer.issue(user, utc_now() + timedelta(minutes=2)))


def test_no_two_tokens_are_the_same(user):
    now = utc_now()
    assert bearer.issue(user, now) != bearer.issue(user, now)


@pytest.mark.parametrize(
    "changes",
    [
        *[{name: ...} for name in bearer.REQUIRED],
        {"aud": "somebody else"},
        {"aud": [bearer.AUDIENCE, "somebody else"]},
        {"iss": "https://elsewhere.example"},
        {"sub": "nobody"},
        {"sub": "01890a5d-ac96-774b-bcce-b302099a8057"},
        {"sub": 7},
        {"exp": 4_000_000_000},
        {"exp": "tomorrow"},
        {"exp": None},
        {"iat": "now"},
        {"nbf": 4_000_000_000},
        {"token_version": 2},
        {"token_version": ...},
        {"token_version": "1"},
    ],
    ids=str,
)
def test_a_claim_that_is_not_right_makes_the_token_worthless(user, changes):
    with pytest.raises(NotSignedIn):
        bearer.holder(signed(claims(user, **changes)))


def test_only_our_signature_counts(user):
    ours = claims(user)
    good = signed(ours)
    forged = [
        unsigned(ours, "none"),
        unsigned(ours, "None"),
        unsigned(ours, "HS256"),
        signed(ours, key=b"another key of thirty-two bytes!!"),
        signed(ours, key=derived(settings().secret, "session")),
        signed(ours, key=derived(settings().secret, "jwt") * 2, algorithm="HS512"),
        signed(ours, typ="JWT"),
        signed(ours, typ="refresh+jwt"),
        signed(ours, crit=["b64"], b64=False),
        good[:-3] + ("aaa" if good[-3:] != "aaa" else "bbb"),
        good + "a",
        good.rsplit(".", 1)[0],
    ]

    for token in forged:
        with pytest.raises(NotSignedIn):
            bearer.holder(token)


@pytest.mark.parametrize(
    "text",
    ["", ".", "..", "a.b.c", "é.è.à", "\x00", "a" * 1_000_000, "W" * 1_990 + "..", "eyI" * 600 + ".e30."],
)
def test_nothing_sent_is_an_error_of_ours(app, text):
    with pytest.raises(NotSignedIn):
        bearer.holder(text)


def test_a_header_of_a_thousand_brackets_is_no_error_of_ours(app):
    deep = base64.urlsafe_b64encode(b"[" * 1_400).decode().rstrip("=")
    with pytest.raises(NotSignedIn):
        bearer.holder(f"{deep}.e30.AAAA")


def test_someone_who_left_holds_nothing(user):
    token = bearer.issue(user)
    with transaction():
        user.removed_at = utc_now()

    with pytest.raises(NotSignedIn):
        bearer.holder(token)
