"""The cast of the tests' stories, and builders of what a story needs with typical values."""

import itertools
import uuid

from flask import Flask

from app.database import db, transaction, utc_now
from app.domain import campaigns, quotas, work
from app.domain.access import Actor
from app.domain.campaigns import NewCampaign
from app.models import Beneficiary, Campaign, Enrolment, Organisation, Role, User

NUMBERS = itertools.count(1)
FIRST_NAMES = ("Aminata", "Moussa", "Fatou", "Ousmane", "Khady", "Ibrahima", "Coumba", "Cheikh")
LAST_NAMES = ("Diallo", "Sow", "Ndiaye", "Fall", "Ba", "Sarr", "Faye", "Diop")


class Cast:
    """Two organisations. In ours the owner is an admin, an editor works, a viewer looks on; the stranger is abroad."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.organisation = make_organisation("District sanitaire", quota=10_000)
        self.abroad = make_organisation("Another programme", quota=10_000)
        self.owner = make_actor(self.organisation, Role.admin, "owner@example.org")
        self.editor = make_actor(self.organisation, Role.editor, "editor@example.org")
        self.viewer = make_actor(self.organisation, Role.viewer, "viewer@example.org")
        self.stranger = make_actor(self.abroad, Role.admin, "stranger@example.org")


def make_organisation(name: str, quota: int = 10_000, **values: object) -> Organisation:
    """Return a saved organisation that may make `quota` cards."""
    with transaction() as session:
        organisation = Organisation(name=name, **values)
        session.add(organisation)
        session.flush()
        identifier = organisation.id
    if quota:
        quotas.grant(identifier, quota, "A good start", by=Actor.portal(identifier))
    return db.session.get(Organisation, identifier)


def make_actor(organisation: Organisation, role: str, email: str | None = None) -> Actor:
    """Return a person of the organisation, as the rooms know them."""
    with transaction() as session:
        email = email or f"person{next(NUMBERS)}@example.org"
        user = User(organisation_id=organisation.id, email=email, role=role)
        session.add(user)
        session.flush()
        return Actor(organisation.id, role, user.id, email)


def make_campaign(by: Actor, *, people: int = 0, **values: object) -> Campaign:
    """Return a saved campaign with `people` fictitious beneficiaries in it."""
    number = next(NUMBERS)
    typical = {
        "name": f"Vaccination {number}",
        "campaign_type": "vaccination",
        "prefix": f"VAC{number:04d}",
        "language": "fr",
        "template_id": "vaccination",
    }
    campaign = campaigns.create(NewCampaign(**typical | values), by=by)
    if people:
        enrol(campaign, people)
    return campaign


def enrol(campaign: Campaign, people: int) -> list[uuid.UUID]:
    """Enrol that many new fictitious people and return their ids."""
    campaign_id, organisation_id = campaign.id, campaign.organisation_id
    ids = []
    with transaction() as session:
        for _ in range(people):
            number = next(NUMBERS)
            person = Beneficiary(
                organisation_id=organisation_id,
                beneficiary_id=f"BEN-{number:05d}",
                first_name=FIRST_NAMES[number % len(FIRST_NAMES)],
                last_name=LAST_NAMES[number % len(LAST_NAMES)],
                updated_at=utc_now(),
            )
            session.add(person)
            session.flush()
            session.add(Enrolment(organisation_id=organisation_id, campaign_id=campaign_id, person_id=person.id))
            ids.append(person.id)
    return ids


def work_to_the_end(app: Flask, owner: str = "worker") -> int:
    """Do all the work there is, as one worker in a process of its own would; return how many pieces it was.

    The test's own reading transaction ends first, so that it sees afterwards what the worker did.
    """
    db.session.rollback()
    done = 0
    with app.app_context():
        while work.do_one(owner, stopping=lambda: False):
            done += 1
    return done
