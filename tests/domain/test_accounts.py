"""People and their sessions: a session is a row, and when the row goes every copy of its token is dead."""

from datetime import timedelta

import pytest
from argon2 import PasswordHasher
from sqlalchemy import func, select

from app.database import db, transaction, utc_now
from app.domain import accounts, passwords, quotas
from app.domain.access import Actor
from app.domain.errors import Conflict, Invalid, NotFound, NotSignedIn
from app.models import AuditEntry, LedgerEntry, Organisation, Role, User, UserSession

pytestmark = pytest.mark.both

GOOD = "Sahel-2026-rain"
BETTER = "Harmattan-2027-wind"


def test_it_works(cast):
    accounts.set_password("editor@example.org", GOOD)

    token = accounts.sign_in(" Editor@Example.org ", GOOD)

    assert accounts.who_holds(token).id == cast.editor.user_id
    accounts.sign_out(token)
    assert accounts.who_holds(token) is None


def test_only_the_hash_of_a_token_is_kept(cast):
    token = _session_of(cast.owner)
    row = db.session.scalar(select(UserSession))
    assert row.token_sha256 == accounts.digest(token)
    assert token not in str(vars(row))


@pytest.mark.parametrize(
    ("email", "password"),
    [("editor@example.org", "wrong"), ("nobody@example.org", GOOD), ("viewer@example.org", GOOD), ("", "")],
)
def test_an_unknown_email_a_wrong_password_and_no_password_yet_are_refused_alike(cast, email, password):
    accounts.set_password("editor@example.org", GOOD)
    with pytest.raises(NotSignedIn, match="is not right"):
        accounts.sign_in(email, password)


def test_an_unknown_email_costs_a_verification_too(cast, monkeypatch):
    verified = []
    monkeypatch.setattr(passwords, "HASHER", _Watched(verified))
    with pytest.raises(NotSignedIn):
        accounts.sign_in("nobody@example.org", GOOD)
    assert verified == [passwords.NOBODYS]


def test_a_hash_with_older_parameters_is_renewed_at_sign_in(cast):
    accounts.set_password("editor@example.org", GOOD)
    old = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(GOOD)
    with transaction():
        db.session.get(User, cast.editor.user_id).password_hash = old

    accounts.sign_in("editor@example.org", GOOD)

    renewed = db.session.get(User, cast.editor.user_id).password_hash
    assert renewed != old and not passwords.is_outdated(renewed)
    accounts.sign_in("editor@example.org", GOOD)


@pytest.mark.parametrize(
    ("lasted", "rested", "alive"),
    [
        (timedelta(hours=11, minutes=59), timedelta(), True),
        (timedelta(hours=12, seconds=1), timedelta(), False),
        (timedelta(hours=3), timedelta(hours=1, minutes=59), True),
        (timedelta(hours=3), timedelta(hours=2, seconds=1), False),
    ],
)
def test_a_session_ends_after_twelve_hours_or_two_without_use(cast, lasted, rested, alive):
    token = _session_of(cast.owner)
    with transaction():
        row = db.session.scalar(select(UserSession))
        row.expires_at -= lasted
        row.seen_at -= rested
    assert (accounts.who_holds(token) is not None) is alive


def test_use_is_noted_every_few_minutes_and_not_at_every_request(cast):
    token = _session_of(cast.owner)
    seen = db.session.scalar(select(UserSession.seen_at))
    accounts.who_holds(token)
    assert db.session.scalar(select(UserSession.seen_at)) == seen

    with transaction():
        db.session.scalar(select(UserSession)).seen_at -= timedelta(minutes=6)
    accounts.who_holds(token)
    assert db.session.scalar(select(UserSession.seen_at)) >= seen


def test_sign_out_everywhere_ends_all_of_ones_own_sessions(cast):
    phone, laptop, colleague = _session_of(cast.owner), _session_of(cast.owner), _session_of(cast.editor)
    assert len(accounts.sessions_of(cast.owner)) == 2

    accounts.sign_out_everywhere(by=cast.owner)

    assert accounts.who_holds(phone) is None and accounts.who_holds(laptop) is None
    assert accounts.who_holds(colleague) is not None
    assert accounts.sessions_of(cast.owner) == []


def test_a_changed_password_ends_the_other_sessions_and_every_api_token(cast):
    accounts.set_password("owner@example.org", GOOD)
    here, elsewhere = accounts.sign_in("owner@example.org", GOOD), accounts.sign_in("owner@example.org", GOOD)
    version = db.session.get(User, cast.owner.user_id).token_version

    accounts.change_password(GOOD, BETTER, by=cast.owner, kept_token=here)

    assert accounts.who_holds(here) is not None and accounts.who_holds(elsewhere) is None
    assert db.session.get(User, cast.owner.user_id).token_version == version + 1
    with pytest.raises(NotSignedIn):
        accounts.sign_in("owner@example.org", GOOD)
    accounts.sign_in("owner@example.org", BETTER)


@pytest.mark.parametrize(
    ("current", "new", "field"), [("wrong", BETTER, "current"), (GOOD, "short", "password"), (GOOD, GOOD, "password")]
)
def test_a_password_is_changed_only_by_who_knows_it_to_a_strong_other_one(cast, current, new, field):
    accounts.set_password("owner@example.org", GOOD)
    with pytest.raises(Invalid) as refusal:
        accounts.change_password(current, new, by=cast.owner)
    assert list(refusal.value.fields) == [field]
    accounts.sign_in("owner@example.org", GOOD)


