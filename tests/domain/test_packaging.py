"""Packaging: no card counts before its files were read back from the store as they were written."""

import pytest
from sqlalchemy import update

from app import files
from app.database import db, transaction
from app.domain import claims, jobs, quotas, work
from app.domain.orders import StartOrder
from app.models import Job, JobState
from tests.cast import make_campaign
from tests.domain.workers import healthy

pytestmark = pytest.mark.both


@pytest.fixture
def drawn(cast) -> Job:
    """A job whose only chunk is drawn, so that packaging comes next."""
    job = jobs.start(make_campaign(cast.owner, people=1), StartOrder(), by=cast.owner)
    one_piece_of_work(cast)
    return job


def one_piece_of_work(cast) -> None:
    with cast.app.app_context():
        work.do_one("worker", stopping=lambda: False)
    db.session.rollback()


def spoil(key: str) -> None:
    """Turn the last byte of the stored file into another, as a failing disk would."""
    path = files.store().folder / key
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


@pytest.mark.parametrize("end", [".zip", ".pages"])
def test_a_piece_that_changed_since_it_was_drawn_ends_in_a_refund_and_not_in_a_file(cast, drawn, end):
    spoil(next(key for key in files.store().keys("parts/") if key.endswith(end)))
    one_piece_of_work(cast)
    db.session.refresh(drawn)
    assert (drawn.state, drawn.attempts) == (JobState.packaging, 1)

    with transaction():
        db.session.execute(update(Job).values(attempts=claims.MOST_PACKAGINGS))
    one_piece_of_work(cast)
    db.session.refresh(drawn)
    assert (drawn.state, drawn.quota_refunded) == (JobState.failed, 1)
    assert quotas.balance(cast.organisation.id) == 10_000
    assert healthy()


def test_a_file_that_the_store_keeps_wrongly_is_written_again(cast, drawn, monkeypatch):
    kept = type(files.store()).put
    turns = []

    def put(store, key, *arguments):
        kept(store, key, *arguments)
        if "/pdf." in key and not turns:
            turns.append(key)
            spoil(key)

    monkeypatch.setattr(type(files.store()), "put", put)
    one_piece_of_work(cast)
    assert db.session.get(Job, drawn.id).state == JobState.packaging
    one_piece_of_work(cast)
    db.session.refresh(drawn)
    assert (drawn.state, len(turns)) == (JobState.completed, 1)
    assert healthy()
