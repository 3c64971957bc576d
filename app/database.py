"""The database: the session, `transaction()`, SQLite's manners, the UTC type, and ids.

Rooms read through `db.session` freely and write only inside `transaction()`.
"""

import logging
import random
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from flask import current_app
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import DateTime, MetaData, event
from sqlalchemy.engine import Connection, Engine, ExceptionContext
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.types import TypeDecorator
from ulid import ULID

from app.settings import Settings

log = logging.getLogger(__name__)
NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
BUSY_MILLISECONDS = 30_000
PATIENT_MILLISECONDS = 2_000  # to wait for readers before the log of changes is emptied
TRIES = 5
WORTH_RETRYING = {"40001", "40P01", "23505"}  # PostgreSQL: serialization failure, deadlock, unique violation

P = ParamSpec("P")
R = TypeVar("R")


class Base(DeclarativeBase):
    """What every table shares: the naming of its constraints, so that migrations can find them again."""

    metadata = MetaData(naming_convention=NAMES)


db = SQLAlchemy(model_class=Base)


class WriteOutsideTransaction(RuntimeError):
    """Something tried to change rows outside `transaction()`; a mistake in the code, never the person's."""


@contextmanager
def transaction() -> Iterator[Session]:
    """Open a writing transaction and commit it at the end; any exception rolls all of it back.

    The reading transaction that was open is ended first, so rows handed in are read afresh. Nesting is
    refused: a verb is one transaction, and two verbs are two.
    """
    session = db.session()
    if session.info.get("writing"):
        raise RuntimeError("transaction() does not nest: one verb, one transaction.")
    if session.new or session.dirty or session.deleted:
        raise WriteOutsideTransaction("There are changes that were made before transaction() began.")
    session.rollback()
    session.info["writing"] = True
    with TURNS.turn() if db.engine.dialect.name == "sqlite" else nullcontext():
        try:
            session.connection(execution_options={"immediate": True})
            yield session
            session.commit()
        except BaseException:
            session.rollback()
            raise
        finally:
            session.info["writing"] = False


class Turns:
    """Who of this process's threads writes next: first come, first served.

    SQLite lets those who wait for its lock try again at random, so that of fifty writers one may wait in vain until
    its patience ends. Who has waited here that long goes on all the same, to hear it from SQLite itself.
    """

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self.waiting: deque[threading.Event] = deque()
        self.lock = threading.Lock()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for the calling thread's turn, and pass it on at the end."""
        mine = threading.Event()
        with self.lock:
            self.waiting.append(mine)
            self._call_the_first()
        try:
            mine.wait(self.patience)
            yield
        finally:
            with self.lock:
                self.waiting.remove(mine)
                self._call_the_first()

    def _call_the_first(self) -> None:
        if self.waiting:
            self.waiting[0].set()


TURNS = Turns(BUSY_MILLISECONDS / 1000)


def one_transaction(verb: Callable[P, R]) -> Callable[P, R]:
    """Run `verb` inside `transaction()`, again (five times) when the database asks for a retry.

    PostgreSQL asks so after a deadlock or a serialization failure; and where two twins of one request met, the
    second finds what the first has made. The verb must therefore do nothing but talk to the database.
    """

    @wraps(verb)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        for turn in range(1, TRIES + 1):
            try:
                with transaction():
                    return verb(*args, **kwargs)
            except DBAPIError as error:
                if turn == TRIES or getattr(error.orig, "sqlstate", None) not in WORTH_RETRYING:
                    raise
                time.sleep(random.uniform(0.01, 0.05) * turn)  # noqa: S311 - only spreads the retries
        raise AssertionError("unreachable")

    return run


def added_first(row: Any) -> bool:
    """Add the row to the open transaction; False when somebody else was faster to add one like it."""
    try:
        with db.session.begin_nested():
            db.session.add(row)
    except IntegrityError:
        return False
    return True


def truncate_wal() -> None:
    """Move SQLite's log of changes into the database and empty it, so that what was deleted is in no file any more.

    A reader may be in the way; then the log stays until the next time. PostgreSQL forgets by its own VACUUM.
    """
    db.session.rollback()
    if db.engine.dialect.name != "sqlite":
        return
    connection = db.engine.raw_connection()
    try:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {PATIENT_MILLISECONDS}")
        try:
            busy, _pages, _moved = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            cursor.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
            cursor.close()
    finally:
        connection.close()
    if busy:
        log.warning("The database's log of changes could not be emptied, because somebody reads; the next time will.")


