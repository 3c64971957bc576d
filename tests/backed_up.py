"""A small installation with work done and work in hand, other installations to restore into, and both compared."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from flask import Flask
from sqlalchemy import delete, select

from app import files
from app.database import db, transaction
from app.domain import imports, installation, jobs
from app.domain.backups import LEFT_OUT, SKIPPED_PLACES
from app.domain.leases import RELEASED, taken
from app.domain.orders import StartOrder
from app.factory import create_app
from app.models import Campaign, Chunk, Job
from app.settings import Settings
from tests.cast import Cast, make_campaign, work_to_the_end
from tests.conftest import SECRET


def busy(cast: Cast, tmp_path: Path) -> Job:
    """Return a finished job, beside which there are a job in a worker's hand and a list that was brought in."""
    done = jobs.start(make_campaign(cast.owner, people=2), StartOrder(), by=cast.owner).id
    listed = tmp_path / "list.csv"
    listed.write_text("first,last,id\nAwa,Ba,B-1\n", "utf-8")
    imports.upload(make_campaign(cast.owner), "list.csv", listed, by=cast.owner)
    work_to_the_end(cast.app)
    in_hand = jobs.start(make_campaign(cast.owner, people=1), StartOrder(), by=cast.owner).id
    with transaction() as session:
        chunk = session.scalars(select(Chunk).where(Chunk.job_id == in_hand)).one()
        session.get(Job, in_hand).state = "generating"
        chunk.state, chunk.attempts = "claimed", 1
        for name, value in taken("another worker").items():
            setattr(chunk, name, value)
    return db.session.get(Job, done)


@contextmanager
def elsewhere(home: Path, url: str = "", secret: bytes = SECRET) -> Iterator[Flask]:
    """Give another installation, empty when it is new; a database named by `url` is there and migrated."""
    if not url and not home.exists():
        home.mkdir()
        (home / "fieldcard.db").write_bytes(_migrated())
    app = create_app(Settings(home=home, secret=secret, database_url=url, lease_seconds=5.0))
    with app.app_context():
        try:
            yield app
        finally:
            db.session.remove()
            db.engine.dispose()


@cache
def _migrated() -> bytes:
    """Return an empty database at the newest migration."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        app = create_app(Settings(home=home, secret=SECRET))
        with app.app_context():
            installation.migrate()
            db.session.remove()
            db.engine.dispose()
        return (home / "fieldcard.db").read_bytes()


def all_rows() -> dict[str, list[dict[str, Any]]]:
    """Return every row of every table that a backup holds, in the order of their keys; of all tables there are."""
    db.session.rollback()
    tables = [table for table in db.metadata.sorted_tables if table.name not in LEFT_OUT]
    return {
        table.name: [
            dict(row) for row in db.session.execute(select(table).order_by(*table.primary_key.columns)).mappings()
        ]
        for table in tables
    }


def as_restored(rows: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """Return the rows with what a restore changes on purpose: leases and places in campaigns."""
    for row in [row for table in rows.values() for row in table if "lease_fence" in row]:
        row.update(RELEASED)
        row.update({"state": "waiting"} if row.get("state") == "claimed" else {})
    for row in rows[Campaign.__tablename__]:
        row["cards_made"] += SKIPPED_PLACES
    return rows


def all_files() -> dict[str, bytes]:
    """Return every stored file."""
    store = files.store()
    contents = {}
    for key in store.keys():  # noqa: SIM118 - no dict
        with store.open(key) as stream:
            contents[key] = stream.read()
    return contents


def emptied() -> None:
    """Take every row out of this database."""
    with transaction() as session:
        if db.engine.dialect.name == "postgresql":
            names = ", ".join(f'"{table.name}"' for table in db.metadata.sorted_tables)
            session.connection().exec_driver_sql(f"TRUNCATE {names} CASCADE")
            return
        for table in reversed(db.metadata.sorted_tables):
            session.execute(delete(table))
