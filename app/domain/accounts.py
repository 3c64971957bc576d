"""People and their sessions: signing in and out, who a cookie belongs to, passwords and personal choices.

A session is a row; its cookie carries a random token of which only the SHA-256 is kept. When the row goes, every
copy of the cookie is dead. Who belongs to a team and with which role is in `team.py`.
"""

import hashlib
import re
import secrets
import uuid
from datetime import timedelta

from sqlalchemy import Select, delete, select, update
from sqlalchemy.exc import IntegrityError

from app.database import db, one_transaction, utc_now
from app.domain import audit, quotas
from app.domain.access import Actor
from app.domain.campaigns import LANGUAGES
from app.domain.errors import Conflict, Invalid, NotFound, NotSignedIn
from app.domain.organisations import checked_name, one_line
from app.domain.passwords import hashed, is_outdated, matches, weak_password
from app.models import Organisation, Role, User, UserSession
from app.sentences import Sentence, say

SESSION_LASTS = timedelta(hours=12)
SESSION_RESTS = timedelta(hours=2)
SEEN_EVERY = timedelta(minutes=5)  # how exactly we know when a session was last used; each note is a write
TOKEN_BYTES = 32
MONTHLY_CARDS = 10_000
LONGEST_EMAIL = 254
LONGEST_NAME = 200

# https://html.spec.whatwg.org/multipage/input.html#valid-e-mail-address, with at least one dot after the @
EMAIL = re.compile(
    r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@"
    r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)+"
)


def sign_in(email: str, password: str) -> str:
    """Return the token of a new session. Raises NotSignedIn alike for an unknown e-mail and a wrong password."""
    user = with_password(email, password)
    return begin_session(user)


def with_password(email: str, password: str) -> User:
    """Return the person whose e-mail and password these are. Raises NotSignedIn; time does not tell why."""
    user = db.session.scalar(_present().where(User.email == email.strip().lower()))
    if not matches(user.password_hash if user else None, password):
        raise NotSignedIn(say("The e-mail address or the password is not right. Check both and try again."))
    if is_outdated(user.password_hash):
        _renew_hash(user, user.password_hash, hashed(password))
    return user


@one_transaction
def begin_session(user: User) -> str:
    """Return the token of a new session of this person, who has just proved who they are."""
    if user.removed_at is not None:
        raise NotSignedIn(say("This account has been removed. Ask an administrator of your team."))
    now = utc_now()
    token = secrets.token_urlsafe(TOKEN_BYTES)
    db.session.execute(delete(UserSession).where(UserSession.user_id == user.id, UserSession.expires_at <= now))
    db.session.add(
        UserSession(
            organisation_id=user.organisation_id,
            user_id=user.id,
            token_sha256=digest(token),
            expires_at=now + SESSION_LASTS,
            seen_at=now,
        )
    )
    user.last_seen_at = now
    audit.note(acting(user), "user.signed_in", "user", user.id)
    return token


@one_transaction
def sign_out(token: str) -> None:
    """End the session, whoever holds a copy of its token; nothing happens when it has ended already."""
    held = db.session.scalar(select(UserSession).where(UserSession.token_sha256 == digest(token)))
    if held is None:
        return
    user = db.session.get(User, held.user_id)
    db.session.delete(held)
    audit.note(acting(user), "user.signed_out", "user", user.id)


def who_holds(token: str) -> User | None:
    """Return the person whose session this is; None when it ended, expired or rested too long, or they were removed."""
    now = utc_now()
    held = db.session.scalar(
        select(UserSession).where(
            UserSession.token_sha256 == digest(token),
            UserSession.expires_at > now,
            UserSession.seen_at > now - SESSION_RESTS,
        )
    )
    if held is None:
        return None
    session_id, user_id = held.id, held.user_id
    if held.seen_at < now - SEEN_EVERY:
        _note_seen(session_id, user_id)
    return db.session.scalar(_present().where(User.id == user_id))


def sessions_of(by: Actor) -> list[UserSession]:
    """Return the person's sessions that still work, the one used last first."""
    now = utc_now()
    mine = (UserSession.organisation_id == by.organisation_id, UserSession.user_id == by.user_id)
    alive = (UserSession.expires_at > now, UserSession.seen_at > now - SESSION_RESTS)
    return list(db.session.scalars(select(UserSession).where(*mine, *alive).order_by(UserSession.seen_at.desc())))


@one_transaction
def sign_out_everywhere(*, by: Actor) -> None:
    """End every session of this person and refuse every token they were given."""
    user = _myself(by)
    shut_out(user)
    audit.note(by, "user.signed_out_everywhere", "user", user.id)


@one_transaction
def save_profile(name: str, language: str, *, by: Actor) -> None:
    """Keep how the person is called and which language they read. Raises Invalid."""
    problems: dict[str, Sentence] = {}
    if len(one_line(name)) > LONGEST_NAME:
        problems["name"] = say("Use at most %(most)s characters.", most=LONGEST_NAME)
    if language not in LANGUAGES:
        problems["language"] = say("Choose one of the languages.")
    if problems:
        raise Invalid(problems)
    user = _myself(by)
    user.name, user.language = one_line(name), language
    audit.note(by, "user.profile_saved", "user", user.id, language=language)


@one_transaction
def choose_language(chosen: str, *, by: Actor) -> None:
    """Remember the language the person reads; one that we do not speak changes nothing."""
    if chosen in LANGUAGES:
        _myself(by).language = chosen


