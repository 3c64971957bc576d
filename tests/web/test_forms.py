"""Forms that keep what was typed and go once, tables to take away, and pages of long lists."""

import inspect
import io
import re
from dataclasses import dataclass

import pytest
from sqlalchemy import func, select

from app.database import db, transaction
from app.models import Beneficiary, Campaign, CampaignDraft, ImportBatch, Invitation, Job
from app.settings import ROOT
from app.web import exports, forms
from app.web.pager import paged
from tests.cast import make_campaign
from tests.domain.lists import a_list, row

# Routes that take a POST and carry no key, because doing them twice is doing them once; and why that is so.
SAFE_TWICE = {
    "web.signin": "who is signed in twice is signed in; the first session ends",
    "web.signout": "a session ends once",
    "web.invitation": "a link works once, by a guarded update",
    "web.save_account": "sets values",
    "web.change_password": "sets a value; the second time the old password is wrong",
    "web.sign_out_everywhere": "sessions end once",
    "web.save_campaign": "sets values",
    "web.do_archive_campaign": "archived is archived",
    "web.do_restore_campaign": "restored is restored",
    "web.choose_campaign_design": "sets values",
    "web.choose_import_columns": "sets values; checking begins anew",
    "web.confirm_import": "an import is confirmed once, by a guarded update",
    "web.pause_job": "a job is paused once, by a guarded update",
    "web.resume_job": "a job goes on once, by a guarded update",
    "web.cancel_job": "a job is cancelled once, by a guarded update",
    "web.language": "sets a value",
    "web.discard_draft": "what is gone is gone",
    "web.discard_import": "what is gone is gone",
    "web.save_beneficiary": "sets values",
    "web.erase": "a person is erased once",
    "web.save_settings": "sets values",
    "web.save_logo": "sets a value",
    "web.remove_logo": "what is gone is gone",
    "web.withdraw_invitation": "an invitation ends once",
    "web.change_role": "sets a value",
    "web.remove_member": "a person leaves once",
    "web.verify_photo": "changes nothing",
    "api.log_in": "makes nothing but a token, and tokens cost nothing",
}
NONCE = re.compile(r"nonce\(\)")


@dataclass(frozen=True)
class Answers:
    """A form of every kind of field."""

    name: str = "nobody"
    sizes: tuple[str, ...] = ()
    sure: bool = False


@pytest.fixture
def posted(app):
    """Return a function that reads a posted form."""

    def read(**data):
        with app.test_request_context(method="POST", data=data):
            return forms.read(Answers)

    return read


def test_it_works(posted):
    assert posted(name=" Awa ", sizes=["s", "m"], sure="yes") == Answers("Awa", ("s", "m"), True)


def test_what_was_not_posted_keeps_its_default(posted):
    assert posted() == Answers()


def test_line_ends_are_single(posted):
    assert posted(name="one\r\ntwo").name == "one\ntwo"


def test_the_same_form_twice_is_the_same_request_and_a_fresh_one_is_not(app):
    def sent(nonce: str, asked):
        with app.test_request_context(method="POST", data={"nonce": nonce}):
            return forms.repeat(asked)

    first, other = forms.nonce(), forms.nonce()

    assert sent(first, Answers("Awa")) == sent(first, Answers("Awa"))
    assert sent(first, Answers("Awa")) != sent(other, Answers("Awa"))
    assert sent(first, Answers("Awa")).body_sha256 != sent(first, Answers("Binta")).body_sha256


@pytest.mark.parametrize("nonce", ["", "forged", "x.y"])
def test_a_nonce_that_is_not_ours_counts_for_nothing(app, nonce):
    with app.test_request_context(method="POST", data={"nonce": nonce}):
        assert forms.repeat({"name": "Awa"}) is None


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@x", "\tx", "\rx"])
def test_a_cell_that_would_act_is_made_harmless(cell):
    assert exports.harmless(cell) == "'" + cell


@pytest.mark.parametrize("cell", ["plain", "a=b", -1, 2.5])
def test_other_cells_stay_as_they_are(cell):
    assert exports.harmless(cell) == cell


@pytest.mark.parametrize(
    ("asked", "page", "first", "last"),
    [("", 1, 1, 10), ("2", 2, 11, 20), ("3", 3, 21, 25), ("4", 3, 21, 25), ("-1", 1, 1, 10), ("x", 1, 1, 10)],
)
def test_a_page_is_the_one_asked_for_or_the_nearest_there_is(app, asked, page, first, last):
    rows = range(1, 26)
    with app.test_request_context(f"/?page={asked}"):
        pager = paged(lambda limit, offset: (len(rows), rows[offset : offset + limit]), per_page=10)

    assert (pager.page, pager.first, pager.last, pager.pages) == (page, first, last, 3)
    assert list(pager.items) == list(range(first, last + 1))


def test_an_empty_list_has_no_first_row(app):
    with app.test_request_context("/"):
        pager = paged(lambda limit, offset: (0, []), per_page=10)

    assert (pager.page, pager.pages, pager.first, pager.last) == (1, 0, 0, 0)


@pytest.mark.parametrize(
    ("typed", "number"),
    [("300", 300), ("0", 0), ("", 0), ("-1", 0), ("1e3", 0), ("٣", 0), ("²", 0), pytest.param("9" * 5_000, 0, id="9s")],
)
def test_a_number_is_what_was_typed_or_nothing(typed, number):
    assert forms.whole_number(typed) == number


def posting(app) -> dict[str, object]:
    """Return the view of every route that takes a POST, by its endpoint."""
    return {
        rule.endpoint: app.view_functions[rule.endpoint] for rule in app.url_map.iter_rules() if "POST" in rule.methods
    }


