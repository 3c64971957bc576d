"""How Alembic reaches the portal's database: through the app, and only the tables that the models know."""

from alembic import context
from flask import current_app

from app.database import UTCDateTime

database = current_app.extensions["migrate"].db
tables = set(database.metadata.tables)


def ours(thing, name, kind, reflected, compare_to):
    """Leave tables alone that are not the portal's own, such as another program's in the same database."""
    return not (kind == "table" and reflected and name not in tables)


def spelled(kind, thing, _autogen):
    """Write our moments as the plain type below them, so that a migration needs nothing of the portal's code."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(thing, UTCDateTime) else False


if context.is_offline_mode():
    raise SystemExit("Fieldcard migrates a database that it is connected to.")

with database.engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=database.metadata,
        include_object=ours,
        render_item=spelled,
        render_as_batch=True,
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
