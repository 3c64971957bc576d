"""Workers are known by their heartbeats: who is alive, who fell silent, who left."""

from datetime import timedelta

import pytest
from sqlalchemy import update

from app import tasks
from app.database import db, transaction, utc_now
from app.domain import workers
from app.models import Worker


def silence(name: str, since: timedelta) -> None:
    """Let the worker's last heartbeat be so long ago."""
    with transaction() as session:
        session.execute(update(Worker).where(Worker.name == name).values(seen_at=utc_now() - since))


@pytest.mark.both
def test_it_works(app):
    workers.beat("a:1", utc_now())
    workers.beat("a:1", utc_now())

    (seen,) = workers.seen()
    assert not seen.silent and workers.one_lives()


@pytest.mark.both
def test_a_worker_that_is_not_heard_of_is_silent_for_a_day_and_then_forgotten(app):
    workers.beat("a:1", utc_now())
    silence("a:1", timedelta(seconds=61))
    assert [worker.silent for worker in workers.seen()] == [True]
    assert not workers.one_lives()

    silence("a:1", timedelta(hours=25))
    workers.beat("b:1", utc_now())
    assert [worker.silent for worker in workers.seen()] == [False]


def test_a_worker_says_that_it_lives_and_that_it_leaves(app, monkeypatch):
    class Stopped:
        """A stop that comes after one heartbeat, and sees the worker before."""

        def wait(self, _seconds: float) -> bool:
            self.alive = workers.one_lives()
            db.session.rollback()
            return True

    monkeypatch.setattr(tasks, "stop", stopped := Stopped())
    tasks.keep_beating(app)

    assert stopped.alive
    assert workers.seen() == []
