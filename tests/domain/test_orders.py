"""Orders: what is frozen when, who is left out, and how much room they want."""

from dataclasses import replace

import pytest
from sqlalchemy import select, update

from app import files
from app.database import db, transaction, utc_now
from app.domain import blanks, campaigns, jobs, orders, people, sizes
from app.domain.errors import Conflict, Invalid, NoRoom
from app.domain.orders import StartOrder
from app.domain.repeats import KeyReused, Repeat
from app.intake import PersonRow
from app.models import Beneficiary, Card, Job, Print
from tests.cast import enrol, make_campaign

pytestmark = pytest.mark.both


def place(campaign, ready, by) -> Job:
    with transaction():
        return jobs.open_job(campaign, StartOrder(), by=by, ready=ready)


def test_who_changes_while_an_order_is_made_ready_is_frozen_as_they_are_then(cast):
    campaign = make_campaign(cast.owner, people=2)
    ready = orders.make_ready(campaign, StartOrder())
    first = db.session.scalar(select(Beneficiary).order_by(Beneficiary.beneficiary_id))
    kept = first.last_name
    people.correct_person(first, PersonRow("Awa", "Kane", first.beneficiary_id), by=cast.owner)
    enrol(campaign, 1)
    place(campaign, ready, cast.owner)

    facts = db.session.scalars(select(Print.facts).order_by(Print.ordinal)).all()
    assert facts[0]["last_name"] == "Kane" != kept
    assert len(facts) == 3
    mpi_ids = dict(db.session.execute(select(Beneficiary.beneficiary_id, Beneficiary.mpi_id)).all())
    assert {fact["beneficiary_id"]: fact["mpi_id"] for fact in facts} == mpi_ids
    assert None not in mpi_ids.values()


def test_who_is_erased_while_an_order_is_made_ready_gets_no_card(cast):
    campaign = make_campaign(cast.owner, people=2)
    ready = orders.make_ready(campaign, StartOrder())
    erased = db.session.scalar(select(Beneficiary.id))
    with transaction():
        db.session.execute(update(Beneficiary).where(Beneficiary.id == erased).values(erased_at=utc_now()))
    assert place(campaign, ready, cast.owner).total_cards == 1
    assert erased not in db.session.scalars(select(Card.person_id)).all()


def test_a_code_that_was_taken_while_an_order_was_made_ready_is_not_used_twice(cast):
    campaign = make_campaign(cast.owner, people=2)
    first, _ = db.session.scalars(select(Beneficiary.id)).all()
    ready = orders.make_ready(campaign, StartOrder())
    taken = replace(ready, codes=list(ready.codes))
    with transaction():
        jobs.open_job(campaign, StartOrder(people=[first]), by=cast.owner, ready=taken)
    place(campaign, ready, cast.owner)
    assert len(set(db.session.scalars(select(Card.code)))) == 2


def test_nobody_of_another_organisation_is_drawn_into_an_order(cast):
    make_campaign(cast.stranger, people=1)
    theirs = db.session.scalar(select(Beneficiary.id))
    campaign = make_campaign(cast.owner, people=1)
    assert blanks.named(campaign, [theirs]) == []


def test_what_is_refused_or_was_answered_before_is_not_made_ready(cast, monkeypatch):
    campaign, once = make_campaign(cast.owner, people=3), Repeat.of("click-1", {})
    job = jobs.start(campaign, StartOrder(), by=cast.owner, repeat=once)
    enrol(campaign, 3)
    monkeypatch.setattr(blanks, "prepare", lambda *_, **_more: pytest.fail("it was made ready"))

    assert jobs.start(campaign, StartOrder(), by=cast.owner, repeat=Repeat.of("click-1", {})).id == job.id
    with pytest.raises(KeyReused):
        jobs.start(campaign, StartOrder(), by=cast.owner, repeat=Repeat.of("click-1", {"dpi": 600}))
    with monkeypatch.context() as small:
        small.setitem(cast.app.config, "FIELDCARD", replace(cast.app.config["FIELDCARD"], max_job_cards=2))
        with pytest.raises(Invalid, match="at most 2 cards"):
            jobs.start(campaign, StartOrder(), by=cast.owner)
    campaigns.archive(campaign, by=cast.owner)
    with pytest.raises(Conflict, match="archived"):
        jobs.start(campaign, StartOrder(), by=cast.owner)


def test_who_joins_while_an_order_is_made_ready_needs_room_too(cast, monkeypatch):
    campaign = make_campaign(cast.owner, people=2)
    ready = orders.make_ready(campaign, StartOrder())
    enrol(campaign, 2)
    ready.bytes = 1_000_000_000  # for two cards
    monkeypatch.setattr(files.store(), "free_bytes", lambda: 3_000_000_000)
    with pytest.raises(NoRoom) as refused:
        place(campaign, ready, cast.owner)
    assert refused.value.sentence.facts["needed"] == 3_400


def test_a_disk_that_is_too_small_is_said_with_both_figures(cast, monkeypatch):
    campaign = make_campaign(cast.owner, people=3)
    monkeypatch.setattr(files.store(), "free_bytes", lambda: 900_000_000)
    with pytest.raises(NoRoom) as refused:
        jobs.start(campaign, StartOrder(), by=cast.owner)
    assert refused.value.sentence.facts == {"needed": 1_000, "free": 900}


def test_three_samples_are_drawn_only_where_the_disk_is_tight(cast, monkeypatch):
    campaign = make_campaign(cast.owner)
    drawn = []
    real = sizes.draw_chunk
    monkeypatch.setattr(sizes, "draw_chunk", lambda *arguments: drawn.append(1) or real(*arguments))
    sizes._of_samples.cache_clear()
    assert sizes.measure(campaign, 1_000, 300, free=10**12) == 1_000 * sizes.USUAL_AT_300
    assert not drawn
    first = sizes.measure(campaign, 1_000, 300, free=10**6)
    assert (first, len(drawn)) == (sizes.measure(campaign, 1_000, 300, free=10**6), 1)
    assert 20_000 < first / 1_000 < sizes.PLENTY_AT_300
