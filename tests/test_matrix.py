"""The matrix: every route for every kind of reader, in one organisation and from another.

What a reader may open follows from the route's own policy. A stranger gets for our ids what they get for ids that
never were, and no answer to a stranger or a visitor holds a word of ours. A new route takes part by itself; when its
address has a variable that nobody here can fill, the test says so.
"""

import hashlib
import io
import re
import shutil
import sqlite3
import uuid
from collections.abc import Iterator
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
from app.domain import access, bearer, campaigns, drawing, imports, jobs, team
from app.domain.access import Actor
from app.domain.orders import StartOrder
from app.factory import create_app, limiter
from app.models import Beneficiary, Campaign, Card, Enrolment, Invitation, Job, Role, User
from app.settings import Settings
from tests.cast import make_actor, make_campaign, make_organisation, work_to_the_end
from tests.conftest import SECRET
from tests.web.client import Client

ROLES = ("viewer", "editor", "admin")
BROWSERS = ("visitor", *ROLES, "stranger", "removed", "token")  # token: a good one, where only a cookie counts
PROGRAMS = (
    "visitor",
    *ROLES,
    "stranger",
    "removed",
    "expired",
    "cookie",
)  # cookie: a good one, where only tokens count
OUTSIDE = {"visitor", "removed", "token", "expired", "cookie"}
# Words that stand nowhere but in what belongs to us. People's are secret; the others stand on the cards we hand out.
PEOPLE = ("Kanarifirst", "Kanarilast", "KANARIBEN", "776543219", "kanarimail", "kanarilist")
HOUSE = ("Kanariorg", "Kanaricampaign", "KANARI")
# These answer whoever holds a card, a link or a photo of a card, with the names of the programme and the campaign.
SHOW_THE_PROGRAMME = {"web.verify_token", "web.verify", "web.invitation"}
SHOW_THE_EMAIL = {"web.invitation"}  # the link is for the one person whom it names
# These answer alike for any id, and tell nothing: a draft is made into a campaign from the answers that come along, and
# then forgotten, even twice; a fragment asked for as a page leads to that page, which is not found.
TELL_NOTHING = {"web.create_campaign", "web.discard_draft", "web.job_progress"}
ENDS_THE_SESSION = {"web.sign_out_everywhere"}
BODIES = {"api.start_job": {"beneficiaries": [{"beneficiary_id": "B-1", "first_name": "Awa", "last_name": "Ba"}]}}
# The visitor's photo changes nothing and needs no cookie, so that it needs no token against forged requests either.
WITHOUT_CSRF_TOKEN = {"web.verify_photo"}
# What may change by reading: the log of who read what, and when a session was last used.
LOGS = {"audit_entry", "user_session", "alembic_version"}
SEEN = "last_seen_at"
# Everything that tells two answers apart without telling anything: ids, tokens, the words that were sent.
NOISE = re.compile(r'"request_id":\s*"\w+"|name="csrf_token" value="[^"]+"|X-CSRFToken[^}]+')


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
            return self.app.url_map.bind("localhost").build(rule.endpoint, values, method=_method(rule))

    def _value(self, rule: Rule, name: str, reader: str, ids: dict[str, str]) -> str:
        key = "member_id" if name == "person_id" and rule.rule.startswith("/app/team/") else name
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
            return client.get(path, headers=headers).answer
        return client.post(path, data, token=token, headers=headers).answer

    def call(self, reader: str, method: str, path: str, body: Any = None) -> TestResponse:
        """Send a program's request as that reader and return the answer."""
        limiter.reset()
        client = Client(self.app)
        headers = {"Authorization": f"Bearer {self.tokens[reader]}"} if reader in self.tokens else {}
        if reader == "cookie":
            client.cookie = self.cookies["admin"]
        sent = {} if method == "GET" else {"json": body or {}}
        return client.send(method, path, headers=headers, **sent).answer

    def send(self, reader: str, rule: Rule, method: str, path: str) -> TestResponse:
        """Send a request to the route's own door."""
        if rule.endpoint.startswith("api."):
            return self.call(reader, method, path, BODIES.get(rule.endpoint))
        return self.browse(reader, method, path)


