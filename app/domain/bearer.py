"""Access tokens: what a program shows to prove for whom it speaks (JWT, RFC 7519 and RFC 9068).

A token proves who was signed in and when. What that person may do is read from the database at each request.
"""

import uuid
from datetime import datetime, timedelta

import jwt
from sqlalchemy import select

from app.database import db, read_id, settings, utc_now
from app.domain.errors import NotSignedIn
from app.keyring import derived
from app.models import User
from app.sentences import say

ALGORITHM = "HS256"
KIND = "at+jwt"
AUDIENCE = "fieldcard-api"
LASTS = timedelta(minutes=30)
CLOCKS_DIFFER_BY = timedelta(seconds=60)
REQUIRED = ["exp", "iat", "nbf", "aud", "iss", "sub", "jti"]
LONGEST = 2_000  # characters; ours have about 500


def issue(user: User, now: datetime | None = None) -> str:
    """Return a token that speaks for `user` until LASTS has passed or the person's token version changes."""
    now = now or utc_now()
    claims = {
        "iss": settings().public_url,
        "aud": AUDIENCE,
        "sub": str(user.id),
        "jti": uuid.uuid4().hex,
        "iat": now,
        "nbf": now,
        "exp": now + LASTS,
        "token_version": user.token_version,
    }
    return jwt.encode(claims, _key(), ALGORITHM, headers={"typ": KIND})


def holder(token: str) -> User:
    """Return the person for whom `token` speaks, as they are in the database now.

    Raises NotSignedIn alike for a token that is forged, malformed, outdated or withdrawn, and for one whose
    holder has left.
    """
    claims = _claims(token)
    person = db.session.scalar(select(User).where(User.id == read_id(claims["sub"]), User.removed_at.is_(None)))
    if person is None or person.token_version != claims.get("token_version"):
        raise _refusal()
    return person


def _claims(token: str) -> dict:
    """Return what the token says, its signature and times checked; the algorithm is never the token's."""
    if len(token) > LONGEST:
        raise _refusal()
    try:
        read = jwt.decode_complete(
            token,
            _key(),
            algorithms=[ALGORITHM],
            audience=AUDIENCE,
            issuer=settings().public_url,
            leeway=CLOCKS_DIFFER_BY,
            options={"require": REQUIRED, "strict_aud": True},
        )
    except (jwt.PyJWTError, RecursionError):
        raise _refusal() from None
    claims = read["payload"]
    if read["header"].get("typ") != KIND or claims["exp"] - claims["iat"] > LASTS.total_seconds():
        raise _refusal()
    return claims


def _key() -> bytes:
    return derived(settings().secret, "jwt")


def _refusal() -> NotSignedIn:
    return NotSignedIn(say("This access token is not valid or no longer valid. Sign in again."))
