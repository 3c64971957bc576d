"""Dossiers: everything the installation knows about one person, gathered to be handed to them. Nothing is changed."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest
from typing import Any

from sqlalchemy import and_, or_, select

from app.database import db, one_transaction
from app.domain import audit, traces
from app.domain.access import Actor, require
from app.domain.erasure import refuse_erased
from app.models import AuditEntry, Beneficiary, Campaign, Card, Enrolment, ImportBatch, Job, Print
from app.sentences import Sentence


@dataclass(frozen=True)
class Printed:
    """One print of one of the person's cards: what stood on it, and why it failed if it did."""

    at: datetime
    code: str
    state: str
    facts: dict[str, Any]
    problem: Sentence | None


@dataclass(frozen=True)
class Listed:
    """A row of a list that was brought in: its cells by the names of their columns, and what was wrong with it."""

    file_name: str
    at: datetime
    number: int
    cells: dict[str, str]
    problems: tuple[Sentence, ...]


@dataclass(frozen=True)
class Dossier:
    """Everything about one person, each part oldest first."""

    person: Beneficiary
    enrolments: tuple[tuple[Campaign, datetime], ...]
    cards: tuple[tuple[Card, Campaign], ...]
    prints: tuple[Printed, ...]
    rows: tuple[Listed, ...]
    acts: tuple[AuditEntry, ...]


def hand_out(person: Beneficiary, *, by: Actor) -> Dossier:
    """Return everything about the person; the audit log says who took it. Raises Conflict when they were erased."""
    require(by, "see phone numbers")
    refuse_erased(person)
    _note(person.id, by)
    return Dossier(person, _enrolments(person), _cards(person), _prints(person), _rows(person), _acts(person))


@one_transaction
def _note(person_id: uuid.UUID, by: Actor) -> None:
    audit.note(by, "person.exported", "person", person_id)


def _enrolments(person: Beneficiary) -> tuple[tuple[Campaign, datetime], ...]:
    mine = select(Campaign, Enrolment.created_at).join(Enrolment, Enrolment.campaign_id == Campaign.id)
    rows = db.session.execute(mine.where(Enrolment.person_id == person.id).order_by(Enrolment.id))
    return tuple((campaign, since) for campaign, since in rows)


def _cards(person: Beneficiary) -> tuple[tuple[Card, Campaign], ...]:
    mine = select(Card, Campaign).join(Campaign, Campaign.id == Card.campaign_id).where(Card.person_id == person.id)
    rows = db.session.execute(mine.order_by(Card.issued_on, Card.campaign_id, Card.card_index))
    return tuple((card, campaign) for card, campaign in rows)


def _prints(person: Beneficiary) -> tuple[Printed, ...]:
    rows = db.session.execute(
        select(Print, Card.code, Job.created_at)
        .join(Card, and_(Card.campaign_id == Print.campaign_id, Card.card_index == Print.card_index))
        .join(Job, Job.id == Print.job_id)
        .where(Card.person_id == person.id)
        .order_by(Job.created_at, Print.job_id, Print.ordinal)
    )
    return tuple(
        Printed(at, code, line.state, line.facts, Sentence.from_json(line.problem) if line.problem else None)
        for line, code, at in rows
    )


def _rows(person: Beneficiary) -> tuple[Listed, ...]:
    listed = []
    for row in list(traces.rows_of(person)):
        batch = db.session.get_one(ImportBatch, row.batch_id)
        problems = tuple(Sentence.from_json(problem["sentence"]) for problem in row.problems)
        cells = _by_column(batch.look.get("columns", []), row.original)
        listed.append(Listed(batch.file_name, batch.created_at, row.number, cells, problems))
    return tuple(listed)


def _by_column(heads: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    """Return every cell by the name of its column; a name that comes again, or is missing, is numbered."""
    named: dict[str, str] = {}
    for head, cell in zip_longest(heads[: len(cells)], cells, fillvalue=""):
        name, number = head, 1
        while name in named:
            number += 1
            name = f"{head} ({number})".strip()
        named[name] = cell
    return named


def _acts(person: Beneficiary) -> tuple[AuditEntry, ...]:
    codes = select(Card.code).where(Card.person_id == person.id)
    about = or_(
        and_(AuditEntry.subject_type == "person", AuditEntry.subject_id == str(person.id)),
        and_(AuditEntry.subject_type == "card", AuditEntry.subject_id.in_(codes)),
    )
    mine = select(AuditEntry).where(AuditEntry.organisation_id == person.organisation_id, about)
    return tuple(db.session.scalars(mine.order_by(AuditEntry.created_at, AuditEntry.id)))
