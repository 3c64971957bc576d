"""Campaigns: the list, starting one step by step, one campaign's tabs, and what may be done to it."""

import pytest

from app.database import db
from app.domain import campaigns, drafts, jobs
from app.domain.orders import StartOrder
from app.models import AuditEntry, Campaign, CampaignDraft
from tests.cast import make_campaign, work_to_the_end
from tests.web.client import Client, Page

FIRST_STEP = "main form"


def answer_first(client: Client, **changed: str) -> Page:
    """Return the page that comes after the first step of a new campaign."""
    typical = {"name": "Measles 2026", "campaign_type": "vaccination", "prefix": "MEA-26", "description": "Podor"}
    return client.get("/app/campaigns/new").submit(FIRST_STEP, **typical | changed)


def answer_all(client: Client) -> Page:
    """Return the page that asks to check the answers."""
    return answer_first(client).submit(FIRST_STEP).submit(FIRST_STEP).submit(FIRST_STEP, dpi="450")


def count(model: type) -> int:
    return db.session.query(model).count()


def test_it_works(cast, client):
    check = answer_all(client.sign_in(cast.editor))

    page = check.submit("main form")

    made = db.session.query(Campaign).one()
    assert page.path == f"/app/campaigns/{made.id}"
    assert (made.name, made.prefix, made.language, made.template_id, made.dpi, made.description) == (
        "Measles 2026",
        "MEA-26",
        "fr",
        "vaccination",
        450,
        "Podor",
    )
    assert "Next: bring in the people" in page.text
    assert count(CampaignDraft) == 0


def test_two_clicks_make_one_campaign(cast, client):
    check = answer_all(client.sign_in(cast.editor))

    first, second = check.submit("main form"), check.submit("main form")

    assert first.path == second.path
    assert count(Campaign) == 1


def test_errors_keep_what_was_typed(cast, client):
    page = answer_first(client.sign_in(cast.editor), name="x", prefix="a--b")

    assert page.status == 422 and page.title.startswith("Error:")
    assert page.errors == [
        "Give the campaign a name of 2 to 200 characters.",
        "A prefix has 3 to 8 capital letters or digits, with single hyphens between them, like DKR-VAC.",
    ]
    assert page.soup.select_one("#name")["value"] == "x"
    assert page.soup.select_one("#prefix")["value"] == "a--b"
    assert page.has(".summary a[href='#prefix']") and page.has("#prefix-error")
    assert page.soup.select_one("#campaign_type option[selected]")["value"] == "vaccination"
    assert count(CampaignDraft) == 0


def test_a_prefix_is_proposed_from_the_name_and_taken_when_none_was_typed(cast, client):
    client.sign_in(cast.editor)
    proposal = client.get("/app/campaigns/new/prefix?name=Measles 2026", htmx=True)

    answer_first(client, prefix="")

    assert proposal.text == "Proposed from the name: MEASLE"
    assert db.session.query(CampaignDraft).one().answers["prefix"] == "MEASLE"


def test_small_letters_become_capitals(cast, client):
    answer_first(client.sign_in(cast.editor), prefix="mea-26")

    assert db.session.query(CampaignDraft).one().answers["prefix"] == "MEA-26"


def test_a_prefix_that_is_taken_is_refused_at_once(cast, client):
    make_campaign(cast.owner, prefix="MEA-26")

    page = answer_first(client.sign_in(cast.editor))

    assert page.errors == ["The prefix MEA-26 is already used by a campaign of your organisation. Choose another."]


def test_a_prefix_that_was_taken_meanwhile_is_refused_at_the_end_and_nothing_is_lost(cast, client):
    check = answer_all(client.sign_in(cast.editor))
    make_campaign(cast.owner, prefix="MEA-26")

    page = check.submit("main form")

    assert page.status == 422 and "already used" in page.errors[0]
    assert "Measles 2026" in page.text and page.has("a[href$='general?then=check']")


def test_every_step_can_be_changed_from_the_end_and_leads_back_there(cast, client):
    check = answer_all(client.sign_in(cast.editor))
    step = client.get(check.soup.select_one("a[href*='/language?']")["href"])

    page = step.submit(FIRST_STEP, language="wo")

    assert page.path.endswith("/check") and "Wolof" in page.text


