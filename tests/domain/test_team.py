"""The team: joining by a link, roles, and leaving."""

import threading
from datetime import timedelta

import pytest
from sqlalchemy import select

from app.database import db, transaction
from app.domain import accounts, team
from app.domain.access import Actor
from app.domain.errors import Conflict, Invalid, NotAllowed, NotFound, NotSignedIn
from app.models import AuditEntry, Invitation, Role, User
from tests.cast import make_actor

pytestmark = pytest.mark.both

GOOD = "Sahel-2026-rain"


def test_it_works(cast):
    token = team.invite(" Nurse@Example.org", "editor", by=cast.owner)
    assert team.read_link(token) == team.OpenLink("join", "nurse@example.org", "District sanitaire")

    nurse = team.answer_invitation(token, "Awa Ndiaye", GOOD)

    assert (nurse.organisation_id, nurse.role, nurse.name) == (cast.organisation.id, Role.editor, "Awa Ndiaye")
    assert accounts.who_holds(accounts.sign_in("nurse@example.org", GOOD)).id == nurse.id
    assert "nurse@example.org" in [member.email for member in team.members(cast.viewer)]


def test_a_link_works_once(cast):
    token = team.invite("nurse@example.org", "viewer", by=cast.owner)
    team.answer_invitation(token, "Awa", GOOD)
    with pytest.raises(NotFound, match="used already"):
        team.answer_invitation(token, "Somebody else", GOOD)


def test_a_link_works_for_72_hours(cast):
    token = team.invite("nurse@example.org", "viewer", by=cast.owner)
    _grow_older(timedelta(hours=71, minutes=59))
    team.read_link(token)
    _grow_older(timedelta(minutes=2))
    with pytest.raises(NotFound):
        team.answer_invitation(token, "Awa", GOOD)
    assert team.open_invitations(cast.owner) == []


def test_only_the_hash_of_a_link_is_kept(cast):
    token = team.invite("nurse@example.org", "viewer", by=cast.owner)
    assert token not in str(vars(db.session.scalar(select(Invitation))))


def test_a_weak_password_or_no_name_leaves_the_link_alive(cast):
    token = team.invite("nurse@example.org", "viewer", by=cast.owner)
    with pytest.raises(Invalid) as refusal:
        team.answer_invitation(token, "  ", "weak")
    assert list(refusal.value.fields) == ["name", "password"]
    team.answer_invitation(token, "Awa", GOOD)


def test_a_new_link_ends_the_older_one_and_a_withdrawn_one_is_dead(cast):
    older, newer = (team.invite("nurse@example.org", "viewer", by=cast.owner) for _ in range(2))
    with pytest.raises(NotFound):
        team.read_link(older)

    [invitation] = team.open_invitations(cast.owner)
    team.withdraw(str(invitation.id), by=cast.owner)
    with pytest.raises(NotFound):
        team.read_link(newer)


def test_nobody_who_signs_in_already_is_invited_wherever_they_work(cast):
    for email in ("VIEWER@example.org", "stranger@example.org"):
        with pytest.raises(Conflict, match="already signs in"):
            team.invite(email, "viewer", by=cast.owner)


def test_two_invitations_to_one_person_are_answered_once(cast):
    ours = team.invite("nurse@example.org", "viewer", by=cast.owner)
    theirs = team.invite("nurse@example.org", "admin", by=cast.stranger)
    team.answer_invitation(ours, "Awa", GOOD)
    with pytest.raises(Conflict, match="already signs in"):
        team.answer_invitation(theirs, "Awa", GOOD)


def test_a_reset_link_sets_the_password_and_ends_every_session(cast):
    session = _session_of(cast.viewer)
    token = team.make_reset_link(_user(cast.viewer), by=cast.owner)
    assert accounts.who_holds(session) is not None

    team.answer_invitation(token, "", GOOD)

    assert accounts.who_holds(session) is None
    assert _user(cast.viewer).role == Role.viewer
    accounts.sign_in("viewer@example.org", GOOD)


def test_a_role_acts_from_the_next_request_on(cast):
    session, version = _session_of(cast.viewer), _user(cast.viewer).token_version
    team.change_role(_user(cast.viewer), "editor", by=cast.owner)
    assert accounts.who_holds(session).role == Role.editor
    assert _user(cast.viewer).token_version == version + 1


