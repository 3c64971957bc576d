"""The world of the matrix: our organisation with something of every kind, a stranger's, and all who come by."""

import hashlib
import io
import sqlite3
import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from PIL import Image
from sqlalchemy import select
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from app.database import db, spell, transaction, utc_now
from app.domain import bearer, drafts, drawing, imports, jobs, team
from app.domain.access import Actor
from app.domain.orders import StartOrder
from app.factory import limiter
from app.models import Beneficiary, Campaign, Card, Enrolment, ImportBatch, Invitation, Job, Role, User, Worker
from tests.cast import make_actor, make_campaign, make_organisation, work_to_the_end
from tests.web.client import Client

ROLES = ("viewer", "editor", "admin")
QUERIES = {"web.design_preview": "?language=fr"}
BODIES = {"api.start_job": {"beneficiaries": [{"beneficiary_id": "B-1", "first_name": "Awa", "last_name": "Ba"}]}}
# What may change by reading: the log of who read what, and when a session was last used.
LOGS = {"audit_entry", "user_session", "alembic_version"}
SEEN = "last_seen_at"


@dataclass
class World:
    """Our organisation with something of every kind, a stranger's with little, and everybody's keys."""

    app: Flask
    database: Path
    snapshot: Path
    ids: dict[str, str] = field(default_factory=dict)
    drafts: dict[str, str] = field(default_factory=dict)
    theirs: dict[str, str] = field(default_factory=dict)
    cookies: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)

    def filled(self, rule: Rule, reader: str, ids: dict[str, str] | None = None) -> str:
        """Return the address of the route, its variables filled with our things."""
        values = {name: self._value(rule, name, reader, ids or {}) for name in rule.arguments}
        with self.app.test_request_context():
            address = self.app.url_map.bind("localhost").build(rule.endpoint, values, method=_method(rule))
        return address + QUERIES.get(rule.endpoint, "")

    def _value(self, rule: Rule, name: str, reader: str, ids: dict[str, str]) -> str:
        key = "member_id" if name == "person_id" and rule.rule.startswith("/app/team/") else name
        key = "problems_kind" if name == "kind" and rule.rule.startswith("/app/imports/") else key
        key = "invitation_token" if name == "token" and rule.endpoint == "web.invitation" else key
        if key in ids:
            return ids[key]
        if key == "draft_id":
            return self.drafts.get(reader, self.drafts["editor"])
        if key not in self.ids:
            pytest.fail(f"{rule.rule} has the variable {name!r}: say in `world` what of ours it stands for.")
        return self.ids[key]

    def restore(self) -> None:
        """Put the rows back as they were; SQLite itself copies, because a stream may still be reading."""
        db.session.remove()
        with sqlite3.connect(self.snapshot) as source, sqlite3.connect(self.database, timeout=10) as target:
            source.backup(target)

    def digest(self) -> str:
        """Return what tells two states of all rows apart, logs left out."""
        seen = hashlib.sha256()
        with sqlite3.connect(self.database, timeout=10) as connection:
            names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
            for (table,) in names:
                if table not in LOGS and not table.startswith("sqlite_"):
                    columns = [row[1] for row in connection.execute(f'PRAGMA table_info("{table}")') if row[1] != SEEN]
                    listed = ", ".join(f'"{column}"' for column in columns)
                    for row in connection.execute(f'SELECT {listed} FROM "{table}" ORDER BY rowid'):
                        seen.update(repr(row).encode())
        return seen.hexdigest()

    def browse(self, reader: str, method: str, path: str, *, token: bool = True, **data: Any) -> TestResponse:
        """Send a browser's request as that reader and return the answer."""
        limiter.reset()
        client = Client(self.app)
        headers = {}
        if reader == "token":
            headers["Authorization"] = f"Bearer {self.tokens['editor']}"
        elif reader in self.cookies:
            client.cookie = self.cookies[reader]
        if method == "GET":
            return client.send("GET", path, headers=headers, buffered=True).answer
        sent = data | ({"csrf_token": client.csrf_token()} if token else {})
        return client.send(method, path, headers=headers, data=sent, buffered=True).answer

    def call(self, reader: str, method: str, path: str, body: Any = None) -> TestResponse:
        """Send a program's request as that reader and return the answer."""
        limiter.reset()
        client = Client(self.app)
        headers = {"Authorization": f"Bearer {self.tokens[reader]}"} if reader in self.tokens else {}
        if reader == "cookie":
            client.cookie = self.cookies["admin"]
        sent = {} if method == "GET" else {"json": body or {}}
        return client.send(method, path, headers=headers, buffered=True, **sent).answer

    def send(self, reader: str, rule: Rule, method: str, path: str) -> TestResponse:
        """Send a request to the route's own door."""
        if rule.endpoint.startswith("api."):
            return self.call(reader, method, path, BODIES.get(rule.endpoint))
        form = {"campaign": self.ids["campaign_id"]} if rule.endpoint == "web.make_card" else {}
        return self.browse(reader, method, path, **form)