def test_another_type_brings_its_own_design_unless_one_was_chosen(cast, client):
    client.sign_in(cast.editor)
    draft_id = answer_first(client).path.split("/")[-2]
    general = f"/app/campaigns/new/{draft_id}/general"

    client.get(general).submit(FIRST_STEP, campaign_type="mild")
    assert db.session.query(CampaignDraft).one().answers["template_id"] == "mild"

    client.get(f"/app/campaigns/new/{draft_id}/design").submit(FIRST_STEP, template_id="lab")
    client.get(general).submit(FIRST_STEP, campaign_type="nutrition")
    assert db.session.query(CampaignDraft).one().answers["template_id"] == "lab"


def test_a_step_cannot_be_jumped_over(cast, client):
    draft = drafts.keep(None, {"name": "", "campaign_type": "vaccination"}, by=cast.editor)

    answer = client.sign_in(cast.editor).get(f"/app/campaigns/new/{draft}/check")

    assert answer.location.endswith("/general")


def test_a_forged_answer_is_refused_with_a_sentence(cast, client):
    page = answer_first(client.sign_in(cast.editor))

    again = client.post(page.path, {"language": "tlh"})

    assert again.status == 422 and again.errors == ["Choose French, English or Wolof."]


def test_a_draft_belongs_to_the_person_who_began_it(cast, client):
    draft = drafts.keep(None, {"name": "Half"}, by=cast.owner)

    assert client.sign_in(cast.editor).get(f"/app/campaigns/new/{draft}/general").status == 404
    assert client.sign_in(cast.stranger).get(f"/app/campaigns/new/{draft}/general").status == 404


def test_a_draft_can_be_discarded(cast, client):
    drafts.keep(None, {"name": "Half a campaign"}, by=cast.editor)

    page = client.sign_in(cast.editor).get("/app/campaigns").submit("form[action$='/discard']")

    assert "was discarded" in page.text and "Half a campaign" not in page.text
    assert count(CampaignDraft) == 0


def test_an_organisation_without_cards_left_is_told_before_it_begins_work(cast, client):
    from tests.cast import make_actor, make_organisation

    poor = make_organisation("No cards", quota=0)
    check = answer_all(client.sign_in(make_actor(poor, "editor")))

    page = check.submit("main form")

    assert page.errors == ["You can make 0 more cards this month; this needs 1."]


# The list


def test_the_list_shows_tabs_types_words_and_pages(cast, client):
    for number in range(21):
        make_campaign(cast.owner, name=f"Measles {number}", prefix=f"MEA{number}")
    make_campaign(cast.owner, name="Nets", prefix="NETS", campaign_type="mild", template_id="mild")
    client.sign_in(cast.viewer)

    page = client.get("/app/campaigns")

    assert len(page.soup.select("tbody tr")) == 20 and page.has("a[rel=next]")
    assert "Nets" in page.text
    assert len(page.click("Insecticide nets").soup.select("tbody tr")) == 1
    assert len(client.get("/app/campaigns?page=2").soup.select("tbody tr")) == 2
    assert len(client.get("/app/campaigns?page=999999999999999999999").soup.select("tbody tr")) == 2
    assert len(page.submit("form.search", q="measles 7").soup.select("tbody tr")) == 1
    assert "No campaign matches" in page.submit("form.search", q="%").text


def test_htmx_gets_the_list_only(cast, client):
    make_campaign(cast.owner, name="Measles 2026")

    fragment = client.sign_in(cast.owner).get("/app/campaigns?q=meas", htmx=True)

    assert fragment.has("#list") and not fragment.has("html")
    assert "Measles 2026" in fragment.text


def test_archived_campaigns_have_their_tab(cast, client):
    campaigns.archive(make_campaign(cast.owner, name="Old one"), by=cast.owner)
    client.sign_in(cast.owner)

    assert "Old one" not in client.get("/app/campaigns").text
    assert "Old one" in client.get("/app/campaigns?tab=archived").text


