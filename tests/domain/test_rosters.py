"""Rosters: a campaign's people with the card each holds."""

import pytest
from sqlalchemy import select, update

from app.database import db, transaction
from app.domain import jobs, rosters
from app.domain.errors import NotAllowed, NotFound
from app.domain.orders import StartOrder
from app.models import Beneficiary, Card, CardState
from tests.cast import enrol, make_campaign

pytestmark = pytest.mark.both


def test_it_works(cast):
    campaign = make_campaign(cast.owner)
    first, second = enrol(campaign, 2)
    jobs.start(campaign, StartOrder(people=[first]), by=cast.editor)

    total, lines = rosters.look(campaign, by=cast.viewer)
    assert (total, [line.person.id for line in lines]) == (2, [second, first])
    assert [line.card and line.card.person_id for line in lines] == [None, first]


def test_the_card_that_counts_is_the_live_one(cast):
    campaign = make_campaign(cast.owner, people=1)
    for state in (CardState.revoked, CardState.valid):
        jobs.start(campaign, StartOrder(), by=cast.editor)
        newest = select(Card.card_index).order_by(Card.card_index.desc()).limit(1).scalar_subquery()
        with transaction():
            db.session.execute(update(Card).where(Card.card_index == newest).values(state=state))
    [line] = rosters.look(campaign, by=cast.viewer)[1]
    assert (line.card.state, line.card.card_index) == (CardState.valid, 2)


def test_a_card_that_is_being_made_is_neither_held_nor_missing(cast):
    campaign = make_campaign(cast.owner, people=2)
    jobs.start(campaign, StartOrder(), by=cast.editor)
    assert rosters.look(campaign, having=rosters.WITH_CARD, by=cast.viewer)[0] == 0
    assert rosters.look(campaign, having=rosters.WITHOUT_CARD, by=cast.viewer)[0] == 0
    assert rosters.look(campaign, by=cast.viewer)[0] == 2


def test_signs_of_a_pattern_are_searched_for_as_they_are(cast):
    campaign = make_campaign(cast.owner, people=2)
    for words in ("%", "_", "\\", "\x00%"):
        assert rosters.look(campaign, words, by=cast.viewer)[0] == 0


def test_the_export_has_everybody_once_whatever_the_size_of_a_batch(cast, monkeypatch):
    monkeypatch.setattr(rosters, "BATCH", 2)
    campaign = make_campaign(cast.owner)
    people = enrol(campaign, 5)
    assert sorted(line.person.id for line in rosters.export(campaign, by=cast.editor)) == sorted(people)
    with pytest.raises(NotAllowed):
        rosters.export(campaign, by=cast.viewer)


def test_somebody_of_another_campaign_is_an_outsider(cast):
    campaign, elsewhere = make_campaign(cast.owner, people=1), make_campaign(cast.owner)
    person = db.session.scalar(select(Beneficiary))
    rosters.refuse_outsider(campaign, person)
    with pytest.raises(NotFound):
        rosters.refuse_outsider(elsewhere, person)


def test_a_masked_number_shows_its_last_two_digits():
    assert rosters.masked("+221771234567") == "••• 67"
    assert rosters.masked(None) == ""
