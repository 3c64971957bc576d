"""The life of jobs as a machine: any order of what people, workers and time do, compared with a small model of it.

The database is real; only drawing is left out: a chunk is settled with made-up pieces, a packaging ends with made-up
files. After every step states, counters and quota are those of the model, and every invariant of the rows holds.
"""

import hashlib
import shutil
import uuid
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import func, select, update

from app.database import db, transaction
from app.domain import claims, invariants, jobs, leases, orders, packaging, quotas
from app.domain.claims import ChunkClaim, PackagingClaim, Pieces
from app.domain.errors import Conflict, QuotaExceeded
from app.domain.invariants.cards import people_have_one_live_card
from app.domain.invariants.jobs import ended_jobs_are_settled, jobs_are_paid_for, nothing_is_stuck
from app.domain.invariants.ledgers import ledgers_balance
from app.domain.leases import LeaseLost
from app.domain.orders import StartOrder
from app.domain.quotas import AlreadyCounted
from app.domain.repeats import KeyReused, Repeat
from app.factory import create_app
from app.models import ArtifactKind, Campaign, Chunk, Job, Print
from app.rendering.chunk import DrawnCard, FailedCard
from app.sentences import say
from app.settings import Settings
from tests import conftest
from tests.cast import Cast, make_campaign
from tests.chaos.job_model import ModelChunk, ModelJob

QUOTA = 12
CARDS_A_CHUNK = 2
WORKERS = st.sampled_from(["one", "two"])
PLACES = st.integers(0, 30)  # which of the jobs, or of the claims in hand; counted round
PIECES = Pieces("parts/zip", 1, "0" * 64, "parts/pages", 1, "0" * 64)
REASON = say("This card could not be drawn, although it was tried several times.")
QUICK = (ledgers_balance, jobs_are_paid_for, ended_jobs_are_settled, nothing_is_stuck, people_have_one_live_card)
NOTHING = {"pieces": [], "length": 0, "sha256": hashlib.sha256().hexdigest()}


