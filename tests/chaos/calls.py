"""Verbs that a person asks for once and no worker goes on with: killed before its commit, nothing has happened; after
it, it has happened once. All of them begin at the same installation.
"""

import io
from dataclasses import replace
from datetime import timedelta

from PIL import Image
from sqlalchemy import select, update

from app import settings as variables
from app.database import db, settings, transaction, utc_now
from app.domain import (
    accounts,
    campaigns,
    demo,
    dossiers,
    drafts,
    health,
    imports,
    ledgers,
    ordering,
    organisations,
    overviews,
    passwords,
    people,
    quotas,
    repeats,
    rosters,
    team,
    watching,
    workers,
)
from app.domain.campaigns import NewCampaign
from app.domain.organisations import OrganisationSettings
from app.models import Beneficiary, Campaign, CampaignDraft, Invitation, RequestKey, User, UserSession
from tests.cast import Cast, make_campaign
from tests.chaos.steps import AWA, batch, job, once, owner, start
from tests.chaos.stories import Step, Story, a_list_handed_in

PASSWORD, BETTER = "Sahel-2026-rain", "Harmattan-2027-wind"
CHEAP = passwords.HASHER.__class__(time_cost=1, memory_cost=1024, parallelism=1)
WANTED = NewCampaign("Another", "vaccination", "THIES", "fr", "vaccination")
SETTINGS = OrganisationSettings("District", "SN", "DKR", "Africa/Dakar", "fr")


def prepare(cast: Cast) -> None:
    """Let there be a campaign with an import, people and a job, an archived one, a draft, links and a session."""
    a_list_handed_in(cast)
    people.add_person(campaign(), AWA, by=cast.owner)
    start()
    away = make_campaign(cast.owner, prefix="AWAY")
    campaigns.archive(away, by=cast.owner)
    drafts.keep(None, {"name": "A draft"}, by=cast.owner)
    accounts.set_password("owner@example.org", PASSWORD)
    token = accounts.sign_in("owner@example.org", PASSWORD)
    link = team.invite("nurse@example.org", "editor", by=cast.owner)
    with transaction() as session:
        session.execute(
            update(User).where(User.email == "owner@example.org").values(password_hash=CHEAP.hash(PASSWORD))
        )
        session.execute(update(RequestKey).values(created_at=utc_now() - timedelta(days=7)))
        session.execute(update(UserSession).values(seen_at=utc_now() - timedelta(hours=1)))
    workers.beat("worker", utc_now())
    (settings().home / "session").write_text(token)
    (settings().home / "link").write_text(link)


def kept(name: str) -> str:
    return (settings().home / name).read_text()


def campaign(prefix: str = "DKRVAC") -> Campaign:
    return db.session.scalars(select(Campaign).where(Campaign.prefix == prefix)).one()


def editor() -> User:
    return db.session.scalars(select(User).where(User.email == "editor@example.org")).one()


def awa() -> Beneficiary:
    return db.session.scalars(select(Beneficiary)).one()


def picture() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(out, "PNG")
    return out.getvalue()


def every(rows: object) -> None:
    list(rows)


VERBS: dict[str, Step] = {
    "sign in": lambda: accounts.sign_in("owner@example.org", PASSWORD),
    "be seen": lambda: accounts.who_holds(kept("session")),
    "sign out": lambda: accounts.sign_out(kept("session")),
    "sign out everywhere": lambda: accounts.sign_out_everywhere(by=owner()),
    "save one's profile": lambda: accounts.save_profile("Fatou", "fr", by=owner()),
    "choose a language": lambda: accounts.choose_language("wo", by=owner()),
    "change one's password": lambda: accounts.change_password(PASSWORD, BETTER, by=owner()),
    "add a person": lambda: accounts.add_user("new@example.org", "New organisation", "admin", None, 10),
    "set a password": lambda: accounts.set_password("editor@example.org", BETTER),
    "create a campaign": lambda: campaigns.create(WANTED, by=owner(), repeat=once()),
    "open a campaign": lambda: ordering.open_campaign(WANTED, by=owner(), repeat=once()),
    "edit a campaign": lambda: campaigns.edit(campaign(), name="Renamed", description=None, by=owner()),
    "choose a design": lambda: campaigns.choose_design(campaign(), "vaccination", 450, by=owner()),
    "duplicate a campaign": lambda: campaigns.duplicate(campaign(), "THIES", by=owner()),
    "archive a campaign": lambda: campaigns.archive(campaign(), by=owner()),
    "restore a campaign": lambda: campaigns.restore(campaign("AWAY"), by=owner()),
    "make the demo": demo.make,
    "keep a draft": lambda: drafts.keep(None, {"name": "Another draft"}, by=owner()),
    "drop a draft": lambda: drafts.drop(db.session.scalar(select(CampaignDraft.id)), by=owner()),
    "take the refused rows": lambda: imports.note_download(batch(), by=owner()),
    "save settings": lambda: organisations.save_settings(SETTINGS, by=owner()),
    "save a logo": lambda: organisations.save_logo(picture(), by=owner()),
    "export campaigns": lambda: overviews.export_campaigns(by=owner(), status=None, campaign_type=None, words=""),
    "export the ledger": lambda: ledgers.export(by=owner()),
    "hand out what is known of a person": lambda: dossiers.hand_out(awa(), by=owner()),
    "correct a balance": lambda: quotas.correct(owner().organisation_id, -5, "A mistake", by=owner()),
    "set the quota of a month": lambda: quotas.set_monthly(owner().organisation_id, 77, by=owner()),
    "beat": lambda: workers.beat("another", utc_now()),
    "leave": lambda: workers.leave("worker"),
    "look for breaches": lambda: health.check_up(lambda *_: None),
    "forget old keys": lambda: repeats.forget(),
    "export people": lambda: every(rosters.export(campaign(), by=owner())),
    "add somebody": lambda: people.add_person(campaign(), replace(AWA, beneficiary_id="P-2"), by=owner()),
    "correct somebody": lambda: people.correct_person(awa(), replace(AWA, last_name="Sow"), by=owner()),
    "grant": lambda: quotas.grant(owner().organisation_id, 5, "A gift", by=owner()),
    "invite": lambda: team.invite("doctor@example.org", "viewer", by=owner()),
    "make a reset link": lambda: team.make_reset_link(editor(), by=owner()),
    "withdraw": lambda: team.withdraw(str(db.session.scalar(select(Invitation.id))), by=owner()),
    "change a role": lambda: team.change_role(editor(), "viewer", by=owner()),
    "remove from the team": lambda: team.remove(editor(), by=owner()),
    "answer an invitation": lambda: team.answer_invitation(kept("link"), "Awa", BETTER),
    "note a download": lambda: watching._note_download(job(), by=owner()),
    "keep the installation's secret": lambda: variables._kept_secret(settings().home / "secret"),
}
CALLS = tuple(Story(name, prepare, (verb,), lambda: None, begin="calls") for name, verb in VERBS.items())
