"""A request that comes twice is done once, whoever sends it and whenever its twin comes."""

import threading
import uuid
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from app import files
from app.database import db, transaction, utc_now
from app.domain import campaigns, drafts, imports, jobs, people, repeats, team
from app.domain.access import Actor
from app.domain.campaigns import NewCampaign
from app.domain.errors import QuotaExceeded
from app.domain.orders import StartOrder
from app.domain.repeats import KeyReused, Repeat
from app.intake import PersonRow
from app.models import Beneficiary, Campaign, CampaignDraft, ImportBatch, Invitation, Job, RequestKey
from tests.cast import enrol, make_campaign, work_to_the_end

AWA = PersonRow("Awa", "Ndiaye", "P-1")
ROUGEOLE = NewCampaign("Rougeole", "vaccination", "ROU", "fr", "vaccination")


def once(key: str = "key", body: object = "body") -> Repeat:
    return Repeat.of(key, body)


def hand_in(campaign: Campaign, repeat: Repeat, by: Actor) -> uuid.UUID:
    path = files.store().folder / f".tmp-{uuid.uuid4()}"
    path.write_bytes(b"first_name;last_name;beneficiary_id\nAwa;Ba;P-1\n")
    return imports.upload(campaign, "list.csv", path, by=by, repeat=repeat).id


# What creates: how it is done in a campaign, and the table in which it makes a row.
VERBS = {
    "job": (lambda c, by, r: jobs.start(c, StartOrder(), by=by, repeat=r).id, Job),
    "campaign": (lambda _c, by, r: campaigns.create(ROUGEOLE, by=by, repeat=r).id, Campaign),
    "copy": (lambda c, by, r: campaigns.duplicate(c, "COPY", by=by, repeat=r), Campaign),
    "person": (lambda c, by, r: people.add_person(c, AWA, by=by, repeat=r), Beneficiary),
    "import": (lambda c, by, r: hand_in(c, r, by), ImportBatch),
    "draft": (lambda _c, by, r: drafts.keep(None, {"name": "A"}, by=by, repeat=r), CampaignDraft),
    "invitation": (lambda _c, by, r: team.invite("new@example.org", "editor", by=by, repeat=r), Invitation),
}


@pytest.fixture
def campaign(cast):
    return make_campaign(cast.owner, people=2)


def count(table) -> int:
    return db.session.scalar(select(func.count()).select_from(table))


def grow_old(by: timedelta) -> None:
    with transaction() as session:
        session.execute(update(RequestKey).values(created_at=utc_now() - by))


@pytest.mark.parametrize("name", VERBS)
def test_it_works(cast, campaign, name):
    """Twice is once; the answer says whether it was given before."""
    act, table = VERBS[name]
    before, repeat = count(table), once()
    first = act(campaign, cast.owner, repeat)
    assert not repeat.again
    assert act(campaign, cast.owner, repeat) == first and repeat.again
    assert count(table) == before + 1


@pytest.mark.both
@pytest.mark.parametrize("name", VERBS)
def test_twins_of_one_instant_end_as_one_row_and_two_equal_answers(cast, campaign, name):
    act, table = VERBS[name]
    before, answers, starting, campaign_id = count(table), [], threading.Barrier(3), campaign.id
    db.session.rollback()

    def send() -> None:
        with cast.app.app_context():
            mine = db.session.get(Campaign, campaign_id)
            starting.wait()
            answers.append(act(mine, cast.owner, once()))

    twins = [threading.Thread(target=send) for _ in range(3)]
    for twin in twins:
        twin.start()
    for twin in twins:
        twin.join()
    db.session.rollback()
    assert len(answers) == 3 and len(set(answers)) == 1
    assert count(table) == before + 1 and count(RequestKey) == 1


