"""Backups: all rows as they are at one moment, in a SQLite file of their own, and back into an empty installation.

The file is itself a database at a migration's tables, whatever engine the rows come from or go to. How it is packed
with the stored files and sealed stands in `app/backup`.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Table, create_engine, insert, select, text, update
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

from app.database import db, one_transaction, settings, transaction, utc_now
from app.domain import installation, sweeping
from app.domain.errors import Conflict, Refusal
from app.domain.leases import RELEASED
from app.keyring import derived
from app.models import Campaign, ChunkState, InstallationFact, Organisation
from app.sentences import say

Progress = Callable[[int], None]
BATCH = 2_000  # rows in memory at once
LEFT_OUT = frozenset({"user_session", "worker"})  # people sign in again; workers tell themselves that they live
LAST_BACKUP = "last_backup"
UNFINISHED = "restore_unfinished"
# Places in a campaign that a restore skips: cards made after the backup may be in people's hands, and a new card at
# the same place, signed on the same day, would carry the very token of a printed one. A token counts to 4,294,967,295.
SKIPPED_PLACES = 1_000_000


class Damaged(Refusal):
    """The backup cannot be what was written."""

    code = "damaged"


@dataclass(frozen=True)
class Snapshot:
    """All rows of one moment in `file`: how many each table has, and the stored files that they name."""

    file: Path
    taken_at: datetime
    rows: dict[str, int]
    keys: tuple[str, ...]


def fingerprint() -> str:
    """Return what tells this installation's secret from another and reveals nothing of it (HKDF)."""
    return derived(settings().secret, "backup fingerprint").hex()[:32]


def migration() -> str:
    """Return the number of the migration that this version's rows are written at."""
    return installation.newest_migration()


def engine_name() -> str:
    """Return sqlite or postgresql."""
    return db.engine.dialect.name


def snapshot(file: Path, progress: Progress = lambda rows: None) -> Snapshot:
    """Write all rows as they are now into the new SQLite file, and return what it holds.

    They are read in one transaction: on SQLite its first reading fixes the moment, on PostgreSQL REPEATABLE READ.
    Nobody waits for it.
    """
    with _tables_in(file):
        installation.migrate()
    with _reading() as source, _opened(file) as engine, engine.begin() as target:
        taken_at = utc_now()
        rows = {table.name: _copy(source, target, table, progress) for table in _tables()}
    with _tables_in(file):
        keys = _known_keys()
    _join_with_its_log(file)
    return Snapshot(file, taken_at, rows, keys)


def refuse_unless_empty() -> None:
    """Raise Conflict when there is an organisation here: a backup is restored into an empty installation only."""
    if db.session.scalar(select(Organisation.id).limit(1)):
        raise Conflict(
            say(
                "There are organisations in this installation already, and a backup is restored into an empty one "
                "only. Name a new data folder (FIELDCARD_HOME) or a new database (DATABASE_URL), and run: "
                "fieldcard migrate"
            )
        )


def refuse_newer(number: str) -> None:
    """Raise Conflict when a backup at that migration was made by a version after this one."""
    if number not in installation.migrations():
        raise Conflict(
            say(
                "This backup was made by a newer Fieldcard (its tables are at migration %(theirs)s, this version "
                "knows them up to %(ours)s). Install that version, then restore.",
                theirs=number,
                ours=installation.newest_migration(),
            )
        )


def bring_up_to_date(file: Path) -> tuple[str, ...]:
    """Bring the tables in the file to this version, and return the keys of the stored files that its rows name."""
    try:
        with _tables_in(file):
            installation.migrate()
            for table in _tables():
                db.session.execute(select(table).limit(1))
            return _known_keys()
    except (SQLAlchemyError, ValueError, SystemExit):  # Flask-Migrate ends the process when it is at a loss
        raise Damaged(say("The rows in this backup cannot be read as a database.")) from None


