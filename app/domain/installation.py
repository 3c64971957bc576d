"""The installation itself: whether its tables are this version's, and bringing them there."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask_migrate import upgrade
from sqlalchemy import text

from app.database import db
from app.settings import ROOT

LOCK_NUMBER = 4_616_354
MIGRATIONS = str(ROOT / "migrations")


def migrate() -> None:
    """Bring the tables to this version; two at once on PostgreSQL wait for each other."""
    with _alone():
        upgrade(directory=MIGRATIONS)


def is_migrated() -> bool:
    """Return whether the database stands at the newest migration of this version."""
    with db.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision() == newest_migration()


@cache
def newest_migration() -> str | None:
    """Return the name of this version's newest migration."""
    config = Config()
    config.set_main_option("script_location", MIGRATIONS)
    return ScriptDirectory.from_config(config).get_current_head()


@contextmanager
def _alone() -> Iterator[None]:
    if db.engine.dialect.name != "postgresql":
        yield
        return
    with db.engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:number)"), {"number": LOCK_NUMBER})
        try:
            yield
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(:number)"), {"number": LOCK_NUMBER})
