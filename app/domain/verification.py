"""Verification: what anybody may learn about a card from its signed token or its code. Never who holds it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from urllib.parse import parse_qs, urlsplit

from sqlalchemy import ColumnElement, Row, select

from app.database import db, utc_now
from app.domain import tokens
from app.domain.codes import Code, WrongCheck, read_code
from app.domain.tokens import CLOCKS_DIFFER_BY, TOKEN_LENGTH, Token
from app.models import ISSUED, Campaign, Card, CardState, Job, KeyStatus, Organisation, SigningKey
from app.rendering.facts import PublicKey
from app.sentences import Sentence

LONGEST_ADDRESS = 2_000
PAYLOAD_LENGTH = 24  # characters of Base32: the 15 bytes of the payload (docs/token-format.md)
SPACES = re.compile(r"\s+")


class Outcome(StrEnum):
    """What a verification can find. Only `valid` means: accept the card."""

    valid = "valid"
    suspended = "suspended"
    revoked = "revoked"
    replaced = "replaced"
    expired = "expired"
    not_yet_valid = "not_yet_valid"
    not_issued = "not_issued"
    not_genuine = "not_genuine"
    compromised = "compromised"
    other_issuer = "other_issuer"
    malformed = "malformed"
    typing_error = "typing_error"
    unknown = "unknown"


@dataclass(frozen=True)
class Answer:
    """What is said about a card; nothing in it is about a person.

    `campaign` and `organisation` are empty where nothing is proven and for campaigns that must not be named.
    `signed` tells that the token's signature was right, `test` that the card says TEST and is worth nothing, `hint`
    what is wrong with a typed code.
    """

    outcome: Outcome
    checked_at: datetime
    code: str = ""
    campaign: str = ""
    organisation: str = ""
    issued_on: date | None = None
    expires_on: date | None = None
    signed: bool = False
    test: bool = False
    hint: Sentence | None = None


@dataclass(frozen=True)
class PublishedKey:
    """A key as the world may see it; one that is compromised is listed so that verifiers learn of it."""

    key: PublicKey
    status: str
    not_before: datetime


def check_token(text: str, today: date | None = None) -> Answer:
    """Return what the signed token says about its card `today` (UTC): its signature first, then the card's state.

    Never raises, whatever `text` is. What was withdrawn is said to be withdrawn also after its last day.
    """
    now = utc_now()
    token = tokens.read(text)
    known = next(iter(_keys(SigningKey.__table__.c.key_id == token.key_id)), None) if token else None
    verdict = tokens.verify(text, lambda _key_id: known.key if known else None, today or now.date())
    match verdict.outcome:
        case tokens.Outcome.MALFORMED:
            return Answer(Outcome.malformed, now)
        case tokens.Outcome.UNKNOWN_KEY:
            return Answer(Outcome.other_issuer, now)
        case tokens.Outcome.SIGNATURE_WRONG:
            return Answer(Outcome.not_genuine, now)
    if known.status == KeyStatus.compromised:
        return Answer(Outcome.compromised, now)
    return replace(_of_signed(verdict.token, today or now.date(), now), signed=True)


def check_code(typed: str, today: date | None = None) -> Answer:
    """Return what is known about the card whose code a person typed. Never raises.

    Every well-formed code costs the same one query and every miss gets the same answer, so that nobody learns more
    by guessing than by asking. A code whose card was never handed out is a miss too.
    """
    now = utc_now()
    read = read_code(typed)
    if not isinstance(read, Code):
        wrong = Outcome.typing_error if isinstance(read, WrongCheck) else Outcome.malformed
        return Answer(wrong, now, hint=read.sentence)
    rows = {row.code: row for row in _rows(Card.__table__.c.code.in_(read.spellings))}
    row = next((rows[code] for code in read.spellings if code in rows), None)
    if row is None or row.state not in ISSUED:
        return Answer(Outcome.unknown, now, code=str(read))
    return _of_row(row, today or now.date(), now)


def token_in(text: str) -> str | None:
    """Return what stands where an address or a QR code of ours has its token; None when `text` is neither.

    Takes `HTTPS://HOST/V/<token>`, `…/verify?p=<payload>&s=<signature>` and the bare token; it may be malformed.
    """
    plain = SPACES.sub("", text)[:LONGEST_ADDRESS]
    if "/V/" in plain:
        return re.split(r"[?#]", plain.rpartition("/V/")[2])[0]
    try:
        asked = parse_qs(urlsplit(plain).query)
    except ValueError:
        asked = {}
    if "p" in asked and "s" in asked:
        return joined(asked["p"][0], asked["s"][0])
    return plain if len(plain) == TOKEN_LENGTH else None


def joined(payload: str, signature: str) -> str:
    """Return the token whose two parts an address carries apart; one that was cut elsewhere is none."""
    return payload + signature if len(payload) == PAYLOAD_LENGTH else ""


def published_keys() -> list[PublishedKey]:
    """Return every public key of the installation, newest first."""
    return sorted(_keys(), key=lambda known: known.not_before, reverse=True)


def _keys(*where: ColumnElement[bool]) -> list[PublishedKey]:
    """Return keys of whichever organisation, never their private halves; compromised ones too, to be told apart."""
    keys = SigningKey.__table__
    columns = (keys.c.key_id, keys.c.public_key, keys.c.issuer, keys.c.status, keys.c.not_before)
    rows = db.session.execute(select(*columns).where(*where))
    return [PublishedKey(PublicKey(row.key_id, row.public_key, row.issuer), row.status, row.not_before) for row in rows]


def _of_signed(token: Token, today: date, now: datetime) -> Answer:
    cards, campaigns = Card.__table__, Campaign.__table__
    # The key must be the card's own: otherwise one organisation's key would vouch for the cards of another.
    found = _rows(
        campaigns.c.number == token.campaign,
        cards.c.card_index == token.index,
        cards.c.key_id == token.key_id,
        cards.c.issued_on == token.issued_on,
    )
    if not found or found[0].state not in ISSUED:
        return Answer(Outcome.not_issued, now, issued_on=token.issued_on, expires_on=token.expires_on)
    return _of_row(found[0], today, now)


def _rows(*where: ColumnElement[bool]) -> Sequence[Row]:
    """Return what may be said about the cards, of whichever organisation: whoever holds a card may ask about it.

    The tables themselves are asked, because the net around one organisation is on purpose not wanted here. The
    columns are named one by one, so that nothing about the person is even read.
    """
    cards, campaigns, organisations, jobs = (model.__table__ for model in (Card, Campaign, Organisation, Job))
    return db.session.execute(
        select(
            cards.c.code,
            cards.c.state,
            cards.c.issued_on,
            cards.c.expires_on,
            campaigns.c.sensitive,
            campaigns.c.name.label("campaign"),
            organisations.c.name.label("organisation"),
            jobs.c.test_cards.label("test"),
        )
        .join(campaigns, campaigns.c.id == cards.c.campaign_id)
        .join(organisations, organisations.c.id == cards.c.organisation_id)
        .join(jobs, jobs.c.id == cards.c.job_id)
        .where(*where)
    ).all()


def _of_row(row: Row, today: date, now: datetime) -> Answer:
    return Answer(
        _outcome(row, today),
        now,
        code=row.code,
        campaign="" if row.sensitive else row.campaign,
        organisation="" if row.sensitive else row.organisation,
        issued_on=row.issued_on,
        expires_on=row.expires_on,
        test=row.test,
    )


def _outcome(row: Row, today: date) -> Outcome:
    if row.state in (CardState.revoked, CardState.replaced):
        return Outcome(row.state)
    if row.expires_on is not None and row.expires_on < today:
        return Outcome.expired
    if row.state == CardState.suspended:
        return Outcome.suspended
    return Outcome.not_yet_valid if row.issued_on > today + CLOCKS_DIFFER_BY else Outcome.valid
