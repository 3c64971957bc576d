"""Claims: who takes what, what is lost with a lease, and what is whose fault."""

import threading

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from app.database import db, spell, transaction
from app.domain import campaigns, claims, drawing, isolation, jobs, packaging, quotas, work
from app.domain.orders import StartOrder
from app.models import (
    Artifact,
    Card,
    CardState,
    Chunk,
    Job,
    JobState,
    Print,
    PrintState,
)
from app.rendering.chunk import DrawnCard, FailedCard
from app.sentences import say
from tests.cast import make_campaign, work_to_the_end
from tests.domain.workers import expire_leases, healthy, settle

pytestmark = pytest.mark.both
MADE_UP = claims.Pieces("parts/zip", 1, "0" * 64, "parts/pages", 1, "0" * 64)


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


def test_a_worker_that_lost_its_lease_hands_nothing_back(cast):
    """A wakes up after B took over, and is asked to stop: the chunk stays in B's hands."""
    jobs.start(make_campaign(cast.owner, people=2), StartOrder(), by=cast.owner)
    stale = claims.claim_chunk("A")
    expire_leases()
    fresh = claims.claim_chunk("B")

    claims.hand_back(stale, counts=False)
    claims.let_rest(stale)
    chunk = db.session.scalar(select(Chunk))
    assert (chunk.state, chunk.lease_owner, chunk.lease_fence) == ("claimed", "B", fresh.holder.fence)


def test_a_chunk_is_settled_whole_or_not_at_all(cast, monkeypatch):
    """A worker that dies between two of the changes has made none of them."""
    jobs.start(make_campaign(cast.owner, people=2), StartOrder(), by=cast.owner)
    claim = claims.claim_chunk("A")

    def dies(*_):
        raise SystemExit

    monkeypatch.setattr(claims, "_keep_drawn", dies)
    with pytest.raises(SystemExit):
        claims.settle(claim, MADE_UP, [DrawnCard("x", ())] * claim.cards)
    db.session.rollback()
    assert db.session.execute(select(Chunk.state, Chunk.pieces, Chunk.lease_fence)).one() == (
        "claimed",
        None,
        claim.holder.fence,
    )
    assert db.session.execute(select(Job.chunks_left, Job.cards_drawn)).one() == (1, 0)


def test_the_last_two_chunks_settled_at_the_same_moment_send_the_job_on(cast, monkeypatch):
    """The first keeps its transaction open until the second waits for it: nobody may look for unfinished siblings."""
    jobs.start(make_campaign(cast.owner, people=6), StartOrder(), by=cast.owner)
    first, second = claims.claim_chunk("A"), claims.claim_chunk("B")
    counted, through, go_on = threading.Event(), threading.Event(), jobs.go_on

    def keep_open(job) -> None:
        go_on(job)
        if not counted.is_set():
            counted.set()
            through.wait(1)

    def settle_with_made_up_pieces(claim) -> None:
        with cast.app.app_context():
            claims.settle(claim, MADE_UP, [DrawnCard("x", ())] * claim.cards)

    monkeypatch.setattr(jobs, "go_on", keep_open)
    db.session.rollback()
    early = threading.Thread(target=settle_with_made_up_pieces, args=(first,))
    early.start()
    assert counted.wait(30)
    settle_with_made_up_pieces(second)
    through.set()
    early.join()
    assert db.session.execute(select(Job.state, Job.chunks_left)).one() == (JobState.packaging, 0)


def test_a_card_counts_from_the_end_of_its_job_and_not_before(cast):
    jobs.start(make_campaign(cast.owner, people=2), StartOrder(), by=cast.owner)
    with cast.app.app_context():
        assert work.do_one("worker", stopping=lambda: False)
    assert set(db.session.scalars(select(Print.state))) == {PrintState.drawn}
    assert set(db.session.scalars(select(Card.state))) == {CardState.pending}
    work_to_the_end(cast.app)
    assert set(db.session.scalars(select(Print.state))) == {PrintState.issued}
    assert set(db.session.scalars(select(Card.state))) == {CardState.valid}


def test_who_lost_the_packaging_issues_nothing(cast):
    """A packages and stalls, B takes over; what A brings at last is too late."""
    jobs.start(make_campaign(cast.owner, people=1), StartOrder(), by=cast.owner)
    settle(cast.app, claims.claim_chunk("A"))
    stale = claims.claim_packaging("A")
    with transaction():
        db.session.execute(update(Job).values(lease_expires=0.0))
    fresh = claims.claim_packaging("B")
    with pytest.raises(claims.LeaseLost):
        packaging._issue(stale, [])
    assert db.session.execute(select(Job.state, Job.lease_fence)).one() == (JobState.packaging, fresh.holder.fence)


