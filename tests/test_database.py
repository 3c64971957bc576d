"""Transactions: one a verb, no writing outside them, no lost updates; moments and ids as they should be."""

import logging
import threading
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import create_engine, insert, select, text, update
from sqlalchemy.exc import DataError, IntegrityError

from app.database import (
    WriteOutsideTransaction,
    db,
    new_id,
    one_transaction,
    read_id,
    spell,
    transaction,
    utc_now,
)
from app.models import InstallationFact, Organisation, User
from tests.cast import make_organisation


@pytest.mark.both
def test_it_works(app):
    with transaction() as session:
        session.add(InstallationFact(name="one"))
    assert db.session.get(InstallationFact, "one") is not None


@pytest.mark.both
def test_an_error_takes_everything_back(app):
    with pytest.raises(ZeroDivisionError), transaction() as session:
        session.add(InstallationFact(name="one"))
        session.flush()
        1 / 0  # noqa: B018
    assert db.session.get(InstallationFact, "one") is None


@pytest.mark.both
def test_writing_outside_a_transaction_is_refused(app):
    with pytest.raises(WriteOutsideTransaction):
        db.session.execute(update(Organisation).values(name="x"))
    db.session.add(InstallationFact(name="one"))
    with pytest.raises(WriteOutsideTransaction):
        db.session.flush()


def test_transactions_do_not_nest(app):
    with pytest.raises(RuntimeError, match="does not nest"), transaction(), transaction():
        pass


def test_changes_made_before_a_transaction_are_refused(app):
    organisation = make_organisation("Programme", quota=0)
    organisation.name = "Changed too early"
    with pytest.raises(WriteOutsideTransaction), transaction():
        pass


@pytest.mark.both
def test_read_then_write_loses_no_update(app):
    """What a deferred transaction gets wrong: sixteen threads read a number and write one more."""
    with transaction() as session:
        session.add(InstallationFact(name="count", value="0"))

    @one_transaction
    def count() -> None:
        db.session.execute(
            update(InstallationFact).where(InstallationFact.name == "count").values(value=InstallationFact.value)
        )
        fact = db.session.get(InstallationFact, "count", populate_existing=True)
        fact.value = str(int(fact.value) + 1)

    def many() -> None:
        with app.app_context():
            for _ in range(5):
                count()

    threads = [threading.Thread(target=many) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    db.session.rollback()
    assert db.session.get(InstallationFact, "count", populate_existing=True).value == "40"


@pytest.mark.both
def test_moments_come_back_as_they_were_given(app):
    moment = datetime(2026, 11, 22, 9, 30, tzinfo=timezone(timedelta(hours=1)))
    organisation = make_organisation("Programme", quota=0, created_at=moment)
    db.session.expire_all()
    assert db.session.scalar(select(Organisation.created_at)) == moment
    assert organisation.created_at.tzinfo is UTC
    with pytest.raises(Exception, match="time zone"), transaction() as session:
        session.add(Organisation(name="naive", created_at=datetime(2026, 1, 1)))
        session.flush()


def test_sqlite_keeps_what_is_committed(app):
    pragmas = {
        name: db.session.execute(text(f"PRAGMA {name}")).scalar()
        for name in ("journal_mode", "synchronous", "foreign_keys", "secure_delete")
    }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "secure_delete": 1}


def test_ids_are_spelled_and_read_both_ways():
    identifier = new_id()
    assert identifier.version == 7
    assert spell("camp", identifier).startswith("camp_")
    assert read_id(spell("camp", identifier)) == identifier == read_id(str(identifier))
    assert [read_id(text) for text in ("", "camp_", "camp_01HXYZ456DEF", "nonsense", "camp_" + "U" * 26)] == [None] * 5


def test_now_is_aware():
    assert utc_now().tzinfo is UTC


@pytest.mark.both
def test_an_error_of_the_database_tells_nothing_about_the_row(cast, caplog):
    """The address stands in PostgreSQL's DETAIL of the violation, the whole row in that of a missing value."""
    twin = {"organisation_id": cast.organisation.id, "email": "owner@example.org", "role": "viewer", "name": "Aminata"}
    for values in (twin, twin | {"email": "other@example.org", "role": None}):
        with pytest.raises(IntegrityError) as caught, transaction() as session:
            session.execute(insert(User).values(**values))
        logging.getLogger("a test").error("It failed.", exc_info=caught.value)

    assert "IntegrityError" in caplog.text
    assert not any(word in caplog.text for word in ("owner@", "other@", "Aminata"))


def test_a_value_that_postgresql_quotes_is_left_out(migrated_postgresql):
    database = create_engine(migrated_postgresql, hide_parameters=True)
    with pytest.raises(DataError) as caught, database.connect() as connection:
        connection.execute(text("SELECT CAST(:name AS integer)"), {"name": "Aminata"})
    database.dispose()

    assert "invalid input syntax for type integer" in str(caught.value)
    assert "Aminata" not in str(caught.value) + str(caught.value.orig)