class Jobs(RuleBasedStateMachine):
    """Orders, two workers, and time that passes at the wrong moment."""

    app: Flask
    begin: Callable[[], Cast]

    def __init__(self) -> None:
        super().__init__()
        cast = self.begin()
        self.owner = replace(cast.owner)
        self.jobs: dict[uuid.UUID, ModelJob] = {}
        self.hands: list[ChunkClaim] = []
        self.packings: list[PackagingClaim] = []
        self.granted: set[str] = set()
        self.quota = QUOTA

    def teardown(self) -> None:
        look(invariants.IN_THE_DATABASE)
        db.session.remove()

    @precondition(lambda self: self.quota)  # with none left not even a campaign is opened
    @rule(people=st.integers(1, 5))
    def start(self, people: int) -> None:
        campaign = make_campaign(self.owner, people=people)
        repeat = Repeat.of(f"key-{campaign.id}", {})
        if people > self.quota:
            with pytest.raises(QuotaExceeded):
                jobs.start(campaign, StartOrder(), by=self.owner, repeat=repeat)
            return
        job = jobs.start(campaign, StartOrder(), by=self.owner, repeat=repeat)
        cards = ["pending"] * people
        chunks = [ModelChunk(cards[first : first + CARDS_A_CHUNK]) for first in range(0, people, CARDS_A_CHUNK)]
        self.jobs[job.id] = ModelJob(campaign.id, repeat, chunks)
        self.quota -= people

    @precondition(lambda self: self.jobs)
    @rule(place=PLACES)
    def ask_again(self, place: int) -> None:
        """The same request again finds its job; the same key for another request is refused."""
        job_id, model = self.job(place)
        campaign = db.session.get(Campaign, model.campaign)
        assert jobs.start(campaign, StartOrder(), by=self.owner, repeat=model.repeat).id == job_id
        with pytest.raises(KeyReused):
            jobs.start(campaign, StartOrder(dpi=450), by=self.owner, repeat=replace(model.repeat, body_sha256="1" * 64))

    @precondition(lambda self: self.jobs)
    @rule(place=PLACES)
    def ask_for_more(self, place: int) -> None:
        """Who has a live card gets no second one."""
        _id, model = self.job(place)
        if "void" not in model.cards:
            with pytest.raises(Conflict):
                jobs.start(db.session.get(Campaign, model.campaign), StartOrder(), by=self.owner)

    @rule(cards=st.integers(1, 3), key=st.sampled_from(["spring", "autumn"]))
    def grant(self, cards: int, key: str) -> None:
        """A grant of one key comes once; again, it is refused whole."""
        if key in self.granted:
            with pytest.raises(AlreadyCounted):
                quotas.grant(self.owner.organisation_id, cards, "A gift", by=self.owner, key=key)
            return
        quotas.grant(self.owner.organisation_id, cards, "A gift", by=self.owner, key=key)
        self.granted.add(key)
        self.quota += cards

    @rule(worker=WORKERS)
    def claim(self, worker: str) -> None:
        claim = claims.claim_chunk(worker)
        open_jobs = [model for model in self.jobs.values() if model.state in ("waiting", "generating")]
        assert (claim is not None) == any(chunk.claimable for model in open_jobs for chunk in model.chunks)
        if claim is None:
            return
        model = self.jobs[claim.job_id]
        chunk = model.chunks[claim.number]
        assert model in open_jobs and chunk.claimable
        model.state, chunk.state, chunk.fence, chunk.expired = "generating", "claimed", claim.holder.fence, False
        self.hands.append(claim)

    @precondition(lambda self: self.hands)
    @rule(place=PLACES, failed=st.lists(st.booleans(), min_size=CARDS_A_CHUNK, max_size=CARDS_A_CHUNK))
    def settle(self, place: int, failed: list[bool]) -> None:
        claim, model, chunk = self.hand(place)
        fails = failed[: claim.cards]
        results = [FailedCard("x", REASON) if bad else DrawnCard("x", ()) for bad in fails]
        if chunk.fence != claim.holder.fence:
            with pytest.raises(LeaseLost):
                claims.settle(claim, PIECES, results)
            return
        claims.settle(claim, PIECES, results)
        chunk.cards = ["void" if bad else "drawn" for bad in fails]
        self.quota += sum(fails)
        chunk.end("settled")
        self.going_on(model)

    @precondition(lambda self: self.hands)
    @rule(place=PLACES)
    def give_up(self, place: int) -> None:
        claim, model, chunk = self.hand(place)
        if chunk.fence != claim.holder.fence:
            with pytest.raises(LeaseLost):
                claims.give_up(claim, REASON)
            return
        claims.give_up(claim, REASON)
        self.quota += len(chunk.cards)
        chunk.cards = ["void"] * len(chunk.cards)
        chunk.end("void")
        self.going_on(model)

    @precondition(lambda self: self.hands)
    @rule(place=PLACES, counts=st.booleans())
    def hand_back(self, place: int, counts: bool) -> None:
        claim, _model, chunk = self.hand(place)
        claims.hand_back(claim, counts=counts)
        if chunk.fence == claim.holder.fence:
            chunk.end("waiting")

    @precondition(lambda self: self.hands or self.packings)
    @rule()
    def let_leases_expire(self) -> None:
        for table in (Chunk, Job):
            with transaction() as session:
                session.execute(
                    update(table)
                    .where(table.lease_fence.is_not(None))
                    .values(lease_expires=leases._clock()[1] - 1)
                    .execution_options(synchronize_session=False)
                )
        for model in self.jobs.values():
            model.expired = model.fence is not None
            for chunk in model.chunks:
                chunk.expired = chunk.fence is not None

    @precondition(lambda self: self.hands)
    @rule(place=PLACES)
    def renew(self, place: int) -> None:
        """Who was late but not replaced holds on; who was replaced does not."""
        claim, _model, chunk = self.hand(place)
        assert leases.renew(claim.holder) == (chunk.fence == claim.holder.fence)
        if chunk.fence == claim.holder.fence:
            chunk.expired = False

    @precondition(lambda self: self.jobs)
    @rule(place=PLACES)
    def pause(self, place: int) -> None:
        self.ask(place, jobs.pause, {"waiting", "generating"}, lambda model: setattr(model, "state", "paused"))

    @precondition(lambda self: self.jobs)
    @rule(place=PLACES)
    def resume(self, place: int) -> None:
        def going_on(model: ModelJob) -> None:
            model.state = "generating"
            self.going_on(model)

        self.ask(place, jobs.resume, {"paused"}, going_on)

    @precondition(lambda self: self.jobs)
    @rule(place=PLACES)
    def cancel(self, place: int) -> None:
        def stop(model: ModelJob) -> None:
            self.quota += model.cards.count("pending")
            model.void("pending")
            for chunk in model.chunks:
                if chunk.state in ("waiting", "claimed"):
                    chunk.end("void")
            model.ends_as = "cancelled"
            model.state = "packaging" if "drawn" in model.cards else "cancelled"

        self.ask(place, jobs.cancel, {"waiting", "generating", "paused"}, stop)

    @rule(worker=WORKERS)
    def claim_packaging(self, worker: str) -> None:
        claim = claims.claim_packaging(worker)
        waiting = [model for model in self.jobs.values() if model.state == "packaging"]
        assert (claim is not None) == any(model.fence is None or model.expired for model in waiting)
        if claim is None:
            return
        model = self.jobs[claim.job_id]
        assert model in waiting
        model.fence, model.expired = claim.holder.fence, False
        self.packings.append(claim)

    @precondition(lambda self: self.packings)
    @rule(place=PLACES)
    def issue(self, place: int) -> None:
        claim, model = self.packing(place)
        artifacts = [NOTHING | {"kind": kind} for kind in ArtifactKind]
        if model.fence != claim.holder.fence:
            with pytest.raises(LeaseLost):
                packaging._issue(claim, artifacts)
            return
        packaging._issue(claim, artifacts)
        for chunk in model.chunks:
            chunk.cards = ["issued" if card == "drawn" else card for card in chunk.cards]
        model.end(model.ends_as)

    @precondition(lambda self: self.packings)
    @rule(place=PLACES)
    def fail_packaging(self, place: int) -> None:
        claim, model = self.packing(place)
        packaging._fail(claim)
        if model.fence == claim.holder.fence:
            self.quota += model.cards.count("drawn")
            model.fail()

    @precondition(lambda self: self.packings)
    @rule(place=PLACES)
    def hand_packaging_back(self, place: int) -> None:
        claim, model = self.packing(place)
        claims.hand_back(claim, counts=False)
        if model.fence == claim.holder.fence:
            model.fence, model.expired = None, False

    @rule()
    def reap(self) -> None:
        """There is never anything stuck, so this changes nothing."""
        claims.unstick()

    @invariant()
    def it_is_as_the_model_says(self) -> None:
        db.session.rollback()
        for job_id, model in self.jobs.items():
            job = db.session.get(Job, job_id)
            cards = db.session.scalars(select(Print.state).where(Print.job_id == job_id).order_by(Print.ordinal)).all()
            chunks = db.session.execute(
                select(Chunk.state, Chunk.lease_fence).where(Chunk.job_id == job_id).order_by(Chunk.number)
            ).all()
            assert (job.state, job.chunks_left, list(cards)) == (model.state, model.open_chunks, model.cards)
            assert [tuple(chunk) for chunk in chunks] == [(chunk.state, chunk.fence) for chunk in model.chunks]
            assert job.quota_refunded == model.cards.count("void")
            assert job.lease_fence == model.fence
        assert quotas.balance(self.owner.organisation_id) == self.quota
        assert db.session.scalar(select(func.count()).select_from(Job)) == len(self.jobs)

    @invariant()
    def rows_are_sound(self) -> None:
        look(QUICK)

    def job(self, place: int) -> tuple[uuid.UUID, ModelJob]:
        return list(self.jobs.items())[place % len(self.jobs)]

    def hand(self, place: int) -> tuple[ChunkClaim, ModelJob, ModelChunk]:
        claim = self.hands[place % len(self.hands)]
        model = self.jobs[claim.job_id]
        return claim, model, model.chunks[claim.number]

    def packing(self, place: int) -> tuple[PackagingClaim, ModelJob]:
        claim = self.packings[place % len(self.packings)]
        return claim, self.jobs[claim.job_id]

    def going_on(self, model: ModelJob) -> None:
        """Let the model go on; a job that fails gives back what was drawn."""
        drawn = model.cards.count("drawn")
        model.go_on()
        if model.state == "failed":
            self.quota += drawn

    def ask(self, place: int, verb: Callable[..., None], when: set[str], then: Callable[[ModelJob], None]) -> None:
        """Ask for the verb; it is refused unless the job is in one of the states `when`."""
        job_id, model = self.job(place)
        job = db.session.get(Job, job_id)
        if model.state not in when:
            with pytest.raises(Conflict):
                verb(job, by=self.owner)
            return
        verb(job, by=self.owner)
        then(model)