@pytest.fixture(scope="module")
def world(migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Build the world once; requests that change it are undone."""
    home = tmp_path_factory.mktemp("matrix")
    shutil.copy(migrated_file, home / "fieldcard.db")
    app = create_app(Settings(home=home, secret=SECRET, lease_seconds=5.0))
    app.config["TESTING"] = True
    app.config["PROPAGATE_EXCEPTIONS"] = False
    with app.app_context():
        made = World(app, home / "fieldcard.db", home / "snapshot.db")
        _settle(made, home)
        db.session.remove()
        with sqlite3.connect(made.database) as source, sqlite3.connect(made.snapshot) as target:
            source.backup(target)
        yield made
        db.session.remove()
        db.engine.dispose()


def _settle(world: World, home: Path) -> None:
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
            drafted = campaigns.keep_draft(None, {"name": "Kanaricampaign draft"}, by=actor)
            world.drafts[name] = str(drafted)
    editor = db.session.get(User, people["editor"].user_id)
    world.tokens["expired"] = bearer.issue(editor, utc_now() - timedelta(days=1))
    team.remove(db.session.get(User, people["removed"].user_id), by=people["admin"])


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
    spreadsheet.write_text("first_name,last_name,phone\nKanarifirst,Kanarilast,776543219\n", "utf-8")
    batch_id = str(imports.upload(db.session.get(Campaign, campaign_id), "kanarilist.csv", spreadsheet, by=admin).id)
    invitation_token = team.invite("kanarimail-new@example.org", Role.viewer, by=admin)
    work_to_the_end(app)
    card = db.session.scalars(select(Card).where(Card.job_id == job_id)).first()
    assert db.session.get(Job, job_id).state == "completed"
    return {
        "campaign_id": spell("camp", campaign_id),
        "job_id": spell("job", job_id),
        "person_id": str(person_id),
        "batch_id": batch_id,
        "import_id": batch_id,
        "invitation_id": str(db.session.scalars(select(Invitation.id)).one()),
        "invitation_token": invitation_token,
        "code": card.code,
        "token": drawing.token_of(card, db.session.get(Campaign, campaign_id)),
        "kind": "pdf",
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


def routes(world: World, blueprint: str) -> Iterator[tuple[Rule, str, str]]:
    """Yield (rule, method, policy) of each route of a door."""
    for rule in world.app.url_map.iter_rules():
        if rule.endpoint.startswith(f"{blueprint}."):
            policy = getattr(world.app.view_functions[rule.endpoint], "policy", None)
            assert policy, f"{rule.rule} does not say who may open it: add @public or @signed_in(to=…)."
            for method in sorted(rule.methods - {"HEAD", "OPTIONS"}):
                yield rule, method, policy


def _method(rule: Rule) -> str:
    return sorted(rule.methods - {"HEAD", "OPTIONS"})[0]


def names_a_thing(rule: Rule) -> bool:
    """Return whether the address names something that belongs to an organisation."""
    return bool(rule.arguments - {"kind", "side", "step", "name", "filename", "_lower"})


def expected(rule: Rule, policy: str, reader: str) -> str:
    """Return what must come: open, sign in, refused, or not found."""
    if policy == "public":
        return "open"
    if reader in OUTSIDE:
        return "sign in"
    if rule.endpoint in ENDS_THE_SESSION:
        return "sign in"
    if reader == "stranger":
        return "not found" if names_a_thing(rule) and rule.endpoint not in TELL_NOTHING else "open"
    return "open" if policy in access.VERBS[reader] else "refused"


def outcome(answer: TestResponse, policy: str) -> str:
    """Return what came, in the words of `expected`."""
    if answer.status_code >= 500:
        return f"broken ({answer.status_code})"
    if policy == "public":
        return "open"
    to_sign_in = answer.status_code == 303 and answer.headers["Location"].startswith("/signin")
    if answer.status_code == 401 or to_sign_in:
        return "sign in"
    return {403: "refused", 404: "not found"}.get(answer.status_code, "open")


def leaks(rule: Rule, answer: TestResponse, sent: str) -> list[str]:
    """Return the words of ours that stand in the answer, what was sent left out."""
    secret = PEOPLE + (() if rule.endpoint in SHOW_THE_PROGRAMME else HOUSE)
    if rule.endpoint in SHOW_THE_EMAIL:
        secret = tuple(word for word in secret if word != "kanarimail")
    words = text(answer) + str(answer.headers)
    for part in sent.split("/"):
        words = words.replace(part, "") if len(part) > 5 else words
    return [word for word in secret if word in words]


def text(answer: TestResponse) -> str:
    """Return the answer's body as text; what is no text is no matter."""
    return answer.data.decode("utf-8", "replace")


def bare(answer: TestResponse, *sent: str) -> str:
    """Return the words of an answer without what differs by chance."""
    words = NOISE.sub("", text(answer))
    for part in sent:
        words = words.replace(part, "…")
    return words


def nothing(problems: list[str]) -> None:
    assert not problems, f"{len(problems)} routes:\n" + "\n".join(problems)


def test_it_works(world: World) -> None:
    assert "Kanaricampaign" in world.browse("viewer", "GET", "/app/campaigns").text
    assert "Kanaricampaign" in world.call("viewer", "GET", "/campaigns/").text


@pytest.mark.parametrize("reader", BROWSERS)
def test_a_page_opens_for_whom_it_is_meant(world: World, reader: str) -> None:
    nothing(list(_walked(world, "web", reader)))


@pytest.mark.parametrize("reader", PROGRAMS)
def test_an_api_answers_whom_it_is_meant_for(world: World, reader: str) -> None:
    nothing(list(_walked(world, "api", reader)))


def _walked(world: World, blueprint: str, reader: str) -> Iterator[str]:
    """Send one request to each route and yield what should not be."""
    before = world.digest()
    for rule, method, policy in routes(world, blueprint):
        path = world.filled(rule, reader)
        answer = world.send(reader, rule, method, path)
        said, wanted = outcome(answer, policy), expected(rule, policy, reader)
        where = f"{method} {rule.rule} for {reader}"
        if said != wanted:
            yield f"{where}: {said}, not {wanted} ({answer.status_code})"
        if reader not in ROLES and (found := leaks(rule, answer, path)):
            yield f"{where} tells {found}"
        may_change = method != "GET" and wanted == "open"
        if not may_change and world.digest() != before:
            yield f"{where} changed something"
        if may_change or world.digest() != before:
            world.restore()


@pytest.mark.parametrize("blueprint", ["web", "api"])
def test_a_strangers_id_is_the_same_as_one_that_never_was(world: World, blueprint: str) -> None:
    """The answers are compared word by word: nothing tells a stranger that our thing exists."""
    problems = []
    for rule, method, policy in routes(world, blueprint):
        if policy == "public" or not names_a_thing(rule):
            continue
        never = _that_never_were(world)
        real, random = world.filled(rule, "stranger"), world.filled(rule, "stranger", never)
        ours, nobodys = (world.send("stranger", rule, method, path) for path in (real, random))
        sent = sorted({*world.ids.values(), *never.values(), *world.drafts.values()}, key=len, reverse=True)
        known = [part for part in sent if len(part) > 5]
        found = rule.endpoint not in TELL_NOTHING and 404 not in (ours.status_code, nobodys.status_code)
        if found or ours.status_code != nobodys.status_code or bare(ours, *known) != bare(nobodys, *known):
            problems.append(f"{method} {rule.rule}: {ours.status_code} for ours, {nobodys.status_code} for a random id")

    nothing(problems)


def _that_never_were(world: World) -> dict[str, str]:
    """Return ids of the same form as ours, and a code that was never given out."""
    fixed = {"kind", "side", "step", "name", "filename", "_lower", "token", "invitation_token"}
    ids = {name: str(uuid.uuid4()) for name in (*world.ids, "draft_id") if name not in fixed}
    return ids | {"code": "KANARI-23456789"}


@pytest.mark.parametrize("blueprint", ["web", "api"])
def test_one_foreign_id_among_ones_own_is_not_found(world: World, blueprint: str) -> None:
    """An address that names two things: the stranger's own campaign with our person, and the other way round."""
    problems = []
    for rule, method, policy in routes(world, blueprint):
        both = rule.arguments & world.theirs.keys()
        if policy == "public" or len(both) < 2 or rule.rule.startswith("/app/team/"):
            continue
        for name in sorted(both):
            path = world.filled(rule, "stranger", {name: world.theirs[name]})
            if (status := world.send("stranger", rule, method, path).status_code) != 404:
                problems.append(f"{method} {rule.rule} with their own {name}: {status}")

    nothing(problems)


def test_a_foreign_campaign_inside_a_form_is_not_found(world: World) -> None:
    path, before = f"/app/people/{world.theirs['person_id']}/card", world.digest()

    answer = world.browse("stranger", "POST", path, campaign=world.ids["campaign_id"])

    assert answer.status_code == 404
    assert world.digest() == before


@pytest.mark.parametrize("name", ["campaign", "person", "job", "batch", "design", "draft", "next"])
def test_a_foreign_id_in_a_query_shows_nothing(world: World, name: str) -> None:
    """Whatever a page makes of its query string, it is about the reader's own things."""
    ours = world.ids.get(f"{name}_id", world.ids["campaign_id"])
    problems = []
    for rule, method, policy in routes(world, "web"):
        theirs = rule.arguments <= world.theirs.keys() and not rule.rule.startswith("/app/team/")
        if method != "GET" or policy == "public" or not theirs:
            continue
        path = world.filled(rule, "stranger", world.theirs)
        answer = world.browse("stranger", "GET", f"{path}?{name}={ours}&q=Kanarifirst&code={world.ids['code']}")
        searched = text(answer).replace("Kanarifirst", "", 6)  # the field keeps what was typed
        shown = [word for word in ("Kanarilast", "Kanaricampaign", "KANARIBEN", "776543219") if word in searched]
        if answer.status_code >= 500 or shown:
            problems.append(f"{rule.rule}?{name}=…: {answer.status_code} {shown}")

    nothing(problems)


def test_a_foreign_person_inside_a_body_is_a_new_person(world: World) -> None:
    """The same beneficiary_id elsewhere is somebody else: nothing of ours is told, and nothing of ours changes."""
    body = {"beneficiaries": [{"beneficiary_id": "KANARIBEN-1", "first_name": "Awa", "last_name": "Ba"}]}
    path = f"/campaigns/{world.theirs['campaign_id']}/jobs"

    answer = world.call("stranger", "POST", path, body)

    assert answer.status_code in (202, 422)
    assert not [word for word in ("Kanarifirst", "Kanarilast", "776543219") if word in text(answer)]
    ours = db.session.get(Beneficiary, uuid.UUID(world.ids["person_id"]))
    assert (ours.first_name, ours.last_name) == ("Kanarifirst", "Kanarilast")
    world.restore()


def test_a_form_without_its_token_is_refused(world: World) -> None:
    before, problems = world.digest(), []
    for rule, method, _policy in routes(world, "web"):
        if method == "GET" or rule.endpoint in WITHOUT_CSRF_TOKEN:
            continue
        answer = world.browse("admin", method, world.filled(rule, "admin"), token=False)
        if answer.status_code != 400:
            problems.append(f"{method} {rule.rule}: {answer.status_code}")

    nothing(problems)
    assert world.digest() == before
