"""The installation itself: whether its tables are this version's, and bringing them there.

Alembic is a second of import that only a migration needs, so it is imported there.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from flask import Flask, current_app
from sqlalchemy import inspect, text

from app import models
from app.database import db, patience_with
from app.settings import ROOT, Settings

LOCK_NUMBER = 4_616_354
MIGRATIONS = ROOT / "migrations"


def bare_app(settings: Settings) -> Flask:
    """Return an app that knows the database and nothing else, for what must be quick."""
    app = Flask("app")
    app.config.update(
        FIELDCARD=settings,
        SQLALCHEMY_DATABASE_URI=settings.database,
        SQLALCHEMY_ENGINE_OPTIONS={"hide_parameters": True, "connect_args": patience_with(settings.database)},
    )
    db.init_app(app)
    return app


def migrate() -> None:
    """Bring the tables to this version; two at once on PostgreSQL wait for each other."""
    if is_migrated():
        return
    from flask_migrate import upgrade

    with_migrations(current_app)
    with _alone():
        upgrade(directory=str(MIGRATIONS))


def with_migrations(app: Flask) -> None:
    """Let Flask-Migrate know the app; what `flask --app migrations.app db …` works on."""
    from flask_migrate import Migrate

    Migrate(app, db, directory=str(MIGRATIONS), render_as_batch=True, compare_type=True)


def is_migrated() -> bool:
    """Return whether the database stands at the newest migration of this version."""
    with db.engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return False
        return connection.scalar(text("SELECT version_num FROM alembic_version")) == newest_migration()


def newest_migration() -> str:
    """Return the number of this version's newest migration."""
    return max(migrations())


def migrations() -> set[str]:
    """Return the numbers of all migrations that this version has; files are named `0001_what_it_does.py`."""
    return {path.name.split("_", 1)[0] for path in (MIGRATIONS / "versions").glob("[0-9]*_*.py")}


def has_demo() -> bool:
    """Return whether the demo was made here before."""
    return db.session.get(models.InstallationFact, "demo") is not None


@contextmanager
def _alone() -> Iterator[None]:
    if db.engine.dialect.name != "postgresql":
        yield
        return
    with db.engine.connect() as connection:
        connection.execute(text("SET lock_timeout = 0"))  # the other one's migration may take its time
        connection.execute(text("SELECT pg_advisory_lock(:number)"), {"number": LOCK_NUMBER})
        try:
            yield
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(:number)"), {"number": LOCK_NUMBER})
