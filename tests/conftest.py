"""The ground every test stands on: a migrated database of its own, the cast, and the engines `both` tests run on.

SQLite: one file is migrated once and copied for each test. PostgreSQL: one database a test process, emptied before
each test. In CI a missing browser, PostgreSQL or Redis is a failure, never a skip.
"""

import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import create_engine, text

from app.database import db
from app.domain import installation
from app.factory import create_app
from app.settings import Settings
from tests.cast import Cast

IN_CI = os.environ.get("CI") == "true"
POSTGRESQL = os.environ.get("FIELDCARD_TEST_POSTGRESQL", "postgresql+psycopg://postgres@127.0.0.1:5432/postgres")
REDIS = os.environ.get("FIELDCARD_TEST_REDIS", "redis://127.0.0.1:6379/9")
PROCESS = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
SECRET = b"a secret that only the tests know, 32 bytes and more"
ENGINES = ("sqlite", "postgresql")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the tests that take minutes, and only those")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the long tests or the others, as asked."""
    wanted = config.getoption("--long")
    kept = [item for item in items if (item.get_closest_marker("long") is not None) == wanted]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test marked `both` once on each engine, and one marked `grown` on PostgreSQL alone."""
    if "engine" in metafunc.fixturenames:
        marked = {mark.name for mark in metafunc.definition.iter_markers()}
        engines = ENGINES if "both" in marked else ENGINES[1:] if "grown" in marked else ENGINES[:1]
        metafunc.parametrize("engine", engines, indirect=True)


def needs(available: bool, what: str) -> None:
    """Skip where `what` is missing, but fail in CI, where it must be there."""
    if available:
        return
    if IN_CI:
        pytest.fail(f"{what} must be available in CI")
    pytest.skip(f"{what} is not available here")


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> str:
    """The engine this test runs on: sqlite or postgresql (with Redis as its queue)."""
    return request.param


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite database at the newest migration, to be copied."""
    home = tmp_path_factory.mktemp("migrated")
    app = create_app(Settings(home=home, secret=SECRET))
    with app.app_context():
        installation.migrate()
        db.session.remove()
        db.engine.dispose()
    return home / "fieldcard.db"


@pytest.fixture(scope="session")
def migrated_postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a PostgreSQL database of this test process, at the newest migration."""
    admin = create_engine(POSTGRESQL, isolation_level="AUTOCOMMIT")
    name = f"fieldcard_test_{uuid.uuid4().hex[:12]}"
    try:
        with admin.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
    except Exception:
        needs(False, "PostgreSQL")
    url = POSTGRESQL.rsplit("/", 1)[0] + f"/{name}"
    app = create_app(Settings(home=tmp_path_factory.mktemp("postgresql"), secret=SECRET, database_url=url))
    with app.app_context():
        installation.migrate()
        db.session.remove()
        db.engine.dispose()
    yield url
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture
def settings(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> Settings:
    """The settings of this test's installation, its database at the newest migration and empty."""
    home = tmp_path / "home"
    home.mkdir()
    plain = Settings(home=home, secret=SECRET, lease_seconds=5.0, reap_seconds=0.5)
    if engine == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_file"), home / "fieldcard.db")
        return plain
    url = request.getfixturevalue("migrated_postgresql")
    _empty(url)
    needs(_redis_answers(), "Redis")
    return replace(plain, database_url=url, queue_url=_own_redis())


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    """The portal on this test's installation, inside its context."""
    app = create_app(settings)
    app.config["TESTING"] = True
    app.extensions["fieldcard-queue"].flush()
    with app.app_context():
        yield app
        db.session.remove()
        db.engine.dispose()


@pytest.fixture
def cast(app: Flask) -> Cast:
    """The people of the story: the owner runs the campaign, a colleague looks on, a stranger works elsewhere."""
    return Cast(app)


def _empty(url: str) -> None:
    database = create_engine(url)
    with database.begin() as connection:
        tables = connection.execute(
            text("SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'")
        ).scalars()
        names = ", ".join(f'"{name}"' for name in tables)
        connection.execute(text(f"TRUNCATE {names} CASCADE"))
    database.dispose()


def _own_redis() -> str:
    """Return a Redis database of this test process alone, so that processes do not ring each other's bells."""
    start, number = REDIS.rsplit("/", 1)
    return f"{start}/{int(number) + PROCESS}"


def _redis_answers() -> bool:
    import redis

    try:
        return bool(redis.Redis.from_url(REDIS, socket_connect_timeout=2).ping())
    except redis.RedisError:
        return False