def test_every_post_goes_once_or_is_safe_twice(app):
    keyed = {name for name, view in posting(app).items() if _reads_a_key(view)}
    undecided = set(posting(app)) - keyed - set(SAFE_TWICE)

    assert not undecided, f"Take a repeat (forms.repeat, door.repeat_of), or say in SAFE_TWICE why not: {undecided}"
    assert set(SAFE_TWICE) <= set(posting(app)) - keyed, "These stand in SAFE_TWICE and need not"


def test_every_form_that_goes_once_carries_a_nonce(app):
    templates = [path.read_text("utf-8") for path in (ROOT / "templates").rglob("*.html")]
    for name, view in posting(app).items():
        if not name.startswith("web.") or not _reads_a_key(view):
            continue
        forms_of = [form for text in templates for form in _forms_to(name, text)]
        assert forms_of, f"No form posts to {name}."
        assert all(NONCE.search(form) for form in forms_of), f"A form that posts to {name} has no nonce."


def _reads_a_key(view) -> bool:
    """Return whether the view, or a helper beside it that it calls, asks for the request's key."""
    view = inspect.unwrap(view)
    beside = vars(inspect.getmodule(view))
    source = inspect.getsource(view)
    called = [beside[name] for name in re.findall(r"\b(_\w+)\(", source) if inspect.isfunction(beside.get(name))]
    texts = [source, *(inspect.getsource(helper) for helper in called)]
    return any("forms.repeat(" in text or "repeat_of(" in text for text in texts)


def _forms_to(endpoint: str, text: str) -> list[str]:
    """Return the template's forms that post to the endpoint: from its address to the form's or the macro's end."""
    found = []
    for address in re.finditer(rf"url_for\('{endpoint}'", text):
        inside = text.rfind("<form", 0, address.start()) > text.rfind("</form>", 0, address.start())
        end = text.find("</form>" if inside else "}}", address.start())
        found.append(text[address.start() : end])
    return found


COUNTED = (Beneficiary, Campaign, CampaignDraft, ImportBatch, Invitation, Job)


def rows() -> list[int]:
    return [db.session.scalar(select(func.count()).select_from(table)) for table in COUNTED]


SENT = {
    "app/campaigns/new": ("main form", {"name": "Rougeole 2026", "campaign_type": "vaccination"}),
    "app/campaigns/{campaign}/duplicate": ("main form", {"prefix": "COPY1"}),
    "app/campaigns/{campaign}/import": ("#upload", {}),
    "app/campaigns/{campaign}/people/new": (
        "main form",
        {"first_name": "Awa", "last_name": "Ba", "beneficiary_id": "P-1"},
    ),
    "app/campaigns/{campaign}/generate": ("form[action$='/generate']", {}),
    "app/team": ("#invite", {"email": "new@example.org", "role": "editor"}),
}


@pytest.mark.parametrize("path", SENT, ids=lambda path: path.rpartition("/")[2])
def test_a_double_click_makes_one_and_gets_the_same_answer(cast, client, path):
    campaign = make_campaign(cast.owner, people=2)
    selector, fields = SENT[path]
    page = client.sign_in(cast.owner).get("/" + path.format(campaign=campaign.id))
    before, answers = rows(), []
    for _ in range(2):
        file = {"file": (io.BytesIO(a_list(row(1))), "liste.csv")} if path.endswith("import") else {}
        answers.append(page.submit(selector, follow=False, **fields, **file))
    first, again = answers

    assert sum(rows()) == sum(before) + 1
    assert (first.status, first.location) == (again.status, again.location) and first.status in (200, 303)
    assert ("Idempotent-Replayed" in first.headers, again.headers.get("Idempotent-Replayed")) == (False, "true")


def test_the_link_of_an_invitation_is_the_same_for_both_clicks(cast, client):
    page = client.sign_in(cast.owner).get("/app/team")
    links = [page.submit("#invite", email="new@example.org", role="editor").soup.select_one("#link") for _ in range(2)]
    assert links[0].get_text() == links[1].get_text() and "/invite/" in links[0].get_text()

    member = client.get(f"/app/team/{cast.editor.user_id}")
    resets = [member.submit("#reset").soup.select_one("#link").get_text() for _ in range(2)]
    assert resets[0] == resets[1] != links[0].get_text()
    assert client.get(resets[0][resets[0].index("/invite/") :].strip()).status == 200


def test_whoever_goes_back_and_changes_the_form_asks_for_something_else(cast, client):
    campaign = make_campaign(cast.owner)
    page = client.sign_in(cast.owner).get(f"/app/campaigns/{campaign.id}/people/new")
    awa = page.submit("main form", first_name="Awa", last_name="Ba", beneficiary_id="P-1")
    binta = page.submit("main form", first_name="Binta", last_name="Ba", beneficiary_id="P-2")

    assert (awa.status, binta.status) == (200, 200)
    assert db.session.scalar(select(func.count()).select_from(Beneficiary)) == 2


def test_a_refused_form_may_be_sent_again_once_the_cause_is_mended(cast, client):
    campaign, in_the_way = make_campaign(cast.owner), make_campaign(cast.owner, prefix="TAKEN")
    page = client.sign_in(cast.owner).get(f"/app/campaigns/{campaign.id}/duplicate")
    assert page.submit("main form", prefix="TAKEN").status == 422
    with transaction() as session:
        session.get(Campaign, in_the_way.id).prefix = "ELSE1"

    assert page.submit("main form", prefix="TAKEN", follow=False).status == 303
