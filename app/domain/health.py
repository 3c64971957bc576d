"""Whether the installation can work now."""

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from app.database import db


def problem() -> str | None:
    """Return why the installation cannot work, None when it can. It names the kind of the error and nothing else."""
    try:
        db.session.execute(text("SELECT 1"))
    except SQLAlchemyError as error:
        return f"The database does not answer: {type(error).__name__}."
    return None
