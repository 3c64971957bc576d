"""The team: who belongs to an organisation, in which role, and the links by which people join or get back in."""

import base64
import hmac
import uuid
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, func, select, update

from app.database import db, new_id, one_transaction, settings, utc_now
from app.domain import access, audit, repeats
from app.domain.access import Actor, require
from app.domain.accounts import (
    LONGEST_NAME,
    TOKEN_BYTES,
    acting,
    added,
    checked_email,
    checked_role,
    digest,
    is_taken,
    shut_out,
)
from app.domain.errors import Conflict, Invalid, NotFound
from app.domain.organisations import one_line
from app.domain.passwords import hashed, weak_password
from app.keyring import derived
from app.models import Invitation, InvitationKind, Organisation, Role, User
from app.sentences import Sentence, say

LINK_LASTS = timedelta(hours=72)


@dataclass(frozen=True)
class OpenLink:
    """What a person who opens a link may know before answering it."""

    kind: str
    email: str
    organisation_name: str


def members(by: Actor) -> list[User]:
    """Return the people of the organisation by e-mail; those who were removed are left out."""
    ours = (User.organisation_id == by.organisation_id, User.removed_at.is_(None))
    return list(db.session.scalars(select(User).where(*ours).order_by(User.email)))


def find_member(outer: str, *, by: Actor) -> User:
    """Return the person of the team that `outer` names, for one who may manage it. Raises NotFound, NotAllowed."""
    person = access.find(User, by, outer, to="manage the team")
    if person.removed_at is not None:
        raise NotFound()
    return person


def open_invitations(by: Actor) -> list[Invitation]:
    """Return the invitations that nobody has answered yet and that still work, the newest first."""
    require(by, "manage the team")
    ours = (Invitation.organisation_id == by.organisation_id, Invitation.kind == InvitationKind.join)
    waiting = select(Invitation).where(*ours, *_works()).order_by(Invitation.created_at.desc())
    return list(db.session.scalars(waiting))


@one_transaction
def invite(email: str, role: str, *, by: Actor, repeat: repeats.Repeat | None = None) -> str:
    """Return the token of a link by which a new person joins within 72 hours; an older link of theirs ends.

    The same `repeat` again returns the same token. Raises Invalid, and Conflict when somebody signs in with this
    e-mail already.
    """
    require(by, "manage the team")
    if made := repeats.answered(repeat, "invitation", by=by):
        return _token_of(made)
    email, role = checked_email(email), checked_role(role)
    if is_taken(email):
        raise Conflict(say("Somebody already signs in with %(email)s. Use another.", email=email))
    return _make_link(InvitationKind.join, email, role, by, repeat)


@one_transaction
def make_reset_link(user: User, *, by: Actor, repeat: repeats.Repeat | None = None) -> str:
    """Return the token of a link by which the person chooses a new password within 72 hours, once.

    The same `repeat` again returns the same token.
    """
    _require_member(user, by)
    if made := repeats.answered(repeat, "invitation", by=by):
        return _token_of(made)
    return _make_link(InvitationKind.reset, user.email, user.role, by, repeat)


@one_transaction
def withdraw(outer: str, *, by: Actor) -> None:
    """End an invitation that was not answered; nothing happens when it has ended already."""
    invitation = access.find(Invitation, by, outer, to="manage the team")
    if invitation.used_at is None:
        invitation.used_at = utc_now()
        audit.note(by, "invitation.withdrawn", "invitation", invitation.id)


def read_link(token: str) -> OpenLink:
    """Return what the link is for. Raises NotFound when it was used, withdrawn, is too old or never was."""
    invitation = db.session.scalar(select(Invitation).where(Invitation.token_sha256 == digest(token), *_works()))
    if invitation is None:
        raise _dead_link()
    name = db.session.scalar(select(Organisation.name).where(Organisation.id == invitation.organisation_id))
    return OpenLink(invitation.kind, invitation.email, name)


def answer_invitation(token: str, name: str, password: str) -> User:
    """Return the person who answered: new in the team, or with the new password and all sessions ended.

    Raises NotFound when the link does not work any more, Invalid for a missing name or a weak password (the link
    goes on working then), Conflict when somebody took the e-mail meanwhile.
    """
    link, name = read_link(token), one_line(name)
    problems: dict[str, Sentence] = {}
    if link.kind == InvitationKind.join and not 1 <= len(name) <= LONGEST_NAME:
        problems["name"] = say("Write your name, so that your team knows who you are.")
    if weak := weak_password(password):
        problems["password"] = weak
    if problems:
        raise Invalid(problems)
    return _answer(token, name, hashed(password))


