"""Erasure: taking everything about a person out of the installation, for good, also after an older backup came back.

What stays is a row without a name, so that codes, counts and the ledger go on adding up, and the card's code, so that
whoever verifies the card is told that it was revoked. Where a person may stand in lists is found in `traces.py`.
"""

import logging
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func, select, update

from app import files
from app.database import db, one_transaction, truncate_wal, utc_now
from app.domain import audit, jobs, tombstones, traces
from app.domain.access import Actor, require
from app.domain.errors import Conflict, Invalid, Refusal
from app.domain.imports import WORKING
from app.domain.jobs import LIVE_STATES
from app.domain.leases import RELEASED, Checkpoint
from app.domain.traces import UNCHECKED, Identity, Trace
from app.models import (
    LIVE,
    Artifact,
    Beneficiary,
    Card,
    CardState,
    Chunk,
    Enrolment,
    ImportBatch,
    ImportRow,
    ImportState,
    Job,
    Print,
    Tombstone,
)
from app.sentences import N_, say

log = logging.getLogger(__name__)

# Chosen, never typed: what is typed may name the person, and the audit log is never changed.
REASONS = {
    "asked": N_("The person asked for it"),
    "consent": N_("The person withdrew their consent"),
    "ended": N_("The data is not needed any more"),
    "mistake": N_("The person was brought in by mistake"),
    "law": N_("A law or an authority demands it"),
}
NOT_SURE = say("Tick the box to say that you have read what goes.")
LIST_IN_HAND = say("A list is being read or added just now, and this person may be on it. Try again when that is done.")
REPLAYED = "replayed"  # the reason in the audit log when a tombstone was found after a restore
EMPTY: dict[str, Any] = {
    "first_name": "",
    "last_name": "",
    "date_of_birth": None,
    "phone_number": None,
    "gender": "",
    "health_center": "",
    "org_unit": "",
    "zone": "",
    "enrollment_date": None,
    "custom_fields": {},
    "mpi_id": None,
    "search_text": "",
}
OF_THE_FILE = ("columns", "kind", "sheet", "encoding", "delimiter", "header_row", "recognised")


@dataclass(frozen=True)
class Outlook:
    """What erasing the person would take: cards that are revoked, orders whose files go, lists they are taken from.

    `others` counts the cards of other people in those files, which can be made again without the person.
    """

    campaigns: int
    cards: int
    orders: int
    others: int
    lists: int


@dataclass(frozen=True)
class Leftovers:
    """What lies in the file store and belongs to nothing from the commit on."""

    keys: tuple[str, ...]
    prefixes: tuple[str, ...]


def outlook(person: Beneficiary) -> Outlook:
    """Return what erasing the person would take now. Raises Conflict when it cannot be done now."""
    refuse_erased(person)
    _refuse_while_busy(person)
    live = select(func.count()).where(Card.person_id == person.id, Card.state.in_(LIVE))
    with_files = _jobs_with_files(person)
    others = select(func.coalesce(func.sum(Job.cards_generated), 0)).where(Job.id.in_(with_files))
    own = (
        select(func.count())
        .select_from(Print)
        .where(Print.job_id.in_(with_files), _of(person), Print.files.is_not(None))
    )
    return Outlook(
        campaigns=_count(select(func.count()).where(Enrolment.person_id == person.id)),
        cards=_count(live),
        orders=len(with_files),
        others=max(0, _count(others) - _count(own)),
        lists=len(traces.in_lists(person)),
    )


def erase(person: Beneficiary, reason: str, *, by: Actor) -> None:
    """Erase the person: cards revoked, names and files gone, a tombstone in the database and beside it.

    Twice is once. Raises Invalid for a `reason` that is none of REASONS, Conflict while a card of the person is being
    made or a list that may hold them is being worked through.
    """
    require(by, "erase people")
    if reason not in REASONS:
        raise Invalid({"reason": say("Choose why the person is erased.")})
    _refuse_while_busy(person)
    _erase_for_good(person.id, reason, by, force=False)
    truncate_wal()