def look(checks: Iterable[Callable[[], invariants.Breaches]]) -> None:
    """Find nothing that should not be so."""
    for check in checks:
        assert [str(breach) for breach in check()] == []
    db.session.rollback()


def play(home: Settings, file: Path | None, monkeypatch: pytest.MonkeyPatch, **limits: object) -> None:
    """Run the machine on the installation, which is put back to its beginning for each run."""
    monkeypatch.setattr(orders, "SMALLEST_CHUNK", CARDS_A_CHUNK)
    installation = replace(home, lease_seconds=3600.0)  # only what a rule lets expire does
    app = create_app(installation)

    def begin() -> Cast:
        db.session.remove()
        db.engine.dispose()
        if file is None:
            conftest._empty(installation.database_url)
        else:
            for rest in installation.home.glob("fieldcard.db*"):
                rest.unlink()
            shutil.copy(file, installation.home / "fieldcard.db")
        cast = Cast(app)
        left = quotas.balance(cast.organisation.id) - QUOTA
        with transaction():
            quotas._move(cast.organisation.id, "correction", -left, "Only so many", "correction:begin")
        return cast

    machine = type("Jobs", (Jobs,), {"app": app, "begin": staticmethod(begin)})
    with app.app_context():
        run_state_machine_as_test(
            machine,
            settings=hypothesis_settings(
                deadline=None, suppress_health_check=list(HealthCheck), database=None, **limits
            ),
        )
        db.engine.dispose()


@pytest.mark.timeout(900)
def test_any_order_of_events_keeps_jobs_and_quota_right(settings, migrated_file, monkeypatch):
    play(settings, migrated_file, monkeypatch, derandomize=True, max_examples=10, stateful_step_count=25)


@pytest.mark.both
@pytest.mark.long
@pytest.mark.timeout(900)
def test_many_orders_of_events_do(settings, engine, migrated_file, monkeypatch):
    file = migrated_file if engine == "sqlite" else None
    play(settings, file, monkeypatch, max_examples=20, stateful_step_count=30)
