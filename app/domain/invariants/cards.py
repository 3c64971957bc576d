"""The cards' invariants: every code is one card's, every person has one live card, and every card verifies.

A token is worked out from the card's row and its key whenever it is needed, and Ed25519 gives the same one each time.
So a card verifies when its numbers and days fit into a token, its key is its organisation's and published, and the
two halves of that key belong together. The first two are looked at for every card. The last is a matter of keys, and
is proven by signing and verifying: all cards of a small installation, and of a large one as many, spread over all
cards, others each time.
"""

import random
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, func, select
from stdnum.iso7064 import mod_37_36

from app.database import db, spell
from app.domain import keys, tokens
from app.domain.codes import ALPHABET, SERIAL_LENGTH
from app.domain.invariants.breach import Breach, Breaches
from app.domain.keys import VERIFYING, KeyUnreadable
from app.models import ISSUED, LIVE, Campaign, Card, CardState, SigningKey
from app.sentences import N_, Sentence, say

AT_ONCE = 5_000
PROVEN = 2_000  # cards whose signature is made and verified at each look
SERIAL = frozenset(ALPHABET)
LARGEST = 0xFFFFFFFF  # of a number that a token has four bytes for
LAST_DAY = tokens.DAY_ZERO + timedelta(days=0xFFFF)


@dataclass(frozen=True)
class Home:
    """What a card takes from its campaign, and what it must agree with."""

    organisation_id: uuid.UUID
    prefix: str
    number: int


@dataclass(frozen=True)
class Known:
    """A signing key, as far as cards are concerned."""

    organisation_id: uuid.UUID
    status: str


def codes_are_unique() -> Breaches:
    """A code is one card's in the whole installation."""
    twice = select(Card.code, func.count().label("n")).group_by(Card.code).having(func.count() > 1)
    for row in db.session.execute(twice):
        yield Breach(
            say("%(n)s cards have the code %(code)s. Revoke all but one and make them again.", n=row.n, code=row.code)
        )


def people_have_one_live_card() -> Breaches:
    """Nobody has two live cards in one campaign."""
    rows = db.session.execute(
        select(Card.campaign_id, Card.organisation_id, Card.person_id, func.count().label("n"))
        .where(Card.state.in_(LIVE))
        .group_by(Card.campaign_id, Card.organisation_id, Card.person_id)
        .having(func.count() > 1)
    )
    for row in rows:
        yield Breach(
            say(
                "Person %(person)s has %(n)s live cards in campaign %(campaign)s. Revoke all but one.",
                person=str(row.person_id),
                n=row.n,
                campaign=spell("camp", row.campaign_id),
            ),
            row.organisation_id,
        )


def cards_are_genuine() -> Breaches:
    """Every issued card has a sound code of its campaign, and a token that the published key verifies."""
    homes, known = _homes(), _keys()
    unpublished: Counter[tuple[int, uuid.UUID]] = Counter()
    provable = _Spread(PROVEN)
    for card in _issued():
        home, key = homes[card.campaign_id], known.get(card.key_id)
        if not _is_code(card.code, home.prefix):
            yield _about(card, N_("Card %(code)s has a code that its campaign cannot have. Replace it."))
        if not _fits(card, home):
            yield _about(card, N_("Card %(code)s has numbers or days that fit into no token. Replace it."))
        elif key is None or key.organisation_id != card.organisation_id:
            yield _about(card, N_("Card %(code)s is signed with a key of nobody or of others. Replace it."))
        elif key.status in VERIFYING:
            provable.offer(card)
        elif card.state == CardState.valid:
            unpublished[card.key_id, card.organisation_id] += 1
    for (key_id, organisation_id), n in unpublished.items():
        sentence = say(
            "%(n)s valid cards are signed with key %(key)s, which is not published any more. Replace them.",
            n=n,
            key=key_id,
        )
        yield Breach(sentence, organisation_id)
    yield from _do_not_verify(provable.kept, homes)


def _homes() -> dict[uuid.UUID, Home]:
    rows = db.session.execute(select(Campaign.id, Campaign.organisation_id, Campaign.prefix, Campaign.number))
    return {row.id: Home(row.organisation_id, row.prefix, row.number) for row in rows}


def _keys() -> dict[int, Known]:
    rows = db.session.execute(select(SigningKey.key_id, SigningKey.organisation_id, SigningKey.status))
    return {row.key_id: Known(row.organisation_id, row.status) for row in rows}


def _issued() -> Iterator[Row[Any]]:
    table = Card.__table__.c
    wanted = select(
        table.campaign_id,
        table.card_index,
        table.organisation_id,
        table.code,
        table.key_id,
        table.issued_on,
        table.expires_on,
        table.state,
    ).where(table.state.in_(ISSUED))
    return iter(db.session.execute(wanted.execution_options(yield_per=AT_ONCE)))


def _is_code(code: str, prefix: str) -> bool:
    """Return whether the code is the prefix, a hyphen, seven characters and their check."""
    serial = code[len(prefix) + 1 :]
    shaped = code.startswith(f"{prefix}-") and len(serial) == SERIAL_LENGTH and SERIAL.issuperset(serial)
    return shaped and mod_37_36.is_valid(serial)


def _fits(card: Row[Any], home: Home) -> bool:
    """Return whether `tokens.sign` can write the card's numbers and days."""
    in_days = tokens.DAY_ZERO < card.issued_on <= LAST_DAY
    ends = card.expires_on is None or card.issued_on <= card.expires_on <= LAST_DAY
    return in_days and ends and 0 <= card.card_index <= LARGEST and 0 <= home.number <= LARGEST


def _do_not_verify(cards: Sequence[Row[Any]], homes: dict[uuid.UUID, Home]) -> Breaches:
    """Sign the cards again and verify them; of a key that cannot be opened `secret_opens_keys` tells."""
    public = {card.key_id: keys.public_key(card.key_id) for card in cards}
    for card in cards:
        number = homes[card.campaign_id].number
        token = tokens.Token(card.key_id, number, card.card_index, card.issued_on, card.expires_on)
        try:
            text = tokens.sign(token, *keys.signer(card.key_id))
        except KeyUnreadable:
            continue
        if tokens.verify(text, public.get, card.issued_on).outcome != tokens.Outcome.GENUINE:
            yield _about(card, N_("Card %(code)s does not verify with its key. Restore the key from a backup."))


def _about(card: Row[Any], template: str) -> Breach:
    return Breach(Sentence(template, {"code": card.code}), card.organisation_id)


class _Spread:
    """So many of the cards that are offered, each as likely as any other (Vitter's algorithm R)."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.seen = 0
        self.kept: list[Row[Any]] = []

    def offer(self, card: Row[Any]) -> None:
        self.seen += 1
        if len(self.kept) < self.most:
            self.kept.append(card)
        elif (place := int(random.random() * self.seen)) < self.most:  # noqa: S311 - a spread, no secret
            self.kept[place] = card
