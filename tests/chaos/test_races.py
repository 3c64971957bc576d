"""Races: the same balance wanted by many, and a job that is ended from several sides in the same moment.

Each round is small and real: the verbs, the engine and its locks are the product's, only the drawing is left out.
"""

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from hashlib import sha256

import pytest
from flask import Flask
from sqlalchemy import func, select, update

from app.database import db, transaction
from app.domain import claims, invariants, jobs, quotas
from app.domain.access import Actor
from app.domain.claims import ChunkClaim, Pieces
from app.domain.errors import Conflict
from app.domain.leases import LeaseLost
from app.domain.orders import StartOrder
from app.models import Card, Chunk, Enrolment, Job, JobState, LedgerEntry, Print
from app.rendering.chunk import DrawnCard, FailedCard
from app.sentences import say
from tests.api.conftest import Caller, speaks_for  # noqa: F401 - a fixture
from tests.cast import make_actor, make_campaign, make_organisation

pytestmark = [pytest.mark.both, pytest.mark.long, pytest.mark.timeout(1_200)]

CLIENTS, POSTS, BALANCE = 50, 20, 400
ROUNDS = 1_000
PIECES = Pieces("parts/a.zip", 1, sha256(b"a").hexdigest(), "parts/a.pages", 1, sha256(b"a").hexdigest())


def test_fifty_clients_never_get_more_cards_than_there_are(app, speaks_for):  # noqa: F811
    boss = make_actor(make_organisation("Contested", quota=BALANCE), "admin")
    paths = [f"/campaigns/{make_campaign(boss).id}/jobs" for _ in range(5)]
    program: Caller = speaks_for(boss)

    def post_all(client: int) -> Counter[int]:
        answers: Counter[int] = Counter()
        for number in range(POSTS):
            person = {"first_name": "Awa", "last_name": "Ba", "beneficiary_id": f"P-{client}-{number}"}
            wanted = {"beneficiaries": [person]}
            key = {"Idempotency-Key": f"{client}-{number}"}
            answers[program("POST", paths[client % 5], wanted, headers=key).status_code] += 1
        return answers

    answers = sum(together(post_all, CLIENTS), Counter())

    assert answers == {202: BALANCE, 402: CLIENTS * POSTS - BALANCE}
    assert quotas.balance(boss.organisation_id) == 0
    moved = select(func.sum(LedgerEntry.amount)).where(LedgerEntry.organisation_id == boss.organisation_id)
    assert db.session.scalar(moved) == 0
    assert (count(Job), count(Card), count(Print)) == (BALANCE, BALANCE, BALANCE)
    assert rows_are_sound()


def test_cancel_against_complete(app, cast):
    """The last chunk settles while somebody cancels: one of them is first, and every unit is where it belongs."""
    ends: Counter[str] = Counter()
    for job in one_card_jobs(cast.owner):
        claim = claims.claim_chunk("worker", only=job)
        at_the_same_moment(app, partial(cancel, job, cast.owner), partial(settle, claim, drawn=True))
        ends[state_of(job)] += 1
        assert paid_for(job) == charged_on(job)

    assert set(ends) <= {JobState.packaging, JobState.cancelled}
    assert len(ends) == 2, f"The race always ended alike, so it was none: {ends}"
    assert quotas.balance(cast.organisation.id) == 10_000 - ends[JobState.packaging]
    assert rows_are_sound()


def test_cancel_against_fail_against_reap(app, cast):
    """A worker gives the only card up, a second one reaps its lease and settles, and somebody cancels."""
    ends: Counter[str] = Counter()
    for job in one_card_jobs(cast.owner):
        first = claims.claim_chunk("worker", only=job)
        expire(job)
        at_the_same_moment(
            app,
            partial(cancel, job, cast.owner),
            partial(settle, first, drawn=False),
            partial(take_over, job),
            claims.unstick,
        )
        ends[state_of(job)] += 1
        assert paid_for(job) == charged_on(job)

    assert len(ends) >= 2, f"The race always ended alike, so it was none: {ends}"
    kept = ends[JobState.packaging] + ends[JobState.generating]
    assert quotas.balance(cast.organisation.id) == 10_000 - kept
    assert rows_are_sound()


