"""Somebody is erased: their cards are revoked, and their name is nowhere, also after an older backup came back."""

import shutil
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from app import files
from app.database import db, transaction
from app.domain import (
    cards,
    erasure,
    imports,
    invariants,
    jobs,
    people,
    rosters,
    sweeping,
    tombstones,
    traces,
    verification,
)
from app.domain.errors import Conflict, Invalid, NotAllowed
from app.domain.orders import StartOrder
from app.intake import PersonRow
from app.models import (
    Artifact,
    AuditEntry,
    Beneficiary,
    Card,
    CardState,
    ImportRow,
    ImportState,
    JobState,
    Tombstone,
)
from tests.cast import make_campaign, work_to_the_end
from tests.domain.lists import HEADER, a_list, add, bring, count, row

ZYX = PersonRow("Zyxcanary", "Canaryzyx", "KANARI-77")


def somebody(campaign, by, who: PersonRow = ZYX):
    """Return the person, brought into the campaign."""
    return db.session.get(Beneficiary, people.add_person(campaign, who, by=by))


def with_cards(cast, campaign, **wanted):
    """Let everybody in the campaign have a card, and return the order."""
    job = jobs.start(campaign, StartOrder(**wanted), by=cast.editor)
    work_to_the_end(cast.app)
    return job


@pytest.fixture
def campaign(cast):
    return make_campaign(cast.owner, people=2)


@pytest.mark.both
def test_it_works(cast, campaign):
    zyx = somebody(campaign, cast.editor)
    job = with_cards(cast, campaign)
    card = db.session.scalar(select(Card).where(Card.person_id == zyx.id))
    before = dict(db.session.execute(select(Card.code, Card.state).where(Card.person_id != zyx.id)).all())

    ahead = erasure.outlook(zyx)
    assert (ahead.campaigns, ahead.cards, ahead.orders, ahead.others, ahead.lists) == (1, 1, 1, 2, 0)
    erasure.erase(zyx, "asked", by=cast.owner)

    assert verification.check_code(card.code).outcome == verification.Outcome.revoked
    assert (zyx.first_name, zyx.last_name, zyx.phone_number, zyx.mpi_id, zyx.custom_fields) == ("", "", None, None, {})
    assert zyx.beneficiary_id == f"erased-{zyx.id}" and zyx.erased_at is not None
    assert before == dict(db.session.execute(select(Card.code, Card.state).where(Card.person_id != zyx.id)).all())
    assert all(artifact.removed_at for artifact in db.session.scalars(select(Artifact)))
    assert list(files.store().keys()) == [f"tombstones/{zyx.id}"]
    assert db.session.get(Tombstone, zyx.id).erased_at == zyx.erased_at
    [entry] = db.session.scalars(select(AuditEntry).where(AuditEntry.action == "person.erased"))
    assert entry.facts == {"reason": "asked", "cards": 1, "orders": 1, "lists": 0}
    assert job.state == JobState.completed and list(invariants.breaches()) == []


def test_twice_is_once(cast, campaign):
    zyx = somebody(campaign, cast.editor)
    erasure.erase(zyx, "asked", by=cast.owner)
    first = zyx.erased_at
    erasure.erase(zyx, "asked", by=cast.owner)

    assert zyx.erased_at == first and count(Tombstone) == 1
    assert db.session.scalar(select(func.count()).where(AuditEntry.action == "person.erased")) == 1


def test_only_an_administrator_erases_and_only_for_a_reason_we_know(cast, campaign):
    zyx = somebody(campaign, cast.editor)
    with pytest.raises(NotAllowed):
        erasure.erase(zyx, "asked", by=cast.editor)
    with pytest.raises(Invalid):
        erasure.erase(zyx, "because of Zyxcanary", by=cast.owner)

    assert zyx.erased_at is None and list(tombstones.people()) == []


def test_who_was_erased_gets_no_card_and_is_not_found_listed_or_corrected(cast, campaign):
    zyx = somebody(campaign, cast.editor)
    erasure.erase(zyx, "asked", by=cast.owner)

    with pytest.raises(Conflict):
        jobs.start(campaign, StartOrder(people=[zyx.id]), by=cast.editor)
    assert with_cards(cast, campaign).total_cards == 2
    for words in ("zyxcanary", "kanari", "erased"):
        assert rosters.look(campaign, words, by=cast.owner)[0] == 0
    assert rosters.look(campaign, by=cast.owner)[0] == 3
    assert rosters.look(campaign, having=rosters.WITHOUT_CARD, by=cast.owner)[0] == 0
    assert zyx.id not in [line.person.id for line in rosters.export(campaign, by=cast.owner)]
    with pytest.raises(Conflict):
        people.correct_person(zyx, ZYX, by=cast.editor)
    with pytest.raises(Conflict):
        erasure.outlook(zyx)


