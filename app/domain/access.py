"""Who may do what, and the one way from an id that came from outside to a row."""

import uuid
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import event, select
from sqlalchemy.orm import ORMExecuteState, Session, with_loader_criteria

from app.database import db, read_id
from app.domain.errors import NotAllowed, NotFound
from app.models import Role
from app.models.base import Tenant

READ = frozenset({"see"})
EDIT = READ | {"edit campaigns", "bring in people", "generate cards", "see phone numbers"}
MANAGE = EDIT | {"archive campaigns", "manage the team", "change settings", "erase people", "see the health"}
VERBS: dict[str, frozenset[str]] = {Role.viewer: READ, Role.editor: EDIT, Role.admin: MANAGE}

Row = TypeVar("Row")


@dataclass(frozen=True)
class Actor:
    """Who acts: a person of an organisation, or the portal itself on an organisation's behalf."""

    organisation_id: uuid.UUID
    role: str
    user_id: uuid.UUID | None = None
    name: str = "Fieldcard"

    def may(self, verb: str) -> bool:
        """Return whether the actor's role includes `verb`."""
        return verb in VERBS.get(self.role, frozenset())

    @classmethod
    def portal(cls, organisation_id: uuid.UUID) -> "Actor":
        """Return the portal acting by itself, as the command line does."""
        return cls(organisation_id, Role.admin)


def require(actor: Actor, verb: str) -> None:
    """Raise NotAllowed unless the actor's role includes `verb`."""
    if not actor.may(verb):
        raise NotAllowed(verb, actor.role)


def find(model: type[Row], actor: Actor, outer: str | uuid.UUID, *, to: str, by: str = "id") -> Row:
    """Return the row that `outer` names in the actor's organisation, if the actor may do `to` with it.

    `outer` is an id as a UUID or spelled with a prefix, or the value of the column `by`. Raises NotFound alike
    for a malformed id, an unknown one and a stranger's; NotAllowed when the row is there and the role is not.
    """
    value = outer if by != "id" or isinstance(outer, uuid.UUID) else read_id(outer)
    row = None
    if value is not None:
        belongs = model.organisation_id == actor.organisation_id
        row = db.session.scalar(select(model).where(belongs, getattr(model, by) == value))
    if row is None:
        raise NotFound()
    require(actor, to)
    return row


def confine(organisation_id: uuid.UUID) -> None:
    """From here on, see rows of one organisation only in the open database session: the net below `find`."""
    db.session.info["organisation_id"] = organisation_id


@event.listens_for(Session, "do_orm_execute")
def _stay_inside(state: ORMExecuteState) -> None:
    organisation_id = state.session.info.get("organisation_id")
    if organisation_id is None or state.is_insert or state.is_column_load or state.is_relationship_load:
        return
    state.statement = state.statement.options(
        with_loader_criteria(Tenant, lambda table: table.organisation_id == organisation_id, include_aliases=True)
    )