@pytest.mark.both
def test_a_twin_waits_for_the_first_and_comes_through_when_that_one_is_refused(cast, campaign):
    """The first takes the key and is refused; the second, which waited, is a request like any other."""
    taken, campaign_id = threading.Event(), campaign.id
    made = []
    db.session.rollback()

    def second() -> None:
        with cast.app.app_context():
            taken.wait()
            made.append(people.add_person(db.session.get(Campaign, campaign_id), AWA, by=cast.owner, repeat=once()))

    other = threading.Thread(target=second)
    other.start()
    with pytest.raises(ZeroDivisionError), transaction():
        assert repeats.answered(once(), "person", by=cast.owner) is None
        taken.set()
        other.join(0.3)
        assert other.is_alive()
        raise ZeroDivisionError
    other.join()
    assert len(made) == 1 and count(RequestKey) == 1


def test_the_same_key_with_another_body_is_refused(cast, campaign):
    people.add_person(campaign, AWA, by=cast.owner, repeat=once(body="one"))
    with pytest.raises(KeyReused):
        people.add_person(campaign, AWA, by=cast.owner, repeat=once(body="other"))


def test_a_key_belongs_to_one_organisation_one_person_and_one_operation(cast, campaign):
    elsewhere = make_campaign(cast.stranger)
    made = {
        people.add_person(campaign, AWA, by=cast.owner, repeat=once()),
        people.add_person(elsewhere, AWA, by=cast.stranger, repeat=once()),
        people.add_person(make_campaign(cast.owner), AWA, by=cast.editor, repeat=once()),
        campaigns.create(ROUGEOLE, by=cast.owner, repeat=once()).id,
    }
    assert len(made) == 3 and count(RequestKey) == 4  # the editor brought in the very person of the owner


def test_a_refusal_is_not_kept(cast, campaign):
    poor = make_campaign(cast.owner, people=1)
    with transaction():
        cast.organisation.balance, kept = 0, cast.organisation.balance
    with pytest.raises(QuotaExceeded):
        jobs.start(poor, StartOrder(), by=cast.owner, repeat=once())
    assert count(RequestKey) == 0
    with transaction():
        cast.organisation.balance = kept

    assert jobs.start(poor, StartOrder(), by=cast.owner, repeat=once()).total_cards == 1


def test_a_job_that_moved_on_is_still_the_answer(cast, campaign):
    job = jobs.start(campaign, StartOrder(), by=cast.owner, repeat=once())
    work_to_the_end(cast.app)
    enrol(campaign, 3)

    assert jobs.start(campaign, StartOrder(), by=cast.owner, repeat=once()).id == job.id
    assert count(Job) == 1


def test_after_twenty_four_hours_a_key_is_as_good_as_new(cast, campaign):
    first = campaigns.duplicate(campaign, "COPY1", by=cast.owner, repeat=once())
    grow_old(timedelta(hours=23, minutes=59))
    assert campaigns.duplicate(campaign, "COPY1", by=cast.owner, repeat=once()) == first
    grow_old(timedelta(hours=24, minutes=1))

    assert campaigns.duplicate(campaign, "COPY2", by=cast.owner, repeat=once()) != first
    assert count(RequestKey) == 1


@pytest.mark.both
def test_old_keys_are_forgotten_a_few_at_a_time(cast, campaign, monkeypatch):
    monkeypatch.setattr(repeats, "AT_ONCE", 2)
    for number in range(5):
        people.add_person(campaign, PersonRow("Awa", "Ba", f"P-{number}"), by=cast.owner, repeat=once(str(number)))
    grow_old(timedelta(hours=25))
    people.add_person(campaign, PersonRow("Awa", "Ba", "P-9"), by=cast.owner, repeat=once("young"))
    steps = []

    assert repeats.forget(lambda: steps.append(1)) == 5
    assert len(steps) == 3 and count(RequestKey) == 1


def test_the_key_that_somebody_chose_is_not_kept_itself(cast, campaign):
    people.add_person(campaign, AWA, by=cast.owner, repeat=once("awa-ndiaye-2026"))

    assert "awa" not in db.session.scalar(select(RequestKey.key))


def test_a_draft_that_became_a_campaign_is_begun_anew(cast):
    first = drafts.keep(None, {"name": "A"}, by=cast.owner, repeat=once())
    drafts.drop(first, by=cast.owner)

    assert drafts.keep(None, {"name": "A"}, by=cast.owner, repeat=once()) != first