def test_the_same_id_brought_in_again_is_somebody_new(cast, campaign):
    zyx = somebody(campaign, cast.editor)
    erasure.erase(zyx, "asked", by=cast.owner)
    again = somebody(campaign, cast.editor)

    assert again.id != zyx.id and again.erased_at is None and zyx.first_name == ""
    assert erasure.replay() == 0 and again.first_name == "Zyxcanary"


def test_a_card_of_an_erased_person_has_no_picture_any_more(cast, campaign):
    zyx = somebody(campaign, cast.editor)
    with_cards(cast, campaign)
    card = db.session.scalar(select(Card).where(Card.person_id == zyx.id))
    assert cards.picture(card) is not None
    erasure.erase(zyx, "asked", by=cast.owner)

    assert cards.picture(card) is None


@pytest.mark.both
def test_while_a_card_is_being_made_nobody_is_erased(cast, campaign):
    zyx = somebody(campaign, cast.editor)
    job = jobs.start(campaign, StartOrder(), by=cast.editor)
    with pytest.raises(Conflict, match="being made"):
        erasure.erase(zyx, "asked", by=cast.owner)
    assert zyx.first_name == "Zyxcanary" and list(tombstones.people()) == []

    jobs.cancel(job, by=cast.editor)
    erasure.erase(zyx, "asked", by=cast.owner)
    assert zyx.first_name == ""


def test_while_a_list_is_worked_through_nobody_is_erased(cast, campaign):
    zyx = somebody(campaign, cast.editor)
    bring(campaign, a_list(row(1)), cast.editor)
    with pytest.raises(Conflict, match="list"):
        erasure.erase(zyx, "asked", by=cast.owner)

    work_to_the_end(cast.app)
    erasure.erase(zyx, "asked", by=cast.owner)
    assert zyx.first_name == ""


def in_a_list(first: str = "Zyxcanary", last: str = "Canaryzyx", number: str = "KANARI-77", phone: str = "770000077"):
    return f"{first};{last};{number};31/12/1990;{phone};F;Couturière"


@pytest.mark.both
def test_of_a_list_only_the_rows_of_the_person_go(cast, campaign):
    batch = add(cast, bring(campaign, a_list(row(1), in_a_list(), row(2), in_a_list(phone="12")), cast.editor))
    zyx = db.session.scalar(select(Beneficiary).where(Beneficiary.beneficiary_id == "KANARI-77"))
    assert erasure.outlook(zyx).lists == 1
    key = batch.file_key
    erasure.erase(zyx, "asked", by=cast.owner)

    db.session.refresh(batch)
    assert [kept.original[2] for kept in db.session.scalars(select(ImportRow).order_by(ImportRow.number))] == [
        "B-00001", "B-00002",
    ]  # fmt: skip
    assert (batch.state, batch.file_key, batch.look["sample"]) == (ImportState.added, "", [])
    assert key not in set(files.store().keys())


def test_a_list_that_waits_goes_on_without_the_person(cast, campaign):
    zyx = somebody(campaign, cast.editor)
    batch = bring(campaign, a_list(row(1), in_a_list()), cast.editor)
    work_to_the_end(cast.app)
    erasure.erase(zyx, "asked", by=cast.owner)

    db.session.refresh(batch)
    assert (batch.state, batch.rows_good) == (ImportState.checked, 1)
    imports.confirm(batch, people=1, by=cast.editor)
    work_to_the_end(cast.app)
    db.session.refresh(batch)
    assert batch.state == ImportState.added and count(Beneficiary) == 4


def test_a_list_whose_columns_are_not_matched_yet_must_be_brought_in_again(cast, campaign):
    zyx = somebody(campaign, cast.editor)
    strange = HEADER.replace("Prénom(s)", "Xyz")
    holding = bring(campaign, a_list(in_a_list(), header=strange), cast.editor)
    other = bring(campaign, a_list(row(1), header=strange), cast.editor)
    work_to_the_end(cast.app)
    erasure.erase(zyx, "asked", by=cast.owner)

    db.session.refresh(holding)
    assert (holding.state, other.state) == (ImportState.failed, ImportState.matching)
    assert "erased" in holding.problem["template"]


def test_a_list_without_its_file_is_not_checked_again(cast, campaign):
    zyx = somebody(campaign, cast.editor)
    batch = bring(campaign, a_list(row(1), in_a_list()), cast.editor)
    work_to_the_end(cast.app)
    erasure.erase(zyx, "asked", by=cast.owner)

    db.session.refresh(batch)
    columns = {int(index): field for index, field in batch.columns.items()}
    imports.choose_columns(batch, columns, by=cast.editor)
    work_to_the_end(cast.app)
    db.session.refresh(batch)
    assert batch.state == ImportState.failed and "not there any more" in batch.problem["template"]


