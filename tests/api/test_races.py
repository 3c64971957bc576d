"""Many programs at the same moment: one job a key, and never more cards than the balance pays."""

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, select

from app.database import db
from app.domain import quotas
from app.models import Beneficiary, Campaign, Card, Job, LedgerEntry
from tests.api.documented import example
from tests.cast import make_actor, make_campaign, make_organisation

pytestmark = pytest.mark.both

ORDER = example("start_job.request")
WANTED = example("create_campaign.request")


def all_at_once(times: int, act: Callable[[int], Any]) -> list[Any]:
    """Return what `act` returns for each number, all of them begun together."""
    starting = threading.Barrier(times)
    outcomes: list[Any] = [None] * times

    def run(number: int) -> None:
        starting.wait()
        outcomes[number] = act(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    db.session.rollback()  # our own reading transaction, so that we see what they did
    return outcomes


def count(model) -> int:
    return db.session.scalar(select(func.count()).select_from(model))


def test_it_works(cast, owner):
    """Twenty twins of one request make one job and get one answer."""
    path = f"/campaigns/{make_campaign(cast.owner).id}/jobs"
    answers = all_at_once(20, lambda _: owner("POST", path, ORDER, headers={"Idempotency-Key": "once"}))

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.data for answer in answers}) == 1
    assert (count(Job), count(Card), count(Beneficiary)) == (1, 2, 2)
    assert quotas.balance(cast.organisation.id) == 9_998


def test_twins_that_make_a_campaign(owner):
    answers = all_at_once(10, lambda _: owner("POST", "/campaigns/", WANTED, headers={"Idempotency-Key": "once"}))

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.data for answer in answers}) == 1
    assert count(Campaign) == 1


def test_a_prefix_wanted_by_many_is_one_campaign(owner):
    answers = all_at_once(10, lambda _: owner("POST", "/campaigns/", WANTED))

    assert Counter(answer.status_code for answer in answers) == {201: 1, 400: 9}


def test_a_balance_of_fifty_pays_ten_jobs_of_five(speaks_for):
    boss = make_actor(make_organisation("Fifty cards", quota=50), "admin")
    program = speaks_for(boss)
    paths = [f"/campaigns/{make_campaign(boss).id}/jobs" for _ in range(3)]

    def five(number: int):
        people = [{"first_name": "Awa", "last_name": "Ba", "beneficiary_id": f"P-{number}-{one}"} for one in range(5)]
        return program("POST", paths[number % 3], {"beneficiaries": people}).status_code

    assert Counter(all_at_once(30, five)) == {202: 10, 402: 20}
    assert (count(Job), count(Card), count(Beneficiary)) == (10, 50, 50)
    assert quotas.balance(boss.organisation_id) == 0
    mine = select(func.sum(LedgerEntry.amount)).where(LedgerEntry.organisation_id == boss.organisation_id)
    assert db.session.scalar(mine) == 0


def test_the_same_people_ordered_in_many_campaigns_are_the_same_people(cast, owner):
    paths = [f"/campaigns/{make_campaign(cast.owner).id}/jobs" for _ in range(8)]
    answers = all_at_once(8, lambda number: owner("POST", paths[number], ORDER))

    assert {answer.status_code for answer in answers} == {202}
    assert (count(Job), count(Card), count(Beneficiary)) == (8, 16, 2)