def replay(checkpoint: Checkpoint = lambda: None, *, force: bool = True) -> int:
    """Erase again everybody who has a tombstone and is there; return how many that were.

    For the time after a restore, before workers run: orders and lists in hand that hold such a person fail, and are
    paid back. Without `force` those people are left for the next time. The file of a tombstone that has only its row
    is written again.
    """
    stones = set(tombstones.people())
    rows = {row.person_id for row in db.session.scalars(select(Tombstone))}
    db.session.rollback()
    for person_id in rows - stones:
        tombstones.put(person_id)
    waiting = select(Beneficiary).where(Beneficiary.erased_at.is_(None))
    erased = 0
    for person_id in sorted(stones | rows):
        checkpoint()
        person = db.session.scalar(waiting.where(Beneficiary.id == person_id))
        if person is None:
            continue
        try:
            _erase_for_good(person_id, REPLAYED, Actor.portal(person.organisation_id), force=force)
            erased += 1
        except Refusal as refusal:
            log.warning("Person %s could not be erased now: %s", person_id, refusal)
    truncate_wal()
    return erased


def finish(checkpoint: Checkpoint) -> int:
    """Do for who works meanwhile what `replay` does without force: end what a crash has left half done."""
    return replay(checkpoint, force=False)


def refuse_erased(person: Beneficiary) -> None:
    """Raise Conflict when the person was erased."""
    if person.erased_at is not None:
        raise Conflict(say("This person was erased. There is nothing left to change."))


def _erase_for_good(person_id: uuid.UUID, reason: str, by: Actor, *, force: bool) -> None:
    """Do all of it in an order that a crash cannot undo.

    The tombstone's file comes first: after a crash between it and the commit `replay` finishes what was asked for.
    The stored files go last: those that are left after a crash belong to nothing and are swept.
    """
    person = db.session.get_one(Beneficiary, person_id)
    if person.erased_at is not None:
        return
    who, found = traces.identity(person), traces.in_lists(person)
    first = tombstones.put(person_id)
    try:
        leftovers = _take_out(person_id, who, found, reason, by, force)
    except Refusal:
        if first:
            tombstones.drop(person_id)
        raise
    try:
        _delete(leftovers)
    except OSError:  # the person is erased; the sweep of every night removes what belongs to nothing
        log.warning("Files of person %s, who was erased, are left to the sweep.", person_id, exc_info=True)


def _delete(leftovers: Leftovers) -> None:
    for key in leftovers.keys:
        files.store().delete(key)
    for prefix in leftovers.prefixes:
        for key in list(files.store().keys(prefix)):
            files.store().delete(key)


@one_transaction
def _take_out(
    person_id: uuid.UUID, who: Identity, found: Sequence[Trace], reason: str, by: Actor, force: bool
) -> Leftovers:
    # Whoever orders a card, brings the person in again or corrects them holds the row (FOR KEY SHARE) or waits for us.
    locked = select(Beneficiary).where(Beneficiary.id == person_id).with_for_update()
    person = db.session.scalars(locked.execution_options(populate_existing=True)).one()
    if person.erased_at is not None:
        return Leftovers((), ())
    if force:
        _end_live_orders(person)
    else:
        _refuse_while_busy(person)
    orders = _forget_orders(person)
    cards = _revoke_cards(person, by)
    lists = [(db.session.get(ImportBatch, trace.batch_id, with_for_update=True), trace) for trace in found]
    if not force and any(batch and batch.state != trace.state for batch, trace in lists):
        raise Conflict(LIST_IN_HAND)  # it was checked since it was searched, and has rows that nobody looked through
    keys = [_forget_list(batch, trace, who) for batch, trace in lists if batch]  # one may have been discarded since
    now = utc_now()
    for name, value in EMPTY.items():
        setattr(person, name, value)
    person.beneficiary_id, person.updated_at, person.erased_at = f"erased-{person.id}", now, now
    if db.session.get(Tombstone, person.id) is None:
        db.session.add(Tombstone(person_id=person.id, organisation_id=person.organisation_id, erased_at=now))
    audit.note(
        by, "person.erased", "person", person.id, reason=reason, cards=cards, orders=len(orders), lists=len(found)
    )
    prefixes = tuple(f"{folder}/{job_id}/" for job_id in orders for folder in ("parts", "jobs"))
    return Leftovers(tuple(key for key in keys if key), prefixes)


def _refuse_while_busy(person: Beneficiary) -> None:
    live = select(Job.id).where(Job.id.in_(_jobs_of(person)), Job.state.in_(LIVE_STATES)).limit(1)
    if db.session.scalar(live) is not None:
        raise Conflict(
            say("A card of this person is being made just now. Wait until the order has finished, or cancel it.")
        )
    working = (ImportBatch.organisation_id == person.organisation_id, ImportBatch.state.in_(WORKING))
    if db.session.scalar(select(ImportBatch.id).where(*working).limit(1)) is not None:
        raise Conflict(LIST_IN_HAND)