def cancel(job_id, by: Actor) -> None:
    """Cancel, unless the job has moved on."""
    with suppress(Conflict):
        jobs.cancel(db.session.get(Job, job_id), by=by)


def settle(claim: ChunkClaim, *, drawn: bool) -> None:
    """Settle the claim's only card, unless somebody else has it now."""
    card = DrawnCard("A", ()) if drawn else FailedCard("A", say("None of the cards could be drawn."))
    with suppress(LeaseLost):
        claims.settle(claim, PIECES, [card])


def take_over(job_id) -> None:
    """Take up what the first worker left, and draw it."""
    if claim := claims.claim_chunk("another worker", only=job_id):
        settle(claim, drawn=True)


def one_card_jobs(by: Actor) -> Iterator:
    """Yield the ids of a thousand jobs of one card each, every one when its round begins."""
    campaign = make_campaign(by, people=ROUNDS)
    for person in list(db.session.scalars(select(Enrolment.person_id).where(Enrolment.campaign_id == campaign.id))):
        yield jobs.start(campaign, StartOrder(people=[person]), by=by).id


def at_the_same_moment(app: Flask, *acts: Callable[[], None]) -> None:
    """Do all of it at once, in shuffled order and each in a thread of its own; what fails, fails the test."""
    gate, failures = threading.Barrier(len(acts)), []

    def run(act: Callable[[], None]) -> None:
        with own_context(app):
            gate.wait()
            try:
                act()
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=run, args=(act,)) for act in random.sample(acts, len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    db.session.rollback()
    assert failures == []


def together(act: Callable[[int], Counter[int]], times: int) -> list[Counter[int]]:
    """Return what `act` returns for each number, each in a thread of its own."""
    gate, outcomes = threading.Barrier(times), [Counter()] * times

    def run(number: int) -> None:
        gate.wait()
        outcomes[number] = act(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    db.session.rollback()
    return outcomes


@contextmanager
def own_context(app: Flask) -> Iterator[None]:
    """Give the thread a session of its own, as a worker's process has."""
    with app.app_context():
        try:
            yield
        finally:
            db.session.remove()


def expire(job_id) -> None:
    """Let the job's leases run out, as time would."""
    with transaction():
        held = (Chunk.job_id == job_id, Chunk.lease_fence.is_not(None))
        db.session.execute(update(Chunk).where(*held).values(lease_expires=0.0))


def state_of(job_id) -> str:
    """Return how the round ended."""
    return db.session.scalar(select(Job.state).where(Job.id == job_id))


def paid_for(job_id) -> int:
    """Return the units that the ledger says the job has used."""
    return -(db.session.scalar(select(func.sum(LedgerEntry.amount)).where(LedgerEntry.job_id == job_id)) or 0)


def charged_on(job_id) -> int:
    """Return the units that the job's cards are worth which are not void."""
    counted = (Print.job_id == job_id, Print.state != "void")
    return db.session.scalar(select(func.sum(Print.charged)).where(*counted)) or 0


def count(model) -> int:
    """Return how many rows there are."""
    return db.session.scalar(select(func.count()).select_from(model))


def rows_are_sound() -> bool:
    """Whether everything that rows alone can tell is as it must be; prints what is not."""
    checks = (
        invariants.ledgers_balance,
        invariants.jobs_are_paid_for,
        invariants.people_have_one_live_card,
        invariants.ended_jobs_are_settled,
        invariants.nothing_is_stuck,
    )
    found = [sentence for check in checks for sentence in check()]
    print("\n".join(found[:20]))
    return not found
