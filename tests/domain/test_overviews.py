"""Overviews: a campaign's numbers, what to do next, its history, and nobody else's."""

from dataclasses import replace

import pytest
from sqlalchemy import update

from app.database import transaction
from app.domain import drafts, jobs, overviews
from app.domain.access import Actor
from app.domain.orders import StartOrder
from app.domain.overviews import Overview
from app.models import Card, CardState
from tests.cast import make_campaign, work_to_the_end


def test_it_works(app, cast):
    campaign = make_campaign(cast.owner, people=3)
    jobs.start(campaign, StartOrder(), by=cast.owner)
    work_to_the_end(app)

    overview = overviews.of_campaign(campaign)

    assert overview == Overview(people=3, valid=3)
    assert (overview.with_card, overview.without_card, overview.issued) == (3, 0, 3)


def test_a_revoked_card_was_issued_and_is_in_nobodys_hand(app, cast):
    campaign = make_campaign(cast.owner, people=2)
    jobs.start(campaign, StartOrder(), by=cast.owner)
    work_to_the_end(app)
    with transaction() as session:
        session.execute(update(Card).where(Card.card_index == 1).values(state=CardState.revoked))

    overview = overviews.of_campaign(campaign)

    assert (overview.with_card, overview.without_card, overview.issued) == (1, 1, 2)


def test_many_campaigns_are_counted_apart(cast):
    full, empty = make_campaign(cast.owner, people=2), make_campaign(cast.owner)
    job = jobs.start(full, StartOrder(), by=cast.owner)

    found = overviews.of_campaigns([full, empty])

    assert found[full.id] == Overview(people=2, pending=2, live_job=job.id)
    assert found[empty.id] == Overview()


@pytest.mark.parametrize(
    ("change", "step"),
    [
        ({}, "people"),
        ({"people": 3}, "cards"),
        ({"people": 3, "valid": 2}, "cards"),
        ({"people": 3, "valid": 2, "suspended": 1}, "files"),
        ({"people": 3, "live_job": "a job"}, "watch"),
        ({"people": 3, "archived": True}, "restore"),
    ],
)
def test_there_is_always_one_next_step(change, step):
    assert replace(Overview(), **change).next_step == step


def test_the_history_holds_the_campaign_and_its_jobs_and_nothing_else(cast):
    campaign = make_campaign(cast.owner, people=1)
    jobs.start(campaign, StartOrder(), by=cast.owner)
    make_campaign(cast.owner)

    total, newest = overviews.history(campaign, limit=1, offset=0)

    assert (total, [entry.action for entry in newest]) == (2, ["job.started"])


def test_drafts_are_the_persons_own(cast):
    drafts.keep(None, {"name": "Half"}, by=cast.owner)

    assert len(overviews.drafts_of(cast.owner)) == 1
    assert overviews.drafts_of(cast.editor) == overviews.drafts_of(cast.stranger) == []


def test_names_are_told_inside_the_organisation_only(cast):
    campaign = make_campaign(cast.owner, name="Measles")

    assert overviews.names_of(cast.owner.organisation_id, [campaign.id]) == {campaign.id: "Measles"}
    assert overviews.names_of(cast.stranger.organisation_id, [campaign.id]) == {}


def test_the_demo_is_found_where_it_is(cast):
    make_campaign(cast.owner, prefix="DEMO-VAC")

    assert overviews.demo_campaign(Actor.portal(cast.owner.organisation_id)).prefix == "DEMO-VAC"
    assert overviews.demo_campaign(cast.stranger) is None