@one_transaction
def change_role(user: User, role: str, *, by: Actor) -> None:
    """Give the person another role, from their next request on. Raises Conflict for oneself and the last admin."""
    _require_member(user, by)
    checked_role(role)
    if user.id == by.user_id:
        raise Conflict(say("You cannot change your own role. Ask another administrator."))
    if user.role == role:
        return
    if role != Role.admin:
        _keep_an_admin(user)
    audit.note(by, "user.role_changed", "user", user.id, before=user.role, after=role)
    user.role = role
    user.token_version += 1


@one_transaction
def remove(user: User, *, by: Actor) -> None:
    """Take the person out of the team; they are out at their next request. What they did stays in the audit log.

    Their e-mail address becomes free, so that they can be invited again, here or elsewhere.
    Raises Conflict for oneself and for the last admin.
    """
    _require_member(user, by)
    if user.id == by.user_id:
        raise Conflict(say("You cannot remove yourself. Ask another administrator."))
    _keep_an_admin(user)
    _end_links(user.organisation_id, user.email)
    shut_out(user)
    user.removed_at, user.password_hash = utc_now(), None
    user.email = f"{user.id}@removed.invalid"
    audit.note(by, "user.removed", "user", user.id, role=user.role)


def _require_member(user: User, by: Actor) -> None:
    if user.organisation_id != by.organisation_id or user.removed_at is not None:
        raise NotFound()
    require(by, "manage the team")


def _keep_an_admin(user: User) -> None:
    """Raise Conflict when the team would be left without an administrator.

    The organisation's row is locked first: two admins who remove each other at once wait for one another.
    """
    db.session.scalar(select(Organisation.id).where(Organisation.id == user.organisation_id).with_for_update())
    others = (User.organisation_id == user.organisation_id, User.role == Role.admin, User.removed_at.is_(None))
    if not db.session.scalar(select(func.count()).select_from(User).where(*others, User.id != user.id)):
        raise Conflict(say("This is the last administrator of the team. Make somebody else an administrator first."))


def _make_link(kind: InvitationKind, email: str, role: str, by: Actor, repeat: repeats.Repeat | None) -> str:
    _end_links(by.organisation_id, email)
    invitation_id = new_id()
    token = _token_of(invitation_id)
    invitation = Invitation(
        id=invitation_id,
        organisation_id=by.organisation_id,
        kind=kind,
        email=email,
        role=role,
        token_sha256=digest(token),
        expires_at=utc_now() + LINK_LASTS,
        made_by=by.user_id,
    )
    db.session.add(invitation)
    db.session.flush()
    audit.note(by, f"invitation.{kind}_link_made", "invitation", invitation_id, role=role)
    repeats.remember(repeat, "invitation", invitation_id, by=by)
    return token


def _token_of(invitation_id: uuid.UUID) -> str:
    """Return the token of the link, which is kept nowhere: a second click must show the very link of the first.

    Only who knows the installation's secret can work it out (HMAC-SHA256, RFC 2104).
    """
    key = derived(settings().secret, "links of invitations")
    return base64.urlsafe_b64encode(hmac.digest(key, invitation_id.bytes, "sha256")[:TOKEN_BYTES]).decode().rstrip("=")


def _end_links(organisation_id: uuid.UUID, email: str) -> None:
    theirs = (Invitation.organisation_id == organisation_id, Invitation.email == email)
    db.session.execute(update(Invitation).where(*theirs, Invitation.used_at.is_(None)).values(used_at=utc_now()))


def _works() -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return Invitation.used_at.is_(None), Invitation.expires_at > utc_now()


@one_transaction
def _answer(token: str, name: str, password_hash: str) -> User:
    taken = (
        update(Invitation)
        .where(Invitation.token_sha256 == digest(token), *_works())
        .values(used_at=utc_now())
        .returning(Invitation)
    )
    invitation = db.session.scalar(taken)
    if invitation is None:
        raise _dead_link()
    user = _joined(invitation, name) if invitation.kind == InvitationKind.join else _found_again(invitation)
    user.password_hash = password_hash
    audit.note(acting(user), f"invitation.{invitation.kind}_answered", "invitation", invitation.id)
    return user


def _joined(invitation: Invitation, name: str) -> User:
    return added(
        User(organisation_id=invitation.organisation_id, email=invitation.email, role=invitation.role, name=name)
    )


def _found_again(invitation: Invitation) -> User:
    theirs = (User.organisation_id == invitation.organisation_id, User.email == invitation.email)
    user = db.session.scalar(select(User).where(*theirs, User.removed_at.is_(None)))
    if user is None:
        raise _dead_link()
    shut_out(user)
    return user


def _dead_link() -> NotFound:
    return NotFound(
        say("This link was used already or is older than 72 hours. Ask the person who sent it for a new one.")
    )