@event.listens_for(Session, "before_flush")
def _flush_only_when_writing(session: Session, *_: Any) -> None:
    if not session.info.get("writing") and (session.new or session.dirty or session.deleted):
        raise WriteOutsideTransaction("Rows change inside transaction() only.")


@event.listens_for(Session, "do_orm_execute")
def _write_only_when_writing(state: Any) -> None:
    writes = state.is_insert or state.is_update or state.is_delete
    if writes and not state.session.info.get("writing"):
        raise WriteOutsideTransaction("Rows change inside transaction() only.")


@event.listens_for(Engine, "handle_error")
def _say_no_values(context: ExceptionContext) -> None:
    """Take out of the database's errors what rows they were about: it is people's names, and errors reach the log.

    PostgreSQL puts whole rows into the lines after the first (DETAIL, CONTEXT), and into the first of class 22, which
    is about values, what stood in the row. SQLite names tables and columns only.
    """
    original = context.original_exception
    told = str(original)
    kept = told.splitlines()[0] if told else told
    if (getattr(original, "sqlstate", None) or "").startswith("22"):
        kept = kept.split(': "')[0]
    if kept == told or not type(original).__module__.startswith("psycopg"):
        return
    original.args = (kept,)
    if context.sqlalchemy_exception is not None:
        context.sqlalchemy_exception.args = tuple(
            one.replace(told, kept) if isinstance(one, str) else one for one in context.sqlalchemy_exception.args
        )


def patience_with(url: str) -> dict[str, Any]:
    """Return how long a PostgreSQL server that is away is waited for, as arguments to connect; SQLite needs none."""
    if not url.startswith("postgresql"):
        return {}
    unheard = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
    return {"connect_timeout": 10, "tcp_user_timeout": BUSY_MILLISECONDS, **unheard}


@event.listens_for(Engine, "connect")
def _postgresql_manners(connection: Any, _record: Any) -> None:
    """Wait for a lock as long as SQLite does, and no longer: a request is then answered, and work tried again."""
    if not type(connection).__module__.startswith("psycopg"):
        return
    connection.execute(f"SET lock_timeout = {BUSY_MILLISECONDS}")
    connection.commit()


@event.listens_for(Engine, "connect")
def _sqlite_manners(connection: Any, _record: Any) -> None:
    """Durable (FULL), concurrent (WAL), strict (foreign keys), patient (busy timeout), forgetful (secure delete)."""
    if not type(connection).__module__.startswith("sqlite3"):
        return
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout = {BUSY_MILLISECONDS}",
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        "secure_delete = ON",
        "journal_size_limit = 67108864",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


@event.listens_for(Engine, "begin")
def _begin(connection: Connection) -> None:
    """Take SQLite's write lock at the start of a writing transaction and of no other.

    A deferred transaction that turns into a writer fails at once with "database is locked", whatever the busy
    timeout; taking the lock on every begin would make readers wait for writers.
    """
    if connection.dialect.name == "sqlite":
        immediate = connection.get_execution_options().get("immediate", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


class UTCDateTime(TypeDecorator[datetime]):
    """An aware UTC moment; both databases give it back as it was given."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("A moment without a time zone means nothing: use utc_now().")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def utc_now() -> datetime:
    """Return the present moment, aware, in UTC."""
    return datetime.now(UTC)


def new_id() -> uuid.UUID:
    """Return a UUIDv7 (RFC 9562): sorted by time of birth, so lists by id are lists by age."""
    return ULID().to_uuid7(compliant=True)


def spell(prefix: str, identifier: uuid.UUID) -> str:
    """Return the id as integrators see it: `camp_01J…`, the prefix and a ULID of 26 characters."""
    return f"{prefix}_{ULID.from_bytes(identifier.bytes)}"


def read_id(text: str) -> uuid.UUID | None:
    """Return the id spelled as `prefix_ULID` or as a UUID; None for anything else."""
    try:
        if "_" in text:
            return uuid.UUID(bytes=ULID.from_str(text.rsplit("_", 1)[1].upper()).bytes)
        return uuid.UUID(text)
    except (ValueError, AttributeError):
        return None


def settings() -> Settings:
    """Return the settings of the running app."""
    return current_app.config["FIELDCARD"]