@pytest.mark.parametrize(
    ("password", "weak"),
    [
        ("Sahel-2026", False),
        ("Sahel-202", True),
        ("sahel-2026-rain", True),
        ("SAHEL-2026-RAIN", True),
        ("Sahel-deux-mille", True),
        ("Sahel2026rain", True),
        ("Été-pluvieux-2026", False),
        ("Aa1-" + "x" * 124, False),
        ("Aa1-" + "x" * 125, True),
    ],
)
def test_which_passwords_are_too_weak(password, weak):
    assert (accounts.weak_password(password) is not None) is weak


def test_an_accent_typed_on_another_keyboard_is_the_same_password(cast):
    accounts.set_password("owner@example.org", "\u00c9t\u00e9-pluvieux-2026")
    accounts.sign_in("owner@example.org", "E\u0301te\u0301-pluvieux-2026")


def test_the_command_line_makes_an_organisation_with_its_cards_of_the_month(app):
    user = accounts.add_user("Head@Ministry.example", "Programme élargi", "admin", "weak")

    organisation = db.session.get(Organisation, user.organisation_id)
    assert (user.email, user.role) == ("head@ministry.example", Role.admin)
    assert (organisation.name, organisation.balance, organisation.monthly_quota) == ("Programme élargi", 10_000, 10_000)
    entry = db.session.scalar(select(LedgerEntry))
    assert entry.key == f"grant:month:{utc_now():%Y-%m}:{organisation.id}"
    accounts.sign_in("head@ministry.example", "weak")


def test_a_second_person_joins_the_organisation_and_leaves_its_quota_alone(app):
    first = accounts.add_user("head@ministry.example", "Programme élargi", "admin", "weak", quota=500)
    second = accounts.add_user("nurse@ministry.example", " Programme  élargi ", "viewer", "weak", quota=9_999)

    assert second.organisation_id == first.organisation_id
    assert quotas.balance(first.organisation_id) == 500


def test_an_email_belongs_to_one_person_of_the_installation(cast):
    before = db.session.scalar(select(func.count()).select_from(Organisation))
    with pytest.raises(Conflict, match="already signs in"):
        accounts.add_user("OWNER@example.org", "A third programme", "admin", GOOD)
    assert db.session.scalar(select(func.count()).select_from(Organisation)) == before


@pytest.mark.parametrize(
    "email",
    [
        *("", "nobody", "a@b", "a b@example.org", "a@exa mple.org", "a@@example.org", "a@-x.org", "a@x..org"),
        *("x" * 65 + "@example.org", "a@" + "b." * 130 + "org", "a\n@example.org", "é@example.org"),
    ],
)
def test_what_is_no_email_is_refused(app, email):
    with pytest.raises(Invalid):
        accounts.add_user(email, "Programme", "admin", GOOD)


def test_hostile_values_are_refused_in_words(cast):
    with pytest.raises(Invalid):
        accounts.add_user("a@example.org", "Programme", "owner", GOOD)
    with pytest.raises(Invalid):
        accounts.add_user("a@example.org", "Programme", "admin", GOOD, quota=-1)
    with pytest.raises(NotSignedIn):
        accounts.sign_in("owner@example.org", "\ud800")
    with pytest.raises(NotSignedIn):
        accounts.sign_in("owner@example.org", "x" * 1_000_000)
    with pytest.raises(Invalid):
        accounts.set_password("owner@example.org", "x" * 129)
    with pytest.raises(NotFound):
        accounts.set_password("nobody@example.org", GOOD)
    assert accounts.who_holds("\ud800") is None


def test_name_and_language_are_kept(cast):
    accounts.save_profile(" Awa\u202e  Ndiaye ", "wo", by=cast.viewer)
    user = db.session.get(User, cast.viewer.user_id)
    assert (user.name, user.language) == ("Awa Ndiaye", "wo")

    accounts.choose_language("fr", by=cast.viewer)
    accounts.choose_language("xx", by=cast.viewer)
    assert db.session.get(User, cast.viewer.user_id).language == "fr"
    with pytest.raises(Invalid):
        accounts.save_profile("x" * 201, "fr", by=cast.viewer)


def test_the_audit_log_says_who_came_and_went(cast):
    token = _session_of(cast.owner)
    accounts.sign_out(token)
    accounts.sign_out(token)
    acts = db.session.scalars(select(AuditEntry.action).where(AuditEntry.actor_id == cast.owner.user_id))
    assert sorted(acts) == ["user.signed_in", "user.signed_out"]


def _session_of(actor: Actor) -> str:
    return accounts.begin_session(db.session.get(User, actor.user_id))


class _Watched:
    """argon2 that notes against which hashes it was asked."""

    def __init__(self, verified: list[str]) -> None:
        self.verified = verified
        self.real = passwords.HASHER

    def verify(self, kept: str, password: bytes) -> bool:
        self.verified.append(kept)
        return self.real.verify(kept, password)


def test_an_organisation_may_have_more_cards_than_fit_into_four_bytes(cast):
    for _ in range(22):
        quotas.grant(cast.organisation.id, quotas.LARGEST_GRANT, "A whole region", by=cast.owner)

    assert quotas.balance(cast.organisation.id) == 2_200_010_000 > 2**31
