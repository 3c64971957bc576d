"""A job's life: asked for, paid for, made by workers, paused, cancelled, failed."""

import json
import threading
import uuid
import zipfile

import pytest
from sqlalchemy import select, update

from app.database import db, spell, transaction
from app.domain import claims, invariants, jobs, packaging, quotas, work
from app.domain.errors import Conflict, Invalid, NotAllowed, QuotaExceeded
from app.domain.orders import StartOrder
from app.domain.repeats import KeyReused, Repeat
from app.models import (
    Artifact,
    Beneficiary,
    Card,
    CardState,
    Chunk,
    Job,
    JobState,
    LedgerEntry,
    Print,
    PrintState,
)
from tests.cast import make_actor, make_campaign, make_organisation, work_to_the_end

pytestmark = pytest.mark.both


def healthy() -> bool:
    """Whether every invariant holds; prints the breaches when not."""
    found = list(invariants.breaches())
    print("\n".join(found))
    return not found


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
    ((_code, reason),) = jobs.failed_prints(job)
    assert "𓀀" in str(reason)
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


def test_a_small_job_does_not_wait_behind_a_large_one(cast):
    jobs.start(make_campaign(cast.owner, people=60), StartOrder(), by=cast.owner)
    small = jobs.start(make_campaign(cast.stranger, people=1), StartOrder(), by=cast.stranger)
    with cast.app.app_context():
        first, second = claims.claim_chunk("one"), claims.claim_chunk("two")
    assert first.job_id != small.id
    assert second.job_id == small.id


def test_two_workers_never_hold_the_same_chunk(cast):
    jobs.start(make_campaign(cast.owner, people=5), StartOrder(), by=cast.owner)
    with cast.app.app_context():
        assert claims.claim_chunk("one") is not None
        assert claims.claim_chunk("two") is None


def test_a_worker_that_lost_its_lease_changes_nothing(cast):
    """The interleaving that random kills do not find: A stalls, B takes over, the job is cancelled, A wakes."""
    job = jobs.start(make_campaign(cast.owner, people=2), StartOrder(), by=cast.owner)
    with cast.app.app_context():
        stale = claims.claim_chunk("A")
    expire_leases()
    with cast.app.app_context():
        fresh = claims.claim_chunk("B")
    assert (fresh.job_id, fresh.number) == (stale.job_id, stale.number)

    with pytest.raises(claims.LeaseLost):
        settle(cast.app, stale)
    settle(cast.app, fresh)
    work_to_the_end(cast.app)
    assert db.session.get(Job, job.id).state == JobState.completed
    assert healthy()


def test_a_chunk_settled_after_a_cancel_changes_nothing(cast):
    job = jobs.start(make_campaign(cast.owner, people=2), StartOrder(), by=cast.owner)
    with cast.app.app_context():
        claim = claims.claim_chunk("A")
    jobs.cancel(job, by=cast.owner)
    with pytest.raises(claims.LeaseLost):
        settle(cast.app, claim)
    assert set(db.session.scalars(select(Print.state))) == {PrintState.void}
    assert healthy()


def test_a_stopping_worker_hands_its_chunk_back_without_an_attempt(cast):
    jobs.start(make_campaign(cast.owner, people=2), StartOrder(), by=cast.owner)
    looks = iter([False, True, True, True])
    with cast.app.app_context():
        assert work.do_one("worker", stopping=lambda: next(looks)) is False
    chunk = db.session.scalar(select(Chunk))
    assert (chunk.state, chunk.attempts, chunk.lease_fence) == ("waiting", 0, None)


def test_a_chunk_that_failed_too_often_is_given_up_and_refunded(cast):
    campaign = make_campaign(cast.owner, people=6)
    job = jobs.start(campaign, StartOrder(), by=cast.owner)
    with transaction():
        db.session.execute(update(Chunk).where(Chunk.number == 0).values(attempts=claims.MOST_ATTEMPTS))
    work_to_the_end(cast.app)

    db.session.refresh(job)
    assert (job.state, job.cards_generated, job.quota_refunded) == (JobState.completed, 1, 5)
    assert healthy()


def test_a_job_whose_files_cannot_be_read_back_fails_and_costs_nothing(cast):
    job = jobs.start(make_campaign(cast.owner, people=2), StartOrder(), by=cast.owner)
    with cast.app.app_context():
        work.do_one("worker", stopping=lambda: False)
    with transaction():
        db.session.execute(update(Job).values(attempts=claims.MOST_PACKAGINGS))
    work_to_the_end(cast.app)

    db.session.refresh(job)
    assert (job.state, job.quota_refunded) == (JobState.failed, 2)
    assert db.session.scalar(select(Artifact)) is None
    assert healthy()


def test_workers_killed_again_and_again_are_no_fault_of_the_cards(cast):
    """A chunk in a child is not blamed for the deaths of its worker, however many there are."""
    jobs.start(make_campaign(cast.owner, people=1), StartOrder(), by=cast.owner)
    for _ in range(12):
        with cast.app.app_context():
            claim = claims.claim_chunk("doomed")
            if claim.attempts >= claims.CHILD_FROM_ATTEMPT:
                claims.shield(claim)
        expire_leases()
    assert db.session.scalar(select(Chunk.attempts)) < claims.MOST_ATTEMPTS


def test_one_job_without_a_disk_does_not_keep_the_others_waiting(cast, monkeypatch):
    stuck = jobs.start(make_campaign(cast.owner, people=1), StartOrder(), by=cast.owner).id
    other = jobs.start(make_campaign(cast.stranger, people=1), StartOrder(), by=cast.stranger).id
    make = packaging.package

    def no_room(job, *rest):
        if job.job_id == spell("job", stuck):
            raise OSError(28, "No space left on device")
        return make(job, *rest)

    monkeypatch.setattr(packaging, "package", no_room)
    work_to_the_end(cast.app)
    assert db.session.get(Job, other).state == JobState.completed
    assert db.session.get(Job, stuck).state == JobState.packaging

    monkeypatch.undo()
    with transaction():
        db.session.execute(update(Job).where(Job.id == stuck).values(lease_expires=0.0))
    work_to_the_end(cast.app)
    assert db.session.get(Job, stuck).state == JobState.completed
    assert healthy()


def test_workers_woken_together_take_a_chunk_each(cast):
    jobs.start(make_campaign(cast.owner, people=30), StartOrder(), by=cast.owner)
    start, taken = threading.Barrier(5), []

    def claim() -> None:
        with cast.app.app_context():
            start.wait()
            taken.append(claims.claim_chunk(threading.current_thread().name).number)

    workers = [threading.Thread(target=claim) for _ in range(5)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(taken) == [0, 1, 2, 3, 4]


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


def settle(app, claim) -> None:
    """Settle a claim with cards really drawn, as its worker would."""
    from pathlib import Path

    from app.domain import drawing

    with app.app_context():
        work_in_hand = drawing.gather(claim)
        folder = Path(app.config["FIELDCARD"].home) / f"bench-{uuid.uuid4()}"
        folder.mkdir()
        with (folder / "zip").open("wb") as zip_out, (folder / "pages").open("wb") as pages_out:
            results = drawing.draw_chunk(
                work_in_hand.job, work_in_hand.design, work_in_hand.cards, zip_out, pages_out, lambda: None
            )
        claims.settle(claim, drawing._store(claim, folder), results)
    db.session.rollback()


def expire_leases() -> None:
    """Let every lease run out, as time would."""
    with transaction():
        db.session.execute(update(Chunk).where(Chunk.lease_fence.is_not(None)).values(lease_expires=0.0))
