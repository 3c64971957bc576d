"""The demo: an organisation with one campaign of 60 fictitious people, made once in an installation."""

import random
import secrets
from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy.exc import IntegrityError

from app.database import db, transaction
from app.domain import accounts, campaigns, jobs, passwords, people, quotas
from app.domain.access import Actor
from app.domain.campaigns import NewCampaign
from app.domain.orders import StartOrder
from app.intake import PersonRow
from app.models import InstallationFact, Organisation, Role, User

EMAIL = "demo@fieldcard.example"
ORGANISATION = "District sanitaire de démonstration"
PEOPLE = 60
CAMPAIGN = NewCampaign(
    name="Vaccination de démonstration",
    campaign_type="vaccination",
    prefix="DEMO-VAC",
    language="fr",
    template_id="vaccination",
    description="Soixante personnes fictives, pour essayer Fieldcard.",
)
FIRST_NAMES = (
    "Aminata", "Awa", "Fatou", "Khady", "Ndèye", "Mariama", "Aïssatou", "Coumba", "Bineta", "Sokhna",
    "Moussa", "Ibrahima", "Cheikh", "Modou", "Ousmane", "Abdoulaye", "Serigne", "Babacar", "Mamadou Lamine", "Ñaŋ",
)  # fmt: skip
LAST_NAMES = (
    "Diop", "Ndiaye", "Fall", "Sarr", "Sow", "Bâ", "Diallo", "Faye", "Guèye", "Mbaye", "Cissé", "Diagne", "Thiam",
    "Kane", "Sy", "Touré", "Seck", "Niang", "Wóor", "Ñuul",
)  # fmt: skip
ZONES = ("Plateau", "Médina", "Grand Yoff", "Ouakam", "Yoff")


@dataclass(frozen=True)
class Demo:
    """Who may sign in to look at the demo; the password is told once."""

    email: str
    password: str


def make() -> Demo | None:
    """Return the demo's sign-in, saved with its people and its waiting job; None when there was one already.

    All of it is one transaction under a unique row, so two starts at once make one demo, and a start that is
    interrupted makes none.
    """
    password = secrets.token_urlsafe(9)
    password_hash = passwords.hashed(password)
    try:
        with transaction():
            db.session.add(InstallationFact(name="demo"))
            db.session.flush()
            actor = _owner(password_hash)
            campaign = campaigns.open_campaign(CAMPAIGN, by=actor)
            people.enrol(campaign, fictitious_people(PEOPLE), by=actor)
            jobs.open_job(campaign, StartOrder(), by=actor)
    except IntegrityError:
        return None
    return Demo(EMAIL, password)


def _owner(password_hash: str) -> Actor:
    """Return the administrator of the demo's organisation, both made in the open transaction."""
    organisation = Organisation(name=ORGANISATION)
    db.session.add(organisation)
    db.session.flush()
    quotas.begin_first_month(organisation)
    user = User(organisation_id=organisation.id, email=EMAIL, role=Role.admin, password_hash=password_hash)
    return accounts.acting(accounts.added(user))


def fictitious_people(count: int) -> list[PersonRow]:
    """Return people who do not exist, the same ones every time."""
    chance = random.Random(1)  # noqa: S311 - names, not secrets
    return [
        PersonRow(
            first_name=chance.choice(FIRST_NAMES),
            last_name=chance.choice(LAST_NAMES),
            beneficiary_id=f"DEMO-{number:04d}",
            date_of_birth=date(2018, 1, 1) + timedelta(days=chance.randrange(2_500)),
            phone_number=f"+22177000{number:04d}",
            gender=chance.choice("MF"),
            health_center="Centre de santé de démonstration",
            zone=chance.choice(ZONES),
        )
        for number in range(1, count + 1)
    ]
