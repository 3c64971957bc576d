"""The queue carries JSON ids and nothing that could run."""

import pickle
import sqlite3
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from app import tasks
from app.database import db, transaction, utc_now
from app.domain import jobs
from app.domain.orders import StartOrder
from app.models import Chunk, ChunkState, Duty, Job, JobState
from tests.cast import make_campaign


class Harmful:
    """A pickle that would run code where it is read."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('the pickle ran')",))


@pytest.mark.both
def test_ringing_wakes_every_worker_once_and_no_more(app, settings):
    queue = app.extensions["fieldcard-queue"]
    tasks.ring()
    tasks.ring()
    assert queue.pending_count() == settings.workers


@pytest.mark.both
def test_a_rung_bell_does_one_piece_of_work_and_rings_again(app, cast):
    job = jobs.start(make_campaign(cast.owner, people=2), StartOrder(), by=cast.owner)
    queue = app.extensions["fieldcard-queue"]
    tasks.ring()
    job_id = job.id
    while task := queue.dequeue():
        queue.execute(task)
    from app.database import db

    db.session.rollback()
    assert db.session.get(Job, job_id, populate_existing=True).state == JobState.completed


def test_what_waits_in_the_queue_is_json(app, settings):
    tasks.ring()
    with sqlite3.connect(settings.home / "queue.db") as queue:
        (data,) = queue.execute("SELECT data FROM task").fetchone()
    assert data.startswith(b"[") and b"work_once" in data


def test_a_pickle_in_the_queue_does_not_run(app, settings):
    queue = app.extensions["fieldcard-queue"]
    queue.storage.enqueue(pickle.dumps(Harmful()))
    with pytest.raises(ValueError, match=r"codec|Expecting"):
        queue.dequeue()


@pytest.mark.both
def test_a_queue_that_is_away_is_no_error(app, monkeypatch):
    queue = app.extensions["fieldcard-queue"]

    def away(*_):
        raise ConnectionError("the queue is away")

    monkeypatch.setattr(queue.storage, "enqueue", away)
    tasks.ring()


def test_the_tick_rings_for_whatever_waits(app, cast):
    queue = app.extensions["fieldcard-queue"]
    tasks.tick()
    assert queue.pending_count() == 0
    jobs.start(make_campaign(cast.owner, people=1), StartOrder(), by=cast.owner)
    tasks.tick()
    assert queue.pending_count() == 1


def test_the_tick_takes_up_a_job_that_nobody_sent_on(app, cast):
    job = jobs.start(make_campaign(cast.owner, people=1), StartOrder(), by=cast.owner).id
    with transaction() as session:
        session.execute(update(Chunk).values(state=ChunkState.settled))
        session.execute(update(Job).values(state=JobState.generating, cards_drawn=1))
    tasks.tick()
    assert db.session.get(Job, job, populate_existing=True).state == JobState.packaging


def test_the_tick_books_what_is_due(app, cast):
    tasks.tick()
    with transaction() as session:
        session.execute(update(Duty).values(next_due=utc_now() - timedelta(days=1)))
    tasks.tick()

    due = db.session.scalars(select(Duty.next_due).where(Duty.name == "renew quota")).all()
    assert len(due) == 2 and all(moment > utc_now() for moment in due)
