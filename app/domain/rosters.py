"""A campaign's people as a list with the card each holds: looked through page by page, or taken away whole."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, and_, exists, func, or_, select

from app.database import db, one_transaction, utc_now
from app.domain import audit, cards
from app.domain.access import Actor, require
from app.domain.codes import Code, read_code
from app.domain.errors import NotFound
from app.intake.values import printable, unaccented
from app.models import LIVE, AuditEntry, Beneficiary, Campaign, Card, CardState, Enrolment

WITH_CARD, WITHOUT_CARD = "with", "without"
ONE_READING = timedelta(minutes=10)
BATCH = 500
SHOWN_OF_PHONE = 2  # digits that a viewer sees, enough to tell two numbers apart on the telephone


@dataclass(frozen=True)
class Line:
    """One person of a list, the card that counts, and the phone number as far as the reader may see it."""

    person: Beneficiary
    card: Card | None
    phone: str


def look(
    campaign: Campaign, words: str = "", having: str = "", *, by: Actor, limit: int = 20, offset: int = 0
) -> tuple[int, list[Line]]:
    """Return how many people of the campaign match, and one page of them, newest first.

    `words` are looked for in names, IDs and phone numbers, or are the code of a card; `having` is WITH_CARD,
    WITHOUT_CARD or nothing. Whoever may not see phone numbers cannot search for them either. Those who were erased
    stand in the whole list, and are found by the code of their card only.
    """
    wanted = [Enrolment.campaign_id == campaign.id, *_having(campaign, having), *_matching(campaign, words, by)]
    joined = Beneficiary.id == Enrolment.person_id
    total = db.session.scalar(select(func.count()).select_from(Enrolment).join(Beneficiary, joined).where(*wanted)) or 0
    newest = select(Beneficiary).join(Enrolment, joined).where(*wanted).order_by(Enrolment.id.desc())
    return total, _lines(campaign, list(db.session.scalars(newest.limit(limit).offset(offset))), by)


def note_reading(campaign: Campaign, *, by: Actor) -> None:
    """Write into the audit log that the person reads the list: once in ten minutes, however many pages they turn."""
    mine = (
        AuditEntry.organisation_id == by.organisation_id,
        AuditEntry.actor_id == by.user_id,
        AuditEntry.action == "people.listed",
        AuditEntry.subject_type == "campaign",
        AuditEntry.subject_id == str(campaign.id),
        AuditEntry.created_at > utc_now() - ONE_READING,
    )
    # Two pages opened at once may both be noted; harmless, because the log only says too much then.
    if db.session.scalar(select(AuditEntry.id).where(*mine).limit(1)) is None:
        _note(campaign, "people.listed", by)


def export(campaign: Campaign, *, by: Actor) -> Iterator[Line]:
    """Return everybody in the campaign in the order they came; the audit log says who took the list and its length.

    Raises NotAllowed for those who may not see phone numbers.
    """
    require(by, "see phone numbers")
    joined = select(func.count()).select_from(Enrolment).join(Beneficiary, Beneficiary.id == Enrolment.person_id)
    everybody = joined.where(Enrolment.campaign_id == campaign.id, Beneficiary.erased_at.is_(None))
    _note(campaign, "people.exported", by, rows=db.session.scalar(everybody))
    return _everybody(campaign, by)


def refuse_outsider(campaign: Campaign, person: Beneficiary) -> None:
    """Raise NotFound unless the person is in the campaign."""
    inside = (Enrolment.campaign_id == campaign.id, Enrolment.person_id == person.id)
    if db.session.scalar(select(Enrolment.id).where(*inside)) is None:
        raise NotFound()


def campaigns_of(person: Beneficiary) -> list[tuple[Campaign, Card | None]]:
    """Return the campaigns the person is in, newest first, each with the card that counts there."""
    mine = (
        select(Campaign).join(Enrolment, Enrolment.campaign_id == Campaign.id).where(Enrolment.person_id == person.id)
    )
    found = list(db.session.scalars(mine.order_by(Campaign.id.desc())))
    return [(campaign, cards.of_people(campaign, [person.id]).get(person.id)) for campaign in found]


def masked(phone: str | None) -> str:
    """Return the phone number with dots for all but its last two digits; empty for none."""
    return f"••• {phone[-SHOWN_OF_PHONE:]}" if phone else ""


def _having(campaign: Campaign, having: str) -> list[ColumnElement[bool]]:
    theirs = exists().where(Card.campaign_id == campaign.id, Card.person_id == Enrolment.person_id)
    if having == WITH_CARD:
        return [theirs.where(Card.state.in_((CardState.valid, CardState.suspended)))]
    lacking = [~theirs.where(Card.state.in_(LIVE)), Beneficiary.erased_at.is_(None)]
    return lacking if having == WITHOUT_CARD else []


def _matching(campaign: Campaign, words: str, by: Actor) -> list[ColumnElement[bool]]:
    plain = unaccented(printable(words)).split()
    if not plain:
        return []
    by_words = and_(*(_matches(word, by) for word in plain), Beneficiary.erased_at.is_(None))
    read = read_code(words)
    if not isinstance(read, Code):
        return [by_words]
    holders = select(Card.person_id).where(Card.campaign_id == campaign.id, Card.code.in_(read.spellings))
    return [or_(by_words, Beneficiary.id.in_(holders))]


def _matches(word: str, by: Actor) -> ColumnElement[bool]:
    # Digits asked for one by one would spell out a number that is masked in the page.
    if by.may("see phone numbers") or any(letter.isalpha() for letter in word):
        return Beneficiary.search_text.contains(word, autoescape=True)
    return func.lower(Beneficiary.beneficiary_id).contains(word, autoescape=True)


def _lines(campaign: Campaign, people: list[Beneficiary], by: Actor) -> list[Line]:
    held = cards.of_people(campaign, [person.id for person in people])
    plain = by.may("see phone numbers")
    return [
        Line(person, held.get(person.id), (person.phone_number or "") if plain else masked(person.phone_number))
        for person in people
    ]


def _everybody(campaign: Campaign, by: Actor) -> Iterator[Line]:
    last = None
    while True:
        inside = select(Enrolment.id, Beneficiary).join(Beneficiary, Beneficiary.id == Enrolment.person_id)
        inside = inside.where(Enrolment.campaign_id == campaign.id, Beneficiary.erased_at.is_(None))
        if last is not None:
            inside = inside.where(Enrolment.id > last)
        rows = db.session.execute(inside.order_by(Enrolment.id).limit(BATCH)).all()
        if not rows:
            return
        yield from _lines(campaign, [person for _enrolment, person in rows], by)
        last = rows[-1].id


@one_transaction
def _note(campaign: Campaign, action: str, by: Actor, **facts: int) -> None:
    audit.note(by, action, "campaign", campaign.id, **facts)