def test_a_removed_person_is_out_at_once(cast):
    accounts.set_password("viewer@example.org", GOOD)
    session = accounts.sign_in("viewer@example.org", GOOD)
    reset = team.make_reset_link(_user(cast.viewer), by=cast.owner)

    team.remove(_user(cast.viewer), by=cast.owner)

    assert accounts.who_holds(session) is None
    with pytest.raises(NotSignedIn):
        accounts.sign_in("viewer@example.org", GOOD)
    with pytest.raises(NotSignedIn):
        _session_of(cast.viewer)
    with pytest.raises(NotFound):
        team.answer_invitation(reset, "", GOOD)
    with pytest.raises(NotFound):
        team.find_member(str(cast.viewer.user_id), by=cast.owner)


def test_a_removed_person_can_be_invited_again(cast):
    team.remove(_user(cast.viewer), by=cast.owner)
    token = team.invite("viewer@example.org", "editor", by=cast.owner)
    again = team.answer_invitation(token, "Awa", GOOD)
    assert again.id != cast.viewer.user_id


def test_the_last_administrator_stays(cast):
    portal = Actor.portal(cast.organisation.id)
    with pytest.raises(Conflict, match="last administrator"):
        team.remove(_user(cast.owner), by=portal)
    with pytest.raises(Conflict, match="last administrator"):
        team.change_role(_user(cast.owner), "editor", by=portal)

    make_actor(cast.organisation, Role.admin)
    team.remove(_user(cast.owner), by=portal)


def test_two_administrators_who_remove_each_other_at_once_leave_one(cast):
    second = make_actor(cast.organisation, Role.admin)
    together, refusals = threading.Barrier(2), []

    def remove(whom: Actor, by: Actor) -> None:
        with cast.app.app_context():
            user = _user(whom)
            together.wait()
            try:
                team.remove(user, by=by)
            except (Conflict, NotFound) as refusal:
                refusals.append(refusal)

    threads = [threading.Thread(target=remove, args=pair) for pair in ((cast.owner, second), (second, cast.owner))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    db.session.rollback()
    assert len(refusals) == 1
    assert len([member for member in team.members(cast.viewer) if member.role == Role.admin]) == 1


def test_nobody_removes_or_demotes_themself(cast):
    make_actor(cast.organisation, Role.admin)
    with pytest.raises(Conflict, match="yourself"):
        team.remove(_user(cast.owner), by=cast.owner)
    with pytest.raises(Conflict, match="your own role"):
        team.change_role(_user(cast.owner), "viewer", by=cast.owner)


@pytest.mark.parametrize("who", ["editor", "viewer"])
def test_only_administrators_manage_the_team(cast, who):
    by = getattr(cast, who)
    acts = (
        lambda: team.invite("nurse@example.org", "viewer", by=by),
        lambda: team.make_reset_link(_user(cast.owner), by=by),
        lambda: team.change_role(_user(cast.owner), "viewer", by=by),
        lambda: team.remove(_user(cast.owner), by=by),
        lambda: team.open_invitations(by),
        lambda: team.find_member(str(cast.owner.user_id), by=by),
    )
    for act in acts:
        with pytest.raises(NotAllowed):
            act()


def test_a_stranger_finds_nobody_of_ours(cast):
    team.invite("nurse@example.org", "viewer", by=cast.owner)
    [invitation] = team.open_invitations(cast.owner)
    acts = (
        lambda: team.find_member(str(cast.viewer.user_id), by=cast.stranger),
        lambda: team.withdraw(str(invitation.id), by=cast.stranger),
        lambda: team.make_reset_link(_user(cast.viewer), by=cast.stranger),
        lambda: team.change_role(_user(cast.viewer), "editor", by=cast.stranger),
        lambda: team.remove(_user(cast.viewer), by=cast.stranger),
    )
    for act in acts:
        with pytest.raises(NotFound):
            act()
    assert [member.email for member in team.members(cast.stranger)] == ["stranger@example.org"]


@pytest.mark.parametrize("token", ["", "x", "\ud800", "a" * 5_000])
def test_a_made_up_link_is_not_found(cast, token):
    with pytest.raises(NotFound):
        team.answer_invitation(token, "Awa", GOOD)


def test_the_audit_log_names_no_email_of_those_who_were_invited(cast):
    token = team.invite("nurse@example.org", "viewer", by=cast.owner)
    entry = db.session.scalar(select(AuditEntry).where(AuditEntry.action == "invitation.join_link_made"))
    assert entry.actor_id == cast.owner.user_id
    assert "nurse" not in str(entry.facts) and token not in str(entry.facts)


def _user(actor: Actor) -> User:
    return db.session.get(User, actor.user_id)


def _session_of(actor: Actor) -> str:
    return accounts.begin_session(_user(actor))


def _grow_older(by: timedelta) -> None:
    with transaction():
        db.session.scalar(select(Invitation)).expires_at -= by
