"""Migrations lead to what the models say and back, on both engines, and the ledger and the log are only added to."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask
from flask_migrate import downgrade, upgrade
from sqlalchemy import inspect, select, text
from sqlalchemy.exc import DatabaseError

from app.database import UTCDateTime, db, transaction
from app.domain import audit, installation
from app.models import AuditEntry, LedgerEntry
from tests.cast import Cast

FILES = sorted((installation.MIGRATIONS / "versions").glob("*.py"))
OURS = "alembic_version"


@contextmanager
def migrating(app: Flask) -> Iterator[str]:
    """Let Flask-Migrate work on the test's database; nothing else may hold it."""
    installation.with_migrations(app)
    db.session.remove()
    yield str(installation.MIGRATIONS)
    db.session.remove()


def differences() -> list:
    """Return what alembic would still change to make the tables like the models."""
    with db.engine.connect() as connection:
        options = {"compare_type": _differs, "include_object": _is_ours}
        return compare_metadata(MigrationContext.configure(connection, opts=options), db.metadata)


def _differs(_context, _inspected, declared, _inspected_type, declared_type) -> bool | None:
    """Leave our moments to what they are made of; everything else is compared by alembic itself."""
    return False if isinstance(declared_type, UTCDateTime) else None


def _is_ours(_thing, name, kind, reflected, compared) -> bool:
    return not (kind == "table" and reflected and compared is None and name == OURS)


def tables() -> set[str]:
    return set(inspect(db.engine).get_table_names()) - {OURS}


@pytest.mark.both
def test_it_works(app: Flask) -> None:
    assert installation.is_migrated()
    assert tables() == set(db.metadata.tables)


@pytest.mark.both
def test_migrations_lead_to_what_the_models_say(app: Flask) -> None:
    assert differences() == []


@pytest.mark.both
def test_every_migration_can_be_taken_back_and_made_again(app: Flask) -> None:
    try:
        with migrating(app) as folder:
            downgrade(directory=folder, revision="base")
            assert tables() == set()
            assert not installation.is_migrated()
    finally:
        with migrating(app) as folder:
            upgrade(directory=folder)

    assert installation.is_migrated()
    assert differences() == []


@pytest.mark.both
def test_migrating_twice_changes_nothing(app: Flask) -> None:
    before = tables()

    installation.migrate()
    installation.migrate()

    assert tables() == before


@pytest.mark.both
@pytest.mark.parametrize("model", [LedgerEntry, AuditEntry], ids=["ledger", "log"])
@pytest.mark.parametrize(
    "change", ["UPDATE {} SET created_at = created_at", "DELETE FROM {}"], ids=["update", "delete"]
)
def test_what_was_written_down_stays(cast: Cast, model, change: str) -> None:
    with transaction():
        audit.note(cast.owner, "story.told", "story", "1")
    before = db.session.scalars(select(model.id)).all()
    assert before
    db.session.rollback()

    with pytest.raises(DatabaseError, match="only added to"), db.engine.begin() as connection:
        connection.execute(text(change.format(model.__tablename__)))

    assert db.session.scalars(select(model.id)).all() == before


def test_the_newest_file_is_alembics_head() -> None:
    heads = ScriptDirectory(str(installation.MIGRATIONS)).get_heads()

    assert heads == [installation.newest_migration()]


def test_migrations_are_numbered_without_gaps_and_say_what_they_do() -> None:
    assert [path.name[:4] for path in FILES] == [f"{number:04d}" for number in range(1, len(FILES) + 1)]
    assert all(re.fullmatch(r"\d{4}(_[a-z0-9]+)+\.py", path.name) for path in FILES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_migration_follows_the_one_before_and_needs_nothing_of_the_portal(path) -> None:
    number, source = path.name[:4], path.read_text("utf-8")
    before = f'"{int(number) - 1:04d}"' if number != "0001" else "None"

    assert f'revision = "{number}"' in source
    assert f"down_revision = {before}" in source
    assert "from app" not in source and "import app" not in source