def test_a_stranger_sees_none_of_ours(cast, client):
    make_campaign(cast.owner, name="Measles 2026")

    assert "Your campaigns will stand here" in client.sign_in(cast.stranger).get("/app/campaigns").text


def test_the_list_can_be_taken_away_without_doing_harm(cast, client):
    for number, name in enumerate(("=1+1", "+2", "-3", "@home", "plain")):
        make_campaign(cast.owner, name=name, prefix=f"CSV{number}")

    answer = client.sign_in(cast.viewer).get("/app/campaigns.csv")

    assert answer.body.startswith(b"\xef\xbb\xbf")
    names = [line.split(",")[0] for line in answer.body.decode("utf-8-sig").splitlines()]
    assert names == ["Name", "plain", "'@home", "'-3", "'+2", "'=1+1"]
    entry = db.session.query(AuditEntry).filter_by(action="campaigns.exported").one()
    assert (entry.actor_id, entry.facts) == (cast.viewer.user_id, {"rows": 5})


def test_french_spreadsheets_get_semicolons(app, cast):
    answer = Client(app, "fr").sign_in(cast.viewer).get("/app/campaigns.csv")

    assert ";" in answer.body.decode("utf-8-sig").splitlines()[0]


# One campaign


def test_a_campaign_says_what_to_do_next_at_every_stage(app, cast, client):
    empty, ready = make_campaign(cast.owner), make_campaign(cast.owner, people=2)
    client.sign_in(cast.owner)

    assert "Next: bring in the people" in client.get(f"/app/campaigns/{empty.id}").text
    assert "Next: make the cards of 2 people" in client.get(f"/app/campaigns/{ready.id}").text
    jobs.start(ready, StartOrder(), by=cast.owner)
    assert "Cards are being made" in client.get(f"/app/campaigns/{ready.id}").text
    work_to_the_end(app)
    page = client.get(f"/app/campaigns/{ready.id}")
    assert "Next: print the cards" in page.text and "2 of 2 people have a card" in page.text
    campaigns.archive(db.session.get(Campaign, ready.id), by=cast.owner)
    assert "This campaign is archived" in client.get(f"/app/campaigns/{ready.id}").text


def test_a_campaign_is_found_by_its_prefix_too(cast, client):
    make_campaign(cast.owner, prefix="MEA-26", name="Measles 2026")

    assert "Measles 2026" in client.sign_in(cast.owner).get("/app/campaigns/mea-26").text


def test_a_viewer_sees_the_campaign_and_nothing_to_press(cast, client):
    campaign = make_campaign(cast.owner, people=2)

    page = client.sign_in(cast.viewer).get(f"/app/campaigns/{campaign.id}")

    assert page.status == 200
    assert not page.has("main .button") and not page.has("main form")


PAGES = ("", "/cards", "/verification", "/activity")
ACTS = ("/edit", "/duplicate", "/archive", "/design")


@pytest.mark.parametrize("path", PAGES + ACTS)
def test_a_stranger_finds_no_campaign_of_ours(cast, client, path):
    campaign = make_campaign(cast.owner)
    client.sign_in(cast.stranger)

    assert client.get(f"/app/campaigns/{campaign.id}{path}").status == 404
    assert client.get(f"/app/campaigns/nonsense{path}").status == 404


@pytest.mark.parametrize("path", ACTS)
def test_a_viewer_may_change_nothing(cast, client, path):
    campaign = make_campaign(cast.owner)
    client.sign_in(cast.viewer)

    assert client.get(f"/app/campaigns/{campaign.id}{path}").status == 403
    assert client.post(f"/app/campaigns/{campaign.id}{path}").status == 403


def test_a_viewer_may_start_nothing(cast, client):
    client.sign_in(cast.viewer)

    assert client.get("/app/campaigns/new").status == 403
    assert not client.get("/app/campaigns").has("a[href='/app/campaigns/new']")


