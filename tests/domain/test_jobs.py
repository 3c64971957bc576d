"""A job's life: asked for, paid for, made by workers, paused, cancelled, failed."""

import json
import uuid
import zipfile

import pytest
from sqlalchemy import select, update

from app.database import db, transaction
from app.domain import claims, jobs, packaging, quotas, repeats, work
from app.domain.errors import Conflict, Invalid, NotAllowed, QuotaExceeded
from app.domain.orders import StartOrder
from app.domain.repeats import KeyReused, Repeat
from app.models import (
    Beneficiary,
    Card,
    CardState,
    Job,
    JobState,
    LedgerEntry,
)
from tests.cast import make_actor, make_campaign, make_organisation, work_to_the_end
from tests.domain.workers import healthy, settle

pytestmark = pytest.mark.both


def test_it_works(cast):
    campaign = make_campaign(cast.owner, people=6)

    job = jobs.start(campaign, StartOrder(), by=cast.editor)
    assert (job.state, job.total_cards, job.quota_consumed) == (JobState.waiting, 6, 6)
    assert quotas.balance(cast.organisation.id) == 10_000 - 6

    work_to_the_end(cast.app)

    db.session.refresh(job)
    assert (job.state, job.cards_generated) == (JobState.completed, 6)
    assert {artifact.kind for artifact in packaging.artifacts_of(job.id)} == {"pdf", "zip", "portal", "manifest"}
    assert set(db.session.scalars(select(Card.state))) == {CardState.valid}
    assert jobs.progress(job).percent == 100
    assert campaign.cards_status == "completed"
    assert healthy()


def test_the_files_hold_every_card(cast):
    job = jobs.start(make_campaign(cast.owner, people=3), StartOrder(), by=cast.editor)
    work_to_the_end(cast.app)

    codes = set(db.session.scalars(select(Card.code)))
    manifest = json.loads(packaging.open_artifact(packaging.artifact_of(job, "manifest")).read())
    assert {card["code"] for card in manifest["cards"]} == codes
    with zipfile.ZipFile(packaging.open_artifact(packaging.artifact_of(job, "zip"))) as archive:
        assert set(archive.namelist()) == {f"{code}-{side}.png" for code in codes for side in ("front", "back")}
        assert archive.testzip() is None


def test_a_viewer_may_not_make_cards(cast):
    campaign = make_campaign(cast.owner, people=1)
    with pytest.raises(NotAllowed):
        jobs.start(campaign, StartOrder(), by=cast.viewer)
    assert quotas.balance(cast.organisation.id) == 10_000


def test_no_more_cards_than_the_quota(cast):
    poor = make_organisation("A small programme", quota=4)
    admin = make_actor(poor, "admin")
    with pytest.raises(QuotaExceeded) as refused:
        jobs.start(make_campaign(admin, people=5), StartOrder(), by=admin)

    assert (refused.value.asked, refused.value.left) == (5, 4)
    assert db.session.scalar(select(Job)) is None
    assert db.session.scalar(select(Card)) is None


def test_an_organisation_without_a_limit_still_balances(cast):
    free = make_organisation("Ministry", quota=0, unlimited=True)
    admin = make_actor(free, "admin")
    with transaction():
        db.session.execute(update(type(free)).values(balance=type(free).balance))
    job = jobs.start(make_campaign(admin, people=3), StartOrder(), by=admin)
    assert job.quota_consumed == 3
    assert healthy()


def test_the_same_request_twice_is_one_job(cast):
    campaign = make_campaign(cast.owner, people=2)
    once = Repeat.of("click-1", {"dpi": 300})
    first = jobs.start(campaign, StartOrder(), by=cast.editor, repeat=once)
    again = jobs.start(campaign, StartOrder(), by=cast.editor, repeat=once)

    assert again.id == first.id
    assert quotas.balance(cast.organisation.id) == 10_000 - 2
    with pytest.raises(KeyReused):
        jobs.start(campaign, StartOrder(), by=cast.editor, repeat=Repeat.of("click-1", {"dpi": 600}))