def _method(rule: Rule) -> str:
    return sorted(rule.methods - {"HEAD", "OPTIONS"})[0]


def settle(world: World, home: Path) -> None:
    """Make both organisations, everybody who comes by, and what each of them shows to be let in."""
    logo = _a_picture()
    ours, abroad = make_organisation("Kanariorg", logo=logo), make_organisation("Another programme", logo=logo)
    people = {role: make_actor(ours, role, f"kanarimail-{role}@example.org") for role in ROLES}
    people["removed"] = make_actor(ours, Role.editor, "kanarimail-removed@example.org")
    people["stranger"] = make_actor(abroad, Role.admin, "stranger@example.org")
    colleague = make_actor(ours, Role.editor, "kanarimail-colleague@example.org")
    world.ids = _our_things(world.app, people["admin"], home) | {"member_id": spell("user", colleague.user_id)}
    world.theirs = _their_things(people["stranger"])
    for name, actor in people.items():
        user = db.session.get(User, actor.user_id)
        world.tokens[name] = bearer.issue(user)
        client = Client(world.app).sign_in(actor)
        world.cookies[name] = client.cookie
        if name in ("editor", "admin"):
            drafted = drafts.keep(None, {"name": "Kanaricampaign draft"}, by=actor)
            world.drafts[name] = str(drafted)
    editor = db.session.get(User, people["editor"].user_id)
    world.tokens["expired"] = bearer.issue(editor, utc_now() - timedelta(days=1))
    team.remove(db.session.get(User, people["removed"].user_id), by=people["admin"])
    with transaction() as session:  # heard of as long as the tests take, so that the installation is in health
        long_alive = utc_now() + timedelta(days=1)
        session.add(Worker(name="a:1", host="a", pid=1, started_at=utc_now(), seen_at=long_alive))


def _a_picture() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (60, 40), "#006272").save(out, "PNG")
    return out.getvalue()


def _our_things(app: Flask, admin: Actor, home: Path) -> dict[str, str]:
    """Make a campaign whose cards are ready, an import, an invitation; return what addresses may name."""
    campaign = make_campaign(admin, name="Kanaricampaign", prefix="KANARI")
    person_id = _enrol(campaign)
    job = jobs.start(campaign, StartOrder(), by=admin)
    job_id, campaign_id = job.id, campaign.id
    spreadsheet = home / "list.csv"
    spreadsheet.write_text(
        "first,last,id,phone\nKanarifirst,Kanarilast,KANARIBEN-2,776543219\nKanarifirst,,,12\n", "utf-8"
    )
    batch = imports.upload(db.session.get(Campaign, campaign_id), "kanarilist.csv", spreadsheet, by=admin)
    batch_id = batch.id
    invitation_token = team.invite("kanarimail-new@example.org", Role.viewer, by=admin)
    work_to_the_end(app)
    columns = {0: "first_name", 1: "last_name", 2: "beneficiary_id", 3: "phone_number"}
    imports.choose_columns(db.session.get(ImportBatch, batch_id), columns, by=admin)
    work_to_the_end(app)
    card = db.session.scalars(select(Card).where(Card.job_id == job_id)).first()
    assert db.session.get(Job, job_id).state == "completed"
    assert db.session.get(ImportBatch, batch_id).state == "checked"
    return {
        "campaign_id": spell("camp", campaign_id),
        "job_id": spell("job", job_id),
        "person_id": str(person_id),
        "batch_id": str(batch_id),
        "invitation_id": str(db.session.scalars(select(Invitation.id)).one()),
        "invitation_token": invitation_token,
        "code": card.code,
        "token": drawing.token_of(card, db.session.get(Campaign, campaign_id)),
        "kind": "pdf",
        "problems_kind": "csv",
        "side": "front",
        "step": "general",
        "name": "vaccination",
        "filename": "css/base.css",
        "_lower": "something",
    }


def _enrol(campaign: Campaign) -> uuid.UUID:
    campaign_id, organisation_id = campaign.id, campaign.organisation_id
    with transaction() as session:
        person = Beneficiary(
            organisation_id=organisation_id,
            beneficiary_id="KANARIBEN-1",
            first_name="Kanarifirst",
            last_name="Kanarilast",
            phone_number="+221776543219",
            updated_at=utc_now(),
        )
        session.add(person)
        session.flush()
        session.add(Enrolment(organisation_id=organisation_id, campaign_id=campaign_id, person_id=person.id))
        return person.id


def _their_things(stranger: Actor) -> dict[str, str]:
    campaign = make_campaign(stranger, people=1, name="Elsewhere", prefix="ELSE")
    person = db.session.scalars(
        select(Beneficiary).where(Beneficiary.organisation_id == stranger.organisation_id)
    ).one()
    return {"campaign_id": spell("camp", campaign.id), "person_id": str(person.id)}
