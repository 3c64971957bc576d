"""What making cards would come to, and the samples one looks at before."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from app.database import db, transaction, utc_now
from app.domain import foresight, jobs, quotas
from app.domain.orders import StartOrder
from app.models import Beneficiary, Card, Job
from tests.cast import enrol, make_actor, make_campaign, make_organisation


@pytest.fixture
def drawn(monkeypatch) -> list:
    """What the engine is asked to draw; nothing is drawn really."""
    asked: list = []
    monkeypatch.setattr(foresight.chunk, "preview_side", lambda *facts: asked.append(facts) or b"picture")
    return asked


def test_it_works(cast):
    ahead = foresight.of_order(make_campaign(cast.owner, people=3), StartOrder())
    assert (ahead.cards, ahead.cost, ahead.left, ahead.short) == (3, 3, 10_000, False)
    assert ahead.seconds >= 1
    assert ahead.fits_on_sheets
    assert ahead.address_is_for_tests


def test_nothing_is_made_by_looking(cast, drawn):
    campaign = make_campaign(cast.owner, people=2)
    foresight.of_order(campaign, StartOrder())
    for sample in foresight.samples(campaign):
        foresight.draw_sample(campaign, db.session.get(Beneficiary, sample.person_id), "front")
    assert db.session.scalar(select(Card)) is None
    assert quotas.balance(cast.organisation.id) == 10_000
    assert set(db.session.scalars(select(Beneficiary.mpi_id))) == {None}


def test_a_quota_that_is_short_is_seen(cast):
    admin = make_actor(make_organisation("A small programme", quota=1), "admin")
    assert foresight.of_order(make_campaign(admin, people=2), StartOrder()).short


def test_without_a_limit_nothing_is_short(cast):
    admin = make_actor(make_organisation("Ministry", quota=0, unlimited=True), "admin")
    with transaction():
        db.session.execute(
            update(type(cast.organisation)).where(type(cast.organisation).name == "Ministry").values(balance=1)
        )
    assert not foresight.of_order(make_campaign(admin, people=2), StartOrder()).short


def test_the_pace_of_earlier_jobs_is_the_measure_and_a_pause_does_not_count(cast):
    campaign = make_campaign(cast.owner, people=2)
    for seconds in (200, 50_000):
        enrol(campaign, 1)
        pretend_done(jobs.start(campaign, StartOrder(), by=cast.owner), cards=100, seconds=seconds)
    enrol(campaign, 7)
    assert foresight.of_order(campaign, StartOrder()).seconds == 14


def test_the_longest_name_is_among_the_samples(cast):
    campaign = make_campaign(cast.owner, people=9)
    person = db.session.scalar(select(Beneficiary.id).order_by(Beneficiary.id).offset(4))
    with transaction():
        db.session.execute(update(Beneficiary).where(Beneficiary.id == person).values(last_name="N" * 60))
    first, *others = foresight.samples(campaign)
    assert (first.person_id, first.longest) == (person, True)
    assert len(others) == 2 and not any(sample.longest for sample in others)


def test_few_people_are_each_shown_once(cast):
    assert len(foresight.samples(make_campaign(cast.owner, people=1))) == 1
    assert foresight.samples(make_campaign(cast.owner)) == []


def test_a_sample_is_nobodys_card(cast, drawn):
    campaign = make_campaign(cast.owner, people=1)
    person = db.session.scalar(select(Beneficiary))
    foresight.draw_sample(campaign, person, "back")
    ((job, _design, card, side, _dpi),) = drawn
    assert side == "back"
    assert card.code == f"{campaign.prefix}-00000000"
    assert card.address.endswith("/V/" + "A" * 127)
    assert job.test


def test_the_sample_of_a_sensitive_campaign_names_neither_programme_nor_campaign(cast, drawn):
    campaign = make_campaign(cast.owner, people=1, campaign_type="hiv", template_id="hiv")
    foresight.draw_sample(campaign, db.session.scalar(select(Beneficiary)), "front")
    ((job, *_rest),) = drawn
    assert (job.campaign_name, job.programme, job.logo) == ("", "", None)


def pretend_done(job: Job, *, cards: int, seconds: int) -> None:
    """Let the job have made that many cards in that time."""
    now = utc_now()
    values = {"state": "completed", "cards_generated": cards, "finished_at": now}
    with transaction():
        db.session.execute(
            update(Job).where(Job.id == job.id).values(**values, started_at=now - timedelta(seconds=seconds))
        )