def test_the_key_of_a_request_is_kept_together_with_its_job(cast, monkeypatch):
    """Who dies between the two has made neither, so that the repeated request makes one job and not a second."""

    campaign = make_campaign(cast.owner, people=1)

    def dies(*_values, **_named):
        raise SystemExit

    monkeypatch.setattr(repeats, "remember", dies)
    with pytest.raises(SystemExit):
        jobs.start(campaign, StartOrder(), by=cast.owner, repeat=repeats.Repeat("k", "0"))
    db.session.rollback()
    assert db.session.scalar(select(Job.id)) is None


def test_a_person_with_a_card_gets_the_same_card_again_for_nothing(cast):
    campaign = make_campaign(cast.owner, people=1)
    jobs.start(campaign, StartOrder(), by=cast.editor)
    work_to_the_end(cast.app)
    card = db.session.scalar(select(Card))

    again = jobs.start(campaign, StartOrder(people=[card.person_id]), by=cast.editor)
    work_to_the_end(cast.app)

    db.session.refresh(again)
    assert (again.quota_consumed, again.cards_generated, again.state) == (0, 1, JobState.completed)
    assert db.session.scalars(select(Card.code)).all() == [card.code]
    assert quotas.balance(cast.organisation.id) == 10_000 - 1
    assert healthy()


def test_a_person_whose_card_is_just_being_made_is_skipped(cast):
    campaign = make_campaign(cast.owner, people=1)
    jobs.start(campaign, StartOrder(), by=cast.editor)
    person = db.session.scalar(select(Beneficiary.id))
    with pytest.raises(Conflict):
        jobs.start(campaign, StartOrder(people=[person]), by=cast.editor)


def test_when_everybody_has_a_card_there_is_nothing_to_make(cast):
    campaign = make_campaign(cast.owner)
    with pytest.raises(Conflict):
        jobs.start(campaign, StartOrder(), by=cast.editor)


def test_a_resolution_that_does_not_exist_is_refused(cast):
    with pytest.raises(Invalid):
        jobs.start(make_campaign(cast.owner, people=1), StartOrder(dpi=72), by=cast.editor)


def test_pause_stops_claims_and_resume_goes_on(cast):
    job = jobs.start(make_campaign(cast.owner, people=12), StartOrder(), by=cast.editor)
    with cast.app.app_context():
        assert work.do_one("worker", stopping=lambda: False)
    jobs.pause(job, by=cast.editor)
    assert work_to_the_end(cast.app) == 0
    assert db.session.get(Job, job.id).cards_drawn == 5

    jobs.resume(job, by=cast.editor)
    work_to_the_end(cast.app)
    assert db.session.get(Job, job.id).state == JobState.completed
    assert healthy()


def test_resuming_a_job_whose_last_chunk_settled_while_paused_packages_it(cast):
    job = jobs.start(make_campaign(cast.owner, people=2), StartOrder(), by=cast.editor)
    with cast.app.app_context():
        claim = claims.claim_chunk("worker")
    jobs.pause(job, by=cast.editor)
    settle(cast.app, claim)
    assert db.session.get(Job, job.id).state == JobState.paused

    jobs.resume(job, by=cast.editor)
    work_to_the_end(cast.app)
    assert db.session.get(Job, job.id).state == JobState.completed


def test_cancel_keeps_what_is_drawn_and_refunds_the_rest(cast):
    job = jobs.start(make_campaign(cast.owner, people=12), StartOrder(), by=cast.editor)
    with cast.app.app_context():
        work.do_one("worker", stopping=lambda: False)
    jobs.cancel(job, by=cast.editor)
    assert quotas.balance(cast.organisation.id) == 10_000 - 5

    work_to_the_end(cast.app)
    db.session.refresh(job)
    assert (job.state, job.cards_generated, job.quota_refunded) == (JobState.cancelled, 5, 7)
    assert len(packaging.artifacts_of(job.id)) == 4
    assert healthy()


