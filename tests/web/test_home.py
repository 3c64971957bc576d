"""Home: what each person finds there, the first run, help, and whether the process is healthy."""

import pytest

from app.database import db, transaction
from app.domain import drafts, jobs, quotas
from app.domain.orders import StartOrder
from app.models import ImportBatch, ImportState, Organisation
from tests.cast import enrol, make_campaign, work_to_the_end


@pytest.fixture
def importing(cast):
    """A spreadsheet of the owner's that waits for its columns to be matched."""
    campaign = make_campaign(cast.owner, name="Measles 2026")
    with transaction() as session:
        session.add(
            ImportBatch(
                organisation_id=cast.owner.organisation_id,
                campaign_id=campaign.id,
                created_by=cast.owner.user_id,
                file_name="villages.xlsx",
                file_key="imports/1",
                file_sha256="0" * 64,
                file_size=1,
                state=ImportState.matching,
            )
        )
    return campaign


def test_it_works(cast, client):
    make_campaign(cast.owner, name="Measles 2026")

    page = client.sign_in(cast.owner).get("/app/")

    assert page.status == 200
    assert page.has("table a") and "Measles 2026" in page.text
    assert "Nothing waits for you" in page.text


def test_the_start_leads_people_to_their_work_and_visitors_to_the_verification(cast, client):
    assert client.get("/").location == "/verify"
    assert client.sign_in(cast.owner).get("/").location == "/app/"


def test_a_visitor_is_sent_to_sign_in(client):
    assert client.get("/app/").location.startswith("/signin")


def test_an_organisation_without_campaigns_is_shown_where_to_begin(cast, client):
    page = client.sign_in(cast.owner).get("/app/")

    assert "Your work will stand here" in page.text
    assert page.click("Start a campaign").status == 200


def test_a_viewer_without_campaigns_is_offered_nothing_to_start(cast, client):
    page = client.sign_in(cast.viewer).get("/app/")

    assert not page.has("a[href='/app/campaigns/new']")


def test_an_import_that_waits_stands_among_the_things_to_do(cast, client, importing):
    page = client.sign_in(cast.owner).get("/app/")

    assert "Match the columns of villages.xlsx" in page.text
    assert "To do now" in page.text


def test_a_viewer_is_not_asked_to_finish_an_import(cast, client, importing):
    assert "villages.xlsx" not in client.sign_in(cast.viewer).get("/app/").text


def test_a_stranger_sees_nothing_of_ours(cast, client, importing):
    text = client.sign_in(cast.stranger).get("/app/").text

    assert "Measles 2026" not in text and "villages.xlsx" not in text


def test_a_quota_that_runs_low_is_said_in_words(cast, client):
    quotas.correct(cast.owner.organisation_id, -9_985, "A small programme", by=cast.owner)
    campaign = make_campaign(cast.owner, people=12)
    jobs.start(campaign, StartOrder(), by=cast.owner)
    client.sign_in(cast.owner)

    page = client.get("/app/")
    assert "You can make 3 more cards" in page.text
    assert "12 of this month’s 15 cards are used. 10,000 new cards come on 1" in page.text
    assert page.has(".quota-chip-low")

    enrol(campaign, 3)
    assert "Your cards are running low" in client.get(f"/app/campaigns/{campaign.id}/generate").text
    jobs.start(campaign, StartOrder(), by=cast.owner)
    page = client.get("/app/")
    assert "This month’s cards are used up" in page.text and "ask whoever runs this installation" in page.text

    enrol(campaign, 1)
    page = client.get(f"/app/campaigns/{campaign.id}/generate")
    assert "The quota does not reach" in page.text and "10,000 new cards come on 1" in page.text


def test_an_organisation_without_a_limit_has_no_chip(cast, client):
    with transaction():
        db.session.get(Organisation, cast.owner.organisation_id).unlimited = True

    assert not client.sign_in(cast.owner).get("/app/").has(".quota-chip")


def test_a_running_job_is_shown_with_its_bar_and_fetches_itself(cast, client):
    campaign = make_campaign(cast.owner, people=2, name="Measles 2026")
    jobs.start(campaign, StartOrder(), by=cast.owner)
    client.sign_in(cast.viewer)

    page, fragment = client.get("/app/"), client.get("/app/running", htmx=True)

    assert "0 of 2 cards, waiting for its turn" in page.text
    assert fragment.has("#running[hx-get] progress") and not fragment.has("html")
    assert client.get("/app/running").location == "/app/"


def test_files_that_are_ready_are_offered_and_the_fragment_stops_fetching(app, cast, client):
    jobs.start(make_campaign(cast.owner, people=1), StartOrder(), by=cast.owner)
    work_to_the_end(app)
    client.sign_in(cast.owner)

    assert "1 card is ready to print" in client.get("/app/").text
    assert not client.get("/app/running", htmx=True).has("[hx-get]")


def test_what_was_begun_can_be_continued_by_its_owner_only(cast, client):
    drafts.keep(None, {"name": "Half a campaign"}, by=cast.owner)

    assert "Half a campaign" in client.sign_in(cast.owner).get("/app/").text
    assert "Half a campaign" not in client.sign_in(cast.editor).get("/app/").text


def test_the_first_run_shows_three_ways_and_the_demo_only_where_it_is(cast, client):
    client.sign_in(cast.owner)
    assert "Whoever looks after this installation" in client.get("/app/welcome").text

    demo = make_campaign(cast.owner, prefix="DEMO-VAC", name="Demo")

    page = client.get("/app/welcome").click("Open the demo")
    assert page.path == f"/app/campaigns/{demo.id}" and page.status == 200


def test_the_navigation_shows_what_the_role_may_open(cast, client):
    as_owner = client.sign_in(cast.owner).get("/app/")
    as_viewer = client.sign_in(cast.viewer).get("/app/")

    assert as_owner.has("nav [href='/app/settings']")
    assert not as_viewer.has("nav [href='/app/settings']")
    assert as_viewer.soup.select_one("nav [aria-current=page]").get_text() == "Home"


def test_help_is_there_for_everybody(cast, client):
    assert "100 %" in client.get("/help").text
    assert client.sign_in(cast.viewer).get("/help").has(".navigation")