def _end_live_orders(person: Beneficiary) -> None:
    """Fail the orders in hand that hold the person; everything of them is paid back."""
    for job in db.session.scalars(select(Job).where(Job.id.in_(_jobs_of(person)), Job.state.in_(LIVE_STATES))).all():
        jobs.fail(job, say("Somebody in this order was erased before it was finished. Order the cards once more."))
        db.session.expire_all()


def _forget_orders(person: Beneficiary) -> list[uuid.UUID]:
    """Empty what was printed for the person, mark the files of those orders removed; return the orders with files."""
    orders = _jobs_of(person)
    erased = say("This person was erased.").to_json()
    for line in db.session.scalars(select(Print).where(_of(person))):
        line.facts = {name: "" if isinstance(value, str) else None for name, value in line.facts.items()}
        line.problem = line.problem and erased
    _change(Artifact, (Artifact.job_id.in_(orders), Artifact.removed_at.is_(None)), removed_at=utc_now(), pieces=[])
    _change(Chunk, (Chunk.job_id.in_(orders),), pieces=None)
    return orders


def _revoke_cards(person: Beneficiary, by: Actor) -> int:
    in_hand = (Card.person_id == person.id, Card.state.in_((CardState.valid, CardState.suspended)))
    codes = db.session.scalars(
        update(Card)
        .where(*in_hand)
        .values(state=CardState.revoked)
        .returning(Card.code)
        .execution_options(synchronize_session=False)
    ).all()
    for code in codes:
        audit.note(by, "card.revoked_by_erasure", "card", code)
    return len(codes)


def _forget_list(batch: ImportBatch, trace: Trace, who: Identity) -> str:
    """Take the person's rows and what was shown of the list out of the database; return the key of its file.

    The rest of a list that waits for its confirmation can still be added. One that was not checked yet cannot go on
    without its file, and fails with a reason.
    """
    for row in db.session.scalars(
        select(ImportRow).where(ImportRow.batch_id == batch.id, ImportRow.number.in_(trace.rows))
    ).all():
        if batch.state == ImportState.checked:
            batch.rows_refused -= row.refused
            batch.rows_good -= not row.refused
        db.session.delete(row)
    look = {name: batch.look[name] for name in OF_THE_FILE if name in batch.look}
    matches = [match | {"samples": []} for match in batch.look.get("matches", [])]
    batch.look = look | {"matches": matches, "sample": [], "notes": [], "check_notes": [], "groups": []} if look else {}
    if who.named_in([" ".join(_words(batch.file_name))]) or any(who.has_id(word) for word in _words(batch.file_name)):
        batch.file_name = f"list.{batch.file_name.rpartition('.')[2]}"[-20:]
    if batch.state in UNCHECKED:
        batch.state, batch.finished_at = ImportState.failed, utc_now()
        batch.problem = say("Somebody on this list was erased. Take them out of it and bring it in again.").to_json()
        for name, value in RELEASED.items():
            setattr(batch, name, value)
    key, batch.file_key = batch.file_key, ""
    db.session.flush()
    return key


def _words(file_name: str) -> list[str]:
    return "".join(letter if letter.isalnum() else " " for letter in file_name).split()


def _of(person: Beneficiary) -> ColumnElement[bool]:
    """Return the condition that a print is of a card of the person."""
    mine = (Card.campaign_id == Print.campaign_id, Card.card_index == Print.card_index, Card.person_id == person.id)
    return select(Card.card_index).where(*mine).exists()


def _jobs_of(person: Beneficiary) -> list[uuid.UUID]:
    return list(db.session.scalars(select(Print.job_id).where(_of(person)).distinct()))


def _jobs_with_files(person: Beneficiary) -> list[uuid.UUID]:
    there = (Artifact.job_id.in_(_jobs_of(person)), Artifact.removed_at.is_(None))
    return list(db.session.scalars(select(Artifact.job_id).where(*there).distinct()))


def _count(question: Any) -> int:
    return int(db.session.scalar(question) or 0)


def _change(table: Any, where: Iterable[ColumnElement[bool]], **values: Any) -> None:
    db.session.execute(update(table).where(*where).values(**values).execution_options(synchronize_session=False))
