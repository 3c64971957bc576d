"""The matrix: every route for every kind of reader, in one organisation and from another.

What a reader may open follows from the route's own policy. A stranger gets for our ids what they get for ids that
never were, and no answer to a stranger or a visitor holds a word of ours. A new route takes part by itself; when its
address has a variable that nobody here can fill, the test says so.
"""

import re
import shutil
import sqlite3
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from app.database import db
from app.domain import access
from app.factory import create_app
from app.models import Beneficiary
from app.settings import Settings
from tests.conftest import SECRET
from tests.matrix import ROLES, World, settle

BROWSERS = ("visitor", *ROLES, "stranger", "removed", "token")  # token: a good one, where only a cookie counts
# cookie: a good one, where only tokens count
PROGRAMS = ("visitor", *ROLES, "stranger", "removed", "expired", "cookie")
OUTSIDE = {"visitor", "removed", "token", "expired", "cookie"}
# Words that stand nowhere but in what belongs to us. People's are secret; the others stand on the cards we hand out.
PEOPLE = ("Kanarifirst", "Kanarilast", "KANARIBEN", "776543219", "kanarimail", "kanarilist")
HOUSE = ("Kanariorg", "Kanaricampaign", "KANARI")
# Variables of addresses that name nothing of an organisation's: a side, a file's kind, a design of the house.
NAMES_NOTHING = {"kind", "side", "step", "name", "filename", "_lower"}
# These answer whoever holds a card, a link or a photo of a card, with the names of the programme and the campaign.
SHOW_THE_PROGRAMME = {"web.verify_token", "web.verify", "web.invitation"}
SHOW_THE_EMAIL = {"web.invitation"}  # the link is for the one person whom it names
# These answer alike for any id, and tell nothing: a draft is made into a campaign from the answers that come along, and
# then forgotten, even twice; a fragment asked for as a page leads to that page, which is not found.
TELL_NOTHING = {"web.create_campaign", "web.discard_draft", "web.job_progress"}
ENDS_THE_SESSION = {"web.sign_out_everywhere"}
# The visitor's photo changes nothing and needs no cookie, so that it needs no token against forged requests either.
WITHOUT_CSRF_TOKEN = {"web.verify_photo"}
# Everything that tells two answers apart without telling anything: ids, tokens, the words that were sent.
NOISE = re.compile(r'"request_id":\s*"\w+"|name="(?:csrf_token|nonce)" value="[^"]+"|X-CSRFToken[^}]+')


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
        settle(made, home)
        db.session.remove()
        with sqlite3.connect(made.database) as source, sqlite3.connect(made.snapshot) as target:
            source.backup(target)
        yield made
        db.session.remove()
        db.engine.dispose()


def routes(world: World, blueprint: str) -> Iterator[tuple[Rule, str, str]]:
    """Yield (rule, method, policy) of each route of a door."""
    for rule in world.app.url_map.iter_rules():
        if rule.endpoint.startswith(f"{blueprint}."):
            policy = getattr(world.app.view_functions[rule.endpoint], "policy", None)
            assert policy, f"{rule.rule} does not say who may open it: add @public or @signed_in(to=…)."
            for method in sorted(rule.methods - {"HEAD", "OPTIONS"}):
                yield rule, method, policy


def names_a_thing(rule: Rule) -> bool:
    """Return whether the address names something that belongs to an organisation."""
    return bool(rule.arguments - NAMES_NOTHING)


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
        may_change = method != "GET" and (wanted == "open" or rule.endpoint in ENDS_THE_SESSION)
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
    fixed = NAMES_NOTHING | {"problems_kind", "token", "invitation_token"}
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