def load(file: Path, progress: Progress = lambda rows: None) -> None:
    """Bring all rows of the file into this empty installation, in one transaction: all of them or none.

    Leases are let go of, so that work in hand is taken up at once. A mark says that the restore is not finished
    until `finish` takes it away.
    """
    try:
        with _opened(file) as engine, engine.connect() as source, transaction() as session:
            refuse_unless_empty()
            _make_way(session.connection())
            for table in _tables():
                _copy(source, session.connection(), table, progress)
            session.execute(update(Campaign).values(cards_made=Campaign.cards_made + SKIPPED_PLACES))
            session.add(InstallationFact(name=UNFINISHED, value=utc_now().isoformat()))
    except (IntegrityError, DataError, ValueError):
        raise Damaged(say("The rows in this backup contradict each other; none was brought in.")) from None


def is_unfinished() -> bool:
    """Return whether the rows of a backup came in, and what follows on that was interrupted."""
    return db.session.get(InstallationFact, UNFINISHED) is not None


@one_transaction
def finish() -> None:
    """Take the mark away: everything that belongs to a restore is done."""
    db.session.delete(db.session.get(InstallationFact, UNFINISHED))


@one_transaction
def note_made(moment: datetime) -> None:
    """Keep the moment of the newest backup, for those who watch over the installation."""
    db.session.merge(InstallationFact(name=LAST_BACKUP, value=moment.isoformat()))


def made_last() -> datetime | None:
    """Return the moment of the newest backup, None when there was none."""
    fact = db.session.get(InstallationFact, LAST_BACKUP)
    return datetime.fromisoformat(fact.value) if fact else None


def _known_keys() -> tuple[str, ...]:
    """Return the keys of the stored files that rows name; a list whose file is gone names none."""
    return tuple(sorted(key for key in sweeping.known_keys() if key))


def _tables() -> list[Table]:
    """Return the tables of a backup, each after those that it points to."""
    return [table for table in db.metadata.sorted_tables if table.name not in LEFT_OUT]


def _copy(source: Connection, target: Connection, table: Table, progress: Progress) -> int:
    """Copy the table's rows in the order of their keys and return how many there were."""
    count = 0
    in_order = select(table).order_by(*table.primary_key.columns).execution_options(yield_per=BATCH)
    for batch in source.execute(in_order).mappings().partitions():
        target.execute(insert(table), [_let_go(dict(row)) for row in batch])
        count += len(batch)
        progress(len(batch))
    return count


def _let_go(row: dict[str, Any]) -> dict[str, Any]:
    """Return the row without its lease: a lease is of a clock and a worker that are not where the row goes."""
    if "lease_fence" not in row:
        return row
    waits = {"state": ChunkState.waiting} if row.get("state") == ChunkState.claimed else {}
    return row | RELEASED | waits


def _make_way(connection: Connection) -> None:
    """Remove what an installation without organisations has by itself, such as what falls due."""
    for table in reversed(_tables()):
        if "organisation_id" not in table.c:
            connection.execute(table.delete())


@contextmanager
def _reading() -> Iterator[Connection]:
    """Give a connection that sees one moment, and read something so that it is fixed."""
    options: dict[str, Any] = {}
    if engine_name() == "postgresql":
        options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    with db.engine.connect().execution_options(**options) as connection:
        connection.execute(text("SELECT version_num FROM alembic_version"))
        yield connection


@contextmanager
def _opened(file: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{file}", hide_parameters=True)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def _tables_in(file: Path) -> Iterator[None]:
    """Let rooms work on the file as if it were the installation's database."""
    app = installation.bare_app(replace(settings(), database_url=f"sqlite:///{file}"))
    with app.app_context():
        try:
            yield
        finally:
            db.session.remove()
            db.engine.dispose()


def _join_with_its_log(file: Path) -> None:
    """Leave one file, with no write-ahead log beside it."""
    connection = sqlite3.connect(file)
    try:
        connection.execute("PRAGMA journal_mode = DELETE")
    finally:
        connection.close()