def test_a_person_has_one_live_card_whoever_asks(cast):
    """The last net under everything else is a unique index."""
    jobs.start(make_campaign(cast.owner, people=1), StartOrder(), by=cast.owner)
    card = db.session.execute(select(Card.__table__)).mappings().one()
    twin = {**card, "card_index": 2, "code": "VAC-TWIN"}
    with pytest.raises(IntegrityError), transaction() as session:
        session.execute(insert(Card.__table__).values(twin))


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


def test_cards_whose_process_always_ends_before_the_first_are_void_in_the_end(cast, monkeypatch):
    monkeypatch.setattr(claims, "CHILD_FROM_ATTEMPT", 1)
    monkeypatch.setattr(drawing, "CHILD_FROM_ATTEMPT", 1)
    monkeypatch.setattr(isolation, "_run", lambda *_: isolation.NOT_STARTED)
    job = jobs.start(make_campaign(cast.owner, people=2), StartOrder(), by=cast.owner)
    work_to_the_end(cast.app)

    db.session.refresh(job)
    assert (job.state, job.quota_refunded) == (JobState.failed, 2)
    assert set(db.session.scalars(select(Card.state))) == {CardState.void}
    assert healthy()


def test_a_campaign_is_locked_before_its_organisation(cast, monkeypatch):
    """Whoever orders, settles, gives up, fails or cancels: in one order nobody waits in a circle."""
    order = []
    refresh, move = campaigns.refresh_status, quotas._moved
    monkeypatch.setattr(campaigns, "refresh_status", lambda *given: order.append("campaign") or refresh(*given))
    monkeypatch.setattr(quotas, "_moved", lambda *given: order.append("organisation") or move(*given))
    campaign = make_campaign(cast.owner, people=2)
    jobs.start(campaign, StartOrder(), by=cast.owner)
    claim = claims.claim_chunk("A")
    claims.settle(claim, MADE_UP, [FailedCard("x", say("It cannot be drawn."))] * claim.cards)
    jobs.cancel(jobs.start(campaign, StartOrder(), by=cast.owner), by=cast.owner)
    jobs.start(campaign, StartOrder(), by=cast.owner)
    claims.give_up(claims.claim_chunk("B"), say("It cannot be drawn."))

    ordered, settled = ["campaign", "organisation"], ["campaign", "organisation", "organisation"]
    assert order == ordered + settled + ordered + ordered + ordered + ordered
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


def served(cast, workers: int, claimed: int = 12) -> list:
    """Return whose chunk was claimed, one after the other, while `workers` end what they hold in turn."""
    hands, order = [], []
    for _ in range(claimed):
        if len(hands) == workers:
            claims.give_up(hands.pop(0), say("Only whose turn it is matters here."))
        with cast.app.app_context():
            claim = claims.claim_chunk("worker")
        if claim is None:
            break
        hands.append(claim)
        order.append(claim.job_id)
    for claim in hands:
        claims.give_up(claim, say("Only whose turn it is matters here."))
    return order


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("abroad", [False, True], ids=["same organisation", "another organisation"])
def test_nothing_behind_a_large_job_waits_more_than_two_chunks(cast, monkeypatch, workers, abroad):
    monkeypatch.setattr("app.domain.orders.SMALLEST_CHUNK", 1)
    large = jobs.start(make_campaign(cast.owner, people=9), StartOrder(), by=cast.owner)
    assert set(served(cast, workers, claimed=3)) == {large.id}

    other = cast.stranger if abroad else cast.owner
    small = jobs.start(make_campaign(other, people=2), StartOrder(), by=other)
    order = served(cast, workers)
    assert order.index(small.id) < 2
    assert order[order.index(small.id) + 1 :].index(small.id) < 2
    assert order.count(large.id) == 6


def test_many_small_jobs_are_no_way_past_another_organisation(cast, monkeypatch):
    monkeypatch.setattr("app.domain.orders.SMALLEST_CHUNK", 1)
    ours = [jobs.start(make_campaign(cast.owner, people=1), StartOrder(), by=cast.owner) for _ in range(4)]
    theirs = jobs.start(make_campaign(cast.stranger, people=4), StartOrder(), by=cast.stranger)
    order = served(cast, workers=1)
    assert [job_id == theirs.id for job_id in order] == [False, True] * 4
    assert [job_id for job_id in order if job_id != theirs.id] == [job.id for job in ours]


def test_a_job_that_rests_is_known(cast):
    job = jobs.start(make_campaign(cast.owner, people=1), StartOrder(), by=cast.owner)
    with cast.app.app_context():
        claim = claims.claim_chunk("worker")
        assert not claims.resting(job.id)
        claims.let_rest(claim)
        assert claims.resting(job.id)
    expire_leases()
    assert not claims.resting(job.id)