def test_the_cards_tab_lists_the_orders_and_follows_a_live_one(app, cast, client):
    campaign = make_campaign(cast.owner, people=2)
    job = jobs.start(campaign, StartOrder(), by=cast.owner)
    client.sign_in(cast.owner)

    live = client.get(f"/app/campaigns/{campaign.id}/cards", htmx=True)
    work_to_the_end(app)
    done = client.get(f"/app/campaigns/{campaign.id}/cards")

    assert live.has("#jobs[hx-get] progress") and not live.has("html")
    assert not done.has("#jobs[hx-get]") and done.has(f"a[href='/app/jobs/{job.id}']")
    assert [tile.get_text() for tile in done.soup.select(".tile b")] == ["2", "0"]


def test_the_verification_tab_hands_out_the_offline_page(app, cast, client):
    campaign = make_campaign(cast.owner, people=1)
    client.sign_in(cast.viewer)
    before = client.get(f"/app/campaigns/{campaign.id}/verification")
    job = jobs.start(campaign, StartOrder(), by=cast.owner)
    work_to_the_end(app)

    page = client.get(f"/app/campaigns/{campaign.id}/verification")

    assert "comes with the first cards" in before.text
    assert "http://localhost:8000/verify" in page.text
    assert page.has(f"a[href='/app/jobs/{job.id}/files/portal']")


def test_the_activity_tells_who_did_what_newest_first(app, cast, client):
    campaign = make_campaign(cast.owner, people=1, prefix="MEA-26")
    make_campaign(cast.owner, prefix="OTHER")
    jobs.start(campaign, StartOrder(), by=cast.editor)
    work_to_the_end(app)

    page = client.sign_in(cast.viewer).get(f"/app/campaigns/{campaign.id}/activity")

    assert [row.get_text(" ").strip().split("  ")[-1] for row in page.soup.select("tbody td:last-child")] == [
        "Cards ready: 1, of them new: 1",
        "Ordered cards: 1, at 300 dpi",
        "Started the campaign with the prefix MEA-26",
    ]
    assert "editor@example.org" in page.text


# Changing a campaign


def test_name_and_description_can_change_and_errors_keep_them(cast, client):
    campaign = make_campaign(cast.owner)
    form = client.sign_in(cast.editor).get(f"/app/campaigns/{campaign.id}/edit")

    refused = form.submit("main form", name="x", description="Two\r\nlines")
    saved = form.submit("main form", name="Measles 2027", description="")

    assert refused.status == 422 and refused.has("#name[value=x]") and "Two\nlines" in refused.soup.textarea.get_text()
    assert "The campaign was saved." in saved.text and "Measles 2027" in saved.text


def test_a_copy_gets_its_own_prefix_and_nobody_in_it(cast, client):
    campaign = make_campaign(cast.owner, people=2, prefix="MEA-26", dpi=600)
    form = client.sign_in(cast.editor).get(f"/app/campaigns/{campaign.id}/duplicate")

    refused = form.submit("main form", prefix="mea-26")
    page = form.submit("main form", prefix="mea-27")

    assert "already used" in refused.errors[0] and refused.has("#prefix[value='mea-26']")
    twin = db.session.query(Campaign).filter_by(prefix="MEA-27").one()
    assert page.path == f"/app/campaigns/{twin.id}/edit" and twin.dpi == 600


def test_archiving_says_what_happens_and_can_be_undone(app, cast, client):
    campaign = make_campaign(cast.owner, people=1)
    jobs.start(campaign, StartOrder(), by=cast.owner)
    work_to_the_end(app)
    ask = client.sign_in(cast.owner).get(f"/app/campaigns/{campaign.id}/archive")

    archived = ask.submit("main form")
    restored = archived.click("Restore the campaign").submit("main form")

    assert "1 valid card stays valid" in ask.text
    assert "Its cards stay valid." in archived.text
    assert "The campaign is back" in restored.text


def test_an_editor_does_not_archive(cast, client):
    campaign = make_campaign(cast.owner)
    client.sign_in(cast.editor)

    assert client.post(f"/app/campaigns/{campaign.id}/archive").status == 403
    assert not client.get(f"/app/campaigns/{campaign.id}").has("a[href$='/archive']")
    assert db.session.get(Campaign, campaign.id).archived_at is None