def change_password(current: str, new: str, *, by: Actor, kept_token: str | None = None) -> None:
    """Give the person another password and end their other sessions; the one of `kept_token` goes on.

    Raises Invalid for `current` when it is wrong, for `password` when the new one is weak or the same.
    """
    if not matches(_myself(by).password_hash, current):
        raise Invalid({"current": say("This is not your password of today.")})
    if weak := weak_password(new):
        raise Invalid({"password": weak})
    if new == current:
        raise Invalid({"password": say("Choose a password that differs from today's.")})
    _replace_password(by, hashed(new), kept_token)


def add_user(
    email: str, organisation_name: str, role: str, password: str | None = None, quota: int = MONTHLY_CARDS
) -> User:
    """Return a new person of the organisation, which is made with `quota` cards a month when its name is new.

    Takes any password, even a weak one (ask `weak_password` first); without one the person needs a link from
    `team.make_reset_link`. Raises Invalid with a sentence a field, Conflict when the e-mail is taken.
    """
    return _add_user(email, organisation_name, role, hashed(password) if password else None, quota)


def set_password(email: str, password: str) -> User:
    """Return the person, with a new password and all sessions ended. Raises NotFound for an unknown e-mail."""
    return _set_password(email, hashed(password))


def checked_email(email: str) -> str:
    """Return the e-mail address as it is kept, in small letters. Raises Invalid when it cannot be one."""
    plain = email.strip().lower()
    if len(plain) > LONGEST_EMAIL or not EMAIL.fullmatch(plain):
        raise Invalid({"email": say("Write an e-mail address like name@example.org.")})
    return plain


def checked_role(role: str) -> str:
    """Return the role. Raises Invalid when there is no such role."""
    if role not in set(Role):
        raise Invalid({"role": say("Choose viewer, editor or admin.")})
    return role


def is_taken(email: str) -> bool:
    """Return whether somebody of this installation signs in with the e-mail, in whichever organisation."""
    users = User.__table__  # the table itself: the question goes beyond the organisation on purpose
    return db.session.scalar(select(users.c.id).where(users.c.email == email)) is not None


def added(user: User) -> User:
    """Return the person, added to the open transaction. Raises Conflict when the e-mail was taken meanwhile."""
    try:
        with db.session.begin_nested():
            db.session.add(user)
    except IntegrityError:
        raise Conflict(say("Somebody already signs in with %(email)s. Use another.", email=user.email)) from None
    return user


def shut_out(user: User, *, but: str | None = None) -> None:
    """End the person's sessions inside the open transaction, `but` the one of that token, and void their API tokens."""
    theirs = delete(UserSession).where(UserSession.user_id == user.id)
    if but is not None:
        theirs = theirs.where(UserSession.token_sha256 != digest(but))
    db.session.execute(theirs)
    user.token_version += 1


def acting(user: User) -> Actor:
    """Return the person as the rooms know who acts."""
    return Actor(user.organisation_id, user.role, user.id, user.email)


def digest(token: str) -> str:
    """Return the SHA-256 of a token, all that is kept of it. Tokens are random, so it needs no salt."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _present() -> Select[tuple[User]]:
    return select(User).where(User.removed_at.is_(None))


def _myself(by: Actor) -> User:
    mine = _present().where(User.organisation_id == by.organisation_id, User.id == by.user_id)
    user = db.session.scalar(mine)
    if user is None:
        raise NotSignedIn(say("This account has been removed. Ask an administrator of your team."))
    return user


@one_transaction
def _note_seen(session_id: uuid.UUID, user_id: uuid.UUID) -> None:
    """Note that the session is in use, if it is still there; two requests at once note the same."""
    now = utc_now()
    db.session.execute(update(UserSession).where(UserSession.id == session_id).values(seen_at=now))
    db.session.execute(update(User).where(User.id == user_id).values(last_seen_at=now))


@one_transaction
def _renew_hash(user: User, before: str, after: str) -> None:
    """Keep today's hash of the same password, unless the password was changed meanwhile."""
    if user.password_hash == before:
        user.password_hash = after


@one_transaction
def _replace_password(by: Actor, password_hash: str, kept_token: str | None) -> None:
    user = _myself(by)
    user.password_hash = password_hash
    shut_out(user, but=kept_token)
    audit.note(by, "user.password_changed", "user", user.id)


@one_transaction
def _add_user(email: str, organisation_name: str, role: str, password_hash: str | None, quota: int) -> User:
    email, role, name = checked_email(email), checked_role(role), checked_name(organisation_name)
    organisation = db.session.scalar(select(Organisation).where(Organisation.name == name))
    if organisation is None:
        organisation = _new_organisation(name, quota)
    user = User(organisation_id=organisation.id, email=email, role=role, password_hash=password_hash)
    added(user)
    audit.note(Actor.portal(organisation.id), "user.added", "user", user.id, role=role)
    return user


def _new_organisation(name: str, quota: int) -> Organisation:
    if not 0 <= quota <= quotas.LARGEST_GRANT:
        raise Invalid({"quota": say("Grant between 0 and %(most)s cards.", most=quotas.LARGEST_GRANT)})
    organisation = Organisation(name=name, monthly_quota=quota)
    db.session.add(organisation)
    db.session.flush()
    quotas.begin_first_month(organisation)
    audit.note(Actor.portal(organisation.id), "organisation.made", "organisation", organisation.id, quota=quota)
    return organisation


@one_transaction
def _set_password(email: str, password_hash: str) -> User:
    user = db.session.scalar(_present().where(User.email == email.strip().lower()))
    if user is None:
        raise NotFound(say("Nobody signs in with %(email)s.", email=email.strip()))
    user.password_hash = password_hash
    shut_out(user)
    audit.note(Actor.portal(user.organisation_id), "user.password_set", "user", user.id)
    return user
