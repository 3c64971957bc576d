"""Keeping: files and lists whose time is over, what is left of them, and lists that nobody wants any more."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from app import files
from app.database import db, transaction, utc_now
from app.domain import import_rows, jobs, keeping, packaging, reorders
from app.domain.errors import Conflict, Gone
from app.domain.orders import StartOrder
from app.models import Artifact, AuditEntry, Card, CardState, Chunk, ImportBatch, ImportRow, Job, JobState
from tests.cast import make_campaign, work_to_the_end
from tests.domain import lists
from tests.domain.workers import healthy

pytestmark = pytest.mark.both


def nothing() -> None:
    """Pass no checkpoint."""


def grow_old(model, days: int) -> None:
    with transaction():
        db.session.execute(update(model).values(created_at=utc_now() - timedelta(days=days, minutes=1)))


def finished(cast, people: int = 2) -> Job:
    job = jobs.start(make_campaign(cast.owner, people=people), StartOrder(), by=cast.owner)
    work_to_the_end(cast.app)
    db.session.refresh(job)
    return job


def test_files_past_their_time_go_and_can_be_made_again_for_nothing(cast):
    job = finished(cast)
    grow_old(Artifact, 180)
    assert keeping.remove_outdated(nothing) == 1
    assert keeping.remove_outdated(nothing) == 0

    assert list(files.store().keys()) == []
    assert {file.removed_at is not None for file in packaging.artifacts_of(job.id)} == {True}
    assert set(db.session.scalars(select(Chunk.pieces))) == {None}
    assert "job.files_removed" in db.session.scalars(select(AuditEntry.action)).all()
    assert packaging.artifact_of(job, "pdf") is None
    with pytest.raises(Gone):
        packaging.refuse_removed(job, "pdf")
    assert healthy()

    with transaction():
        db.session.execute(update(Card).where(Card.card_index == 1).values(state=CardState.revoked))
    assert reorders.of_job(job) == reorders.Again(printable=1, out=1, failed=0)
    again = reorders.files_again(job, by=cast.owner)
    work_to_the_end(cast.app)
    db.session.refresh(again)
    assert (again.state, again.quota_consumed, again.cards_generated) == (JobState.completed, 0, 1)
    assert packaging.artifact_of(again, "pdf").length > 0


def test_files_within_their_time_stay(cast):
    finished(cast, people=1)
    grow_old(Artifact, 179)
    assert keeping.remove_outdated(nothing) == 0


def test_nothing_is_printed_again_when_no_card_is_in_anybodys_hands(cast):
    job = finished(cast, people=1)
    with transaction():
        db.session.execute(update(Card).values(state=CardState.revoked))
    with pytest.raises(Conflict):
        reorders.files_again(job, by=cast.owner)


def test_an_old_list_that_was_added_keeps_its_record_and_nothing_else(cast):
    batch = lists.add(cast, lists.bring(make_campaign(cast.owner), lists.a_list(lists.row(1)), cast.owner))
    grow_old(ImportBatch, 7)
    assert keeping.remove_outdated(nothing) == 1
    assert keeping.remove_outdated(nothing) == 0

    db.session.refresh(batch)
    assert (batch.rows_new, batch.look, batch.columns, batch.file_name) == (1, {}, {}, "list.csv")
    assert lists.count(ImportRow) == 0
    assert list(files.store().keys()) == []
    assert not list(import_rows.refused(batch))


def test_a_list_that_was_never_confirmed_goes_by_itself(cast):
    lists.bring(make_campaign(cast.owner), lists.a_list(lists.row(1)), cast.owner)
    work_to_the_end(cast.app)
    grow_old(ImportBatch, 7)
    assert keeping.remove_outdated(nothing) == 1
    assert (lists.count(ImportBatch), lists.count(ImportRow), list(files.store().keys())) == (0, 0, [])


def test_a_discarded_list_leaves_nothing_but_the_word_that_it_was_there(cast):
    batch = lists.bring(make_campaign(cast.owner), lists.a_list(lists.row(1)), cast.owner)
    work_to_the_end(cast.app)
    keeping.discard(batch, by=cast.owner)
    assert (lists.count(ImportBatch), lists.count(ImportRow), list(files.store().keys())) == (0, 0, [])
    assert "import.discarded" in db.session.scalars(select(AuditEntry.action)).all()


def test_a_list_whose_people_were_added_is_not_discarded(cast):
    batch = lists.add(cast, lists.bring(make_campaign(cast.owner), lists.a_list(lists.row(1)), cast.owner))
    with pytest.raises(Conflict):
        keeping.discard(batch, by=cast.owner)
    assert lists.count(ImportRow) == 1
