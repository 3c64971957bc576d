"""Bulk: rows by the hundred thousand, read and written in the very form in which the database keeps them.

Values pass through no type: an id is what the driver says it is. So whatever is read here is compared with, and
written by, what is read here.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Column, TableClause, column, table

from app.database import db

ROWS_AT_ONCE = 10_000
IDS_AT_ONCE = 500
Item = TypeVar("Item")


@cache
def bare(model: type[Any]) -> TableClause:
    """Return the model's table without the types of its columns."""
    return table(model.__table__.name, *(column(each.name) for each in model.__table__.columns))


def as_kept(value: Any, of: Any) -> Any:
    """Return the value as the database keeps it in the column `of`."""
    kind: Column[Any] = of.property.columns[0]
    dialect = db.engine.dialect
    write = kind.type.dialect_impl(dialect).bind_processor(dialect)
    return write(value) if write else value


def put(model: type[Any], names: Sequence[str], rows: Iterable[tuple[Any, ...]], same: Mapping[str, Any]) -> None:
    """Insert the rows inside the open transaction: their values of the columns `names`, as the database keeps them.

    `same` stands in each of them, as the model's own values. The driver takes the tuples as they are, which is three
    times as fast as naming each value.
    """
    kept = tuple(as_kept(value, getattr(model, name)) for name, value in same.items())
    columns = (*same, *names)
    holder = "?" if db.engine.dialect.name == "sqlite" else "%s"
    values = ", ".join([holder] * len(columns))
    statement = f"INSERT INTO {bare(model).name} ({', '.join(columns)}) VALUES ({values})"  # noqa: S608 - our own names
    for some in batches(rows, ROWS_AT_ONCE):
        db.session.connection().exec_driver_sql(statement, [kept + row for row in some])


def batches(items: Iterable[Item], size: int = IDS_AT_ONCE) -> Iterator[list[Item]]:
    """Yield `items` in runs of at most `size`, so that no statement carries too many values."""
    walk = iter(items)
    while run := list(islice(walk, size)):
        yield run
