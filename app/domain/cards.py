"""Cards as the people who made them see them: found by code, what is printed on them, what became of them."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import case, select

from app.database import db
from app.domain import access, designs, drawing, keys
from app.domain.access import Actor
from app.domain.codes import Code, read_code
from app.domain.errors import NotFound
from app.models import LIVE, AuditEntry, Beneficiary, Campaign, Card, CardState, Job, Print, PrintState, User
from app.rendering import chunk
from app.rendering.design import Design
from app.rendering.errors import CannotDraw
from app.rendering.facts import CardFacts, JobFacts

SIDES = ("front", "back")


@dataclass(frozen=True)
class Picture:
    """All that is needed to draw a card as it was last printed."""

    job: JobFacts
    design: Design
    card: CardFacts


@dataclass(frozen=True)
class Printing:
    """One time that a card was printed, or was to be."""

    job_id: uuid.UUID
    at: datetime
    by: str
    first: bool
    state: str


def by_code(actor: Actor, typed: str, *, to: str = "see") -> Card:
    """Return the card of the actor's organisation whose code was typed, forgiving case, spaces and hyphens.

    Raises NotFound alike for a mistyped code, an unknown one and a stranger's; NotAllowed for the wrong role.
    """
    read = read_code(typed)
    for code in read.spellings if isinstance(read, Code) else ():
        try:
            return access.find(Card, actor, code, to=to, by="code")
        except NotFound:
            continue
    raise NotFound()


def belongings(card: Card) -> tuple[Beneficiary, Campaign]:
    """Return the person who holds the card, and the campaign it belongs to."""
    return db.session.get(Beneficiary, card.person_id), db.session.get(Campaign, card.campaign_id)


def of_people(campaign: Campaign, people: Sequence[uuid.UUID]) -> dict[uuid.UUID, Card]:
    """Return for each of the people who have any the card that counts: the live one, else the newest."""
    mine = (Card.campaign_id == campaign.id, Card.person_id.in_(people), Card.state != CardState.void)
    in_order = select(Card).where(*mine).order_by(_is_live(), Card.card_index)
    return {card.person_id: card for card in db.session.scalars(in_order)}


def picture(card: Card) -> Picture | None:
    """Return what the card looks like by its last print; None when there is nothing to see.

    That is a card that was never made, one whose holder was erased, and one whose key is compromised: its token is not
    signed once more.
    """
    if keys.public_key(card.key_id) is None or db.session.get(Beneficiary, card.person_id).erased_at is not None:
        return None
    mine = (Print.campaign_id == card.campaign_id, Print.card_index == card.card_index)
    newest = select(Print, Job).join(Job, Job.id == Print.job_id).where(*mine, Print.state != PrintState.void)
    row = db.session.execute(newest.order_by(Job.created_at.desc()).limit(1)).first()
    if row is None:
        return None
    printed, job = row
    campaign = db.session.get(Campaign, card.campaign_id)
    facts = drawing.card_facts(card, printed.facts, campaign)
    return Picture(drawing.job_facts(job, campaign), designs.of_job(job.design_id), facts)


def draw(card: Card, side: str) -> bytes:
    """Return one side of the card as a PNG for the screen. Raises NotFound when it cannot be drawn."""
    seen = picture(card)
    if seen is None or side not in SIDES:
        raise NotFound()
    db.session.remove()  # drawing takes a while, and the database is not needed for it
    try:
        return chunk.preview(seen.job, seen.design, seen.card)[SIDES.index(side)]
    except CannotDraw as refusal:
        raise NotFound(refusal.sentence) from refusal


def printings(card: Card) -> list[Printing]:
    """Return every time the card was printed, newest first."""
    mine = (Print.campaign_id == card.campaign_id, Print.card_index == card.card_index)
    rows = db.session.execute(
        select(Print.job_id, Print.new_card, Print.state, Job.created_at, User.name, User.email)
        .join(Job, Job.id == Print.job_id)
        .outerjoin(User, User.id == Job.created_by)
        .where(*mine)
        .order_by(Job.created_at.desc(), Job.id.desc())
    )
    return [
        Printing(row.job_id, row.created_at, row.name or row.email or "Fieldcard", row.new_card, row.state)
        for row in rows
    ]


def acts(card: Card) -> list[AuditEntry]:
    """Return what people did to the card, newest first."""
    about = (
        AuditEntry.organisation_id == card.organisation_id,
        AuditEntry.subject_type == "card",
        AuditEntry.subject_id == card.code,
    )
    return list(db.session.scalars(select(AuditEntry).where(*about).order_by(AuditEntry.created_at.desc())))


def _is_live():
    return case((Card.state.in_(LIVE), 1), else_=0)