def test_a_list_that_is_checked_while_it_is_searched_keeps_nothing_of_the_person(cast, campaign, monkeypatch):
    zyx = somebody(campaign, cast.editor)
    batch = bring(campaign, a_list(row(1), in_a_list(), header=HEADER.replace("Prénom(s)", "Xyz")), cast.editor)
    work_to_the_end(cast.app)
    searched = traces.in_lists

    def and_meanwhile_checked(person):
        found = searched(person)
        columns = {int(index): field for index, field in batch.columns.items()} | {0: "first_name"}
        imports.choose_columns(batch, columns, by=cast.editor)
        work_to_the_end(cast.app)
        return found

    with monkeypatch.context() as busy:
        busy.setattr(traces, "in_lists", and_meanwhile_checked)
        with pytest.raises(Conflict, match="list"):
            erasure.erase(zyx, "asked", by=cast.owner)
    erasure.erase(zyx, "asked", by=cast.owner)
    assert [kept.original[2] for kept in db.session.scalars(select(ImportRow))] == ["B-00001"]


@pytest.mark.parametrize(
    ("line", "theirs"),
    [
        (in_a_list(), True),
        (in_a_list(number="kanari-77", first="Zoé"), True),
        (in_a_list(number=""), True),
        (in_a_list(number="OLD-1"), True),
        (in_a_list(number="B-00001"), False),
        (row(3), False),
    ],
    ids=["the same", "by id", "refused, by name", "by name, under an id of nobody", "a namesake", "somebody else"],
)
def test_a_row_is_the_persons_by_id_or_by_name_when_the_id_is_nobody_elses(cast, campaign, line, theirs):
    somebody(campaign, cast.editor, PersonRow("Zyxcanary", "Canaryzyx", "B-00001"))
    zyx = somebody(campaign, cast.editor)
    bring(campaign, a_list(line), cast.editor)
    work_to_the_end(cast.app)

    assert len(list(traces.rows_of(zyx))) == theirs


@pytest.mark.both
def test_an_older_backup_does_not_bring_the_person_back(cast, campaign, settings, engine):
    zyx = somebody(campaign, cast.editor)
    with_cards(cast, campaign)
    person_id, saved = zyx.id, {column.name: getattr(zyx, column.name) for column in Beneficiary.__table__.columns}
    erasure.erase(zyx, "asked", by=cast.owner)
    with transaction() as session:  # as if a backup had been put back that knows nothing of it
        session.execute(update(Beneficiary).where(Beneficiary.id == person_id).values(**saved))
        session.execute(update(Card).where(Card.person_id == person_id).values(state=CardState.valid))
        session.execute(Tombstone.__table__.delete())
    job = jobs.start(campaign, StartOrder(people=[person_id]), by=cast.editor)
    balance = cast.organisation.balance

    assert erasure.replay() == 1
    db.session.expire_all()
    assert db.session.get(Beneficiary, person_id).first_name == ""
    assert set(db.session.scalars(select(Card.state).where(Card.person_id == person_id))) == {CardState.revoked}
    assert (
        db.session.get(Tombstone, person_id) and job.state == JobState.failed and balance == cast.organisation.balance
    )
    assert erasure.replay() == 0 and list(invariants.breaches()) == []


def test_without_force_who_has_an_order_in_hand_waits_for_the_next_time(cast, campaign):
    zyx = somebody(campaign, cast.editor)
    job = jobs.start(campaign, StartOrder(people=[zyx.id]), by=cast.editor)
    tombstones.put(zyx.id)  # as after a crash between the file and the commit

    assert erasure.replay(force=False) == 0
    work_to_the_end(cast.app)
    db.session.refresh(job)
    assert job.state == JobState.completed and list(tombstones.people()) == [zyx.id]
    assert erasure.replay(force=False) == 1


def test_a_tombstone_without_its_file_gets_it_again(cast, campaign):
    zyx = somebody(campaign, cast.editor)
    erasure.erase(zyx, "asked", by=cast.owner)
    shutil.rmtree(files.store().folder / "tombstones")

    assert erasure.replay() == 0
    assert list(tombstones.people()) == [zyx.id]


def test_files_in_a_store_that_is_away_after_the_commit_are_swept_later(cast, campaign, monkeypatch, caplog):
    zyx = somebody(campaign, cast.editor)
    with_cards(cast, campaign)
    store = files.store()
    monkeypatch.setattr(store, "delete", lambda key: (_ for _ in ()).throw(OSError("the disk is away")))
    emptied = []
    monkeypatch.setattr(erasure, "truncate_wal", lambda: emptied.append(1))
    erasure.erase(zyx, "asked", by=cast.owner)
    monkeypatch.undo()
    assert emptied and "left to the sweep" in caplog.text and "Zyxcanary" not in caplog.text
    assert len(list(store.keys())) > 1

    sweeping.sweep(older_than=timedelta(seconds=-1))
    assert list(store.keys()) == [f"tombstones/{zyx.id}"]