def test_cancelling_before_anything_was_drawn_ends_the_job_at_once(cast):
    job = jobs.start(make_campaign(cast.owner, people=3), StartOrder(), by=cast.editor)
    jobs.cancel(job, by=cast.editor)

    assert db.session.get(Job, job.id).state == JobState.cancelled
    assert quotas.balance(cast.organisation.id) == 10_000
    with pytest.raises(Conflict):
        jobs.cancel(job, by=cast.editor)
    assert healthy()


def test_people_whose_card_was_cancelled_get_one_from_the_next_job(cast):
    campaign = make_campaign(cast.owner, people=2)
    jobs.cancel(jobs.start(campaign, StartOrder(), by=cast.editor), by=cast.editor)
    job = jobs.start(campaign, StartOrder(), by=cast.editor)
    work_to_the_end(cast.app)
    assert db.session.get(Job, job.id).cards_generated == 2


def test_a_card_that_cannot_be_drawn_is_refunded_alone(cast):
    campaign = make_campaign(cast.owner, people=3)
    person = db.session.scalar(select(Beneficiary))
    with transaction():
        db.session.execute(update(Beneficiary).where(Beneficiary.id == person.id).values(last_name="Δοκιμή 𓀀"))
    job = jobs.start(campaign, StartOrder(), by=cast.editor)
    work_to_the_end(cast.app)

    db.session.refresh(job)
    assert (job.state, job.cards_generated, job.total_cards, job.quota_refunded) == (JobState.completed, 2, 3, 1)
    (failed,) = jobs.failed_prints(job)
    assert "𓀀" in str(failed.reason)
    assert failed.beneficiary_id == person.beneficiary_id
    assert healthy()


def test_a_job_none_of_whose_cards_can_be_drawn_fails_and_costs_nothing(cast):
    campaign = make_campaign(cast.owner, people=2)
    with transaction():
        db.session.execute(update(Beneficiary).values(last_name="𓀀"))
    job = jobs.start(campaign, StartOrder(), by=cast.editor)
    work_to_the_end(cast.app)

    db.session.refresh(job)
    assert (job.state, job.quota_refunded) == (JobState.failed, 2)
    assert quotas.balance(cast.organisation.id) == 10_000
    assert healthy()


def test_a_job_whose_last_cards_failed_while_it_was_paused_fails_when_it_goes_on(cast):
    campaign = make_campaign(cast.owner, people=1)
    with transaction():
        db.session.execute(update(Beneficiary).values(last_name="𓀀"))
    job = jobs.start(campaign, StartOrder(), by=cast.owner)
    with cast.app.app_context():
        claim = claims.claim_chunk("worker")
    jobs.pause(job, by=cast.owner)
    settle(cast.app, claim)
    jobs.resume(job, by=cast.owner)
    assert (db.session.get(Job, job.id).state, db.session.get(Job, job.id).quota_refunded) == (JobState.failed, 1)
    assert healthy()


def test_the_ledger_repeats_no_name(cast):
    campaign = make_campaign(cast.owner, people=2)
    person = db.session.scalar(select(Beneficiary.id))
    with transaction():
        db.session.execute(update(Beneficiary).where(Beneficiary.id == person).values(last_name="Kanari 𓀀"))
    jobs.start(campaign, StartOrder(), by=cast.owner)
    work_to_the_end(cast.app)
    assert not [reason for reason in db.session.scalars(select(LedgerEntry.reason)) if "Kanari" in reason]


def test_an_archived_campaign_starts_no_job(cast):
    from app.domain import campaigns

    campaign = make_campaign(cast.owner, people=1)
    campaigns.archive(campaign, by=cast.owner)
    with pytest.raises(Conflict):
        jobs.start(campaign, StartOrder(), by=cast.owner)


def test_a_job_is_found_only_from_its_own_organisation(cast):
    from app.domain import access
    from app.domain.errors import NotFound

    job = jobs.start(make_campaign(cast.owner, people=1), StartOrder(), by=cast.owner)
    assert access.find(Job, cast.viewer, job.id, to="see").id == job.id
    for outer in (job.id, uuid.uuid4(), "nonsense"):
        with pytest.raises(NotFound):
            access.find(Job, cast.stranger, outer, to="see")
