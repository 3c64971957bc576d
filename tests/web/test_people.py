"""A campaign's people in a browser: looked through, added, corrected, given a card, taken away as a file."""

import csv
import io
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from app.database import db, transaction, utc_now
from app.domain import jobs, rosters
from app.domain.orders import StartOrder
from app.intake.values import unaccented
from app.models import AuditEntry, Beneficiary, Card, CardState, Enrolment, Job, Organisation
from tests.cast import enrol, make_campaign

AWA = {
    "first_name": "Awa",
    "last_name": "Ndiaye",
    "beneficiary_id": "VAC-17",
    "date_of_birth": "2019-05-03",
    "phone_number": "77 123 45 67",
    "gender": "F",
}


@pytest.fixture
def campaign(cast):
    return make_campaign(cast.owner, people=3)


@pytest.fixture
def awa(cast, campaign, client) -> Beneficiary:
    """Awa, brought into the campaign through the form; the owner is signed in afterwards."""
    client.sign_in(cast.owner).get(f"/app/campaigns/{campaign.id}/people/new").submit(**AWA)
    return db.session.scalar(select(Beneficiary).where(Beneficiary.beneficiary_id == "VAC-17"))


def names(page) -> list[str]:
    return [cell.get_text().strip() for cell in page.soup.select("tbody th")]


def make_cards(campaign, by, people=None) -> None:
    jobs.start(campaign, StartOrder(people=people), by=by)
    with transaction():
        db.session.execute(update(Card).values(state=CardState.valid))


def actions(action: str) -> int:
    return db.session.scalar(select(func.count()).select_from(AuditEntry).where(AuditEntry.action == action))


def test_it_works(cast, client, campaign, awa):
    make_cards(campaign, cast.editor, [awa.id])
    code = db.session.scalar(select(Card.code))
    page = client.get(f"/app/campaigns/{campaign.id}/people")
    assert names(page)[0] == "Awa Ndiaye" and len(names(page)) == 4
    first = page.soup.select_one("tbody tr").get_text(" ")
    assert code in first and "Valid" in first and "+221771234567" in first
    assert page.click(code).path == f"/app/cards/{code}"


@pytest.mark.both
@pytest.mark.parametrize("asked", ["ndiaye awa", "VAC-17", "1234567", "the code"])
def test_people_are_found_by_name_id_phone_and_code(cast, client, campaign, awa, asked):
    make_cards(campaign, cast.editor, [awa.id])
    words = db.session.scalar(select(Card.code)).lower() if asked == "the code" else asked
    assert names(client.get(f"/app/campaigns/{campaign.id}/people").submit(".search", q=words)) == ["Awa Ndiaye"]
    assert "Nobody matches" in client.get(f"/app/campaigns/{campaign.id}/people?q=nobody").text


def test_the_list_can_be_narrowed_to_those_with_and_without_a_card(cast, client, campaign, awa):
    make_cards(campaign, cast.editor, [awa.id])
    page = client.get(f"/app/campaigns/{campaign.id}/people")
    assert names(page.click("With a card")) == ["Awa Ndiaye"]
    assert len(names(page.click("Without a card"))) == 3
    assert page.click("Without a card").soup.select_one(".search input[name=having]")["value"] == "without"
    assert names(client.get(f"/app/campaigns/{campaign.id}/people?having=without&q=awa")) == []


def test_a_long_list_has_pages(cast, client, campaign):
    enrol(campaign, 30)
    page = client.sign_in(cast.owner).get(f"/app/campaigns/{campaign.id}/people?page=2")
    assert len(names(page)) == 8 and "26 to 33 of 33" in page.text


def test_an_empty_campaign_says_what_will_be_there(cast, client):
    page = client.sign_in(cast.owner).get(f"/app/campaigns/{make_campaign(cast.owner).id}/people")
    assert "The people of the campaign will stand here" in page.text and not page.has("table")


def test_a_viewer_sees_masked_numbers_and_cannot_spell_them_out_by_searching(cast, client, campaign, awa):
    client.sign_in(cast.viewer)
    page = client.get(f"/app/campaigns/{campaign.id}/people")
    assert "••• 67" in page.text and "123456" not in page.body.decode()
    assert not page.has("th a") and not page.has("a[href$='people.csv']") and not page.has("a[href$='/new']")
    assert names(client.get(f"/app/campaigns/{campaign.id}/people?q=1234567")) == []
    assert names(client.get(f"/app/campaigns/{campaign.id}/people?q=%2B22177")) == []
    assert names(client.get(f"/app/campaigns/{campaign.id}/people?q=awa")) == ["Awa Ndiaye"]
    for path in (f"/app/people/{awa.id}", f"/app/campaigns/{campaign.id}/people.csv"):
        assert client.get(path).status == 403


def test_reading_the_list_is_noted_once_in_ten_minutes(cast, client, campaign, monkeypatch):
    client.sign_in(cast.viewer)
    for page in (1, 2, 3):
        client.get(f"/app/campaigns/{campaign.id}/people?page={page}")
    assert actions("people.listed") == 1
    monkeypatch.setattr(rosters, "utc_now", lambda: utc_now() + timedelta(minutes=11))
    client.get(f"/app/campaigns/{campaign.id}/people")
    client.sign_in(cast.owner).get(f"/app/campaigns/{campaign.id}/people")
    assert actions("people.listed") == 3


def test_a_person_is_added_with_what_the_form_says(awa, campaign):
    assert (awa.first_name, awa.phone_number, awa.gender) == ("Awa", "+221771234567", "F")
    assert awa.date_of_birth.isoformat() == "2019-05-03"
    assert db.session.scalar(select(Enrolment.campaign_id).where(Enrolment.person_id == awa.id)) == campaign.id


def test_what_cannot_be_taken_comes_back_with_what_was_typed(cast, client, campaign):
    client.sign_in(cast.editor)
    wrong = AWA | {"first_name": "", "date_of_birth": "2999-01-01", "phone_number": "12"}
    page = client.get(f"/app/campaigns/{campaign.id}/people/new").submit(**wrong)
    assert page.status == 422 and page.title.startswith("Error:") and len(page.errors) == 3
    assert page.soup.select_one("#phone_number")["value"] == "12"
    assert page.soup.select_one("#gender option[selected]")["value"] == "F"
    assert page.soup.select_one("#first_name")["aria-invalid"] == "true"


def test_somebody_who_is_there_already_is_not_added_twice(client, campaign, awa):
    page = client.get(f"/app/campaigns/{campaign.id}/people/new").submit(**AWA)
    assert page.status == 422 and "already" in page.errors[0]


def test_a_person_is_corrected_and_keeps_the_columns_of_the_team(cast, client, campaign, awa):
    with transaction():
        db.session.get(Beneficiary, awa.id).custom_fields = {"village": "Mbour"}
    page = client.get(f"/app/people/{awa.id}?campaign={campaign.id}")
    assert "Mbour" in page.text
    page = page.submit("#person", first_name="Aïssatou", phone_number="")
    assert "saved" in page.text and page.soup.h1.get_text().strip() == "Aïssatou Ndiaye"
    db.session.refresh(awa)
    assert (awa.first_name, awa.phone_number, awa.custom_fields) == ("Aïssatou", None, {"village": "Mbour"})
    assert unaccented("Aïssatou") in awa.search_text
    assert page.click("People").path == f"/app/campaigns/{campaign.id}/people"


def test_one_person_gets_a_card_and_the_same_click_twice_makes_one_order(client, campaign, awa):
    page = client.get(f"/app/people/{awa.id}?campaign={campaign.id}")
    assert "one card of your quota" in page.text
    first = page.submit("main form", follow=False)
    again = page.submit("main form", follow=False)
    [job] = db.session.scalars(select(Job))
    assert first.location == again.location == f"/app/jobs/{job.id}"
    assert (job.total_cards, db.session.scalar(select(Card.person_id))) == (1, awa.id)
    assert not client.get(f"/app/people/{awa.id}").has("form[action$='/card']")


def test_a_card_that_exists_is_printed_again_for_nothing(cast, client, campaign, awa):
    make_cards(campaign, cast.editor, [awa.id])
    page = client.get(f"/app/people/{awa.id}")
    assert "Print this card again" in page.text and "does not use up your quota" in page.text
    page.submit("main form", follow=False)
    assert db.session.scalars(select(Job.quota_consumed).order_by(Job.id)).all() == [1, 0]


def test_without_quota_the_page_says_so_and_nothing_is_made(cast, client, campaign, awa):
    with transaction():
        db.session.execute(update(Organisation).values(balance=0))
    page = client.get(f"/app/people/{awa.id}").submit("main form")
    assert page.status == 402 and "You can make 0 more cards" in page.errors[0]
    assert db.session.scalar(select(Job)) is None


def test_nobody_gets_a_card_of_a_campaign_they_are_not_in(cast, client, awa):
    elsewhere = make_campaign(cast.owner, people=1)
    data = {"campaign": str(elsewhere.id)}
    assert client.post(f"/app/people/{awa.id}/card", data).status == 404
    assert db.session.scalar(select(Job)) is None


def test_the_file_holds_everybody_with_codes_and_no_formula(cast, client, campaign, awa):
    with transaction():
        person = db.session.get(Beneficiary, awa.id)
        person.zone, person.custom_fields = '=HYPERLINK("http://x")', {"village": "@Mbour"}
    make_cards(campaign, cast.editor, [awa.id])
    client.language = "fr"
    answer = client.get(f"/app/campaigns/{campaign.id}/people.csv")
    text = answer.body.decode("utf-8")
    assert text.startswith("\ufeff") and answer.headers["Content-Disposition"].startswith("attachment")

    rows = list(csv.reader(io.StringIO(text.removeprefix("\ufeff")), delimiter=";"))
    [line] = [row for row in rows if "Awa" in row]
    assert len(rows) == 5 and rows[0][-1] == "village"
    assert line[0] == db.session.scalar(select(Card.code))
    assert '\'=HYPERLINK("http://x")' in line and line[-1] == "'@Mbour" and "'+221771234567" in line
    [entry] = db.session.scalars(select(AuditEntry).where(AuditEntry.action == "people.exported"))
    assert entry.facts == {"rows": 4}


def test_a_stranger_finds_nothing(cast, client, campaign, awa):
    client.sign_in(cast.stranger)
    for path in ("people", "people/new", "people.csv"):
        assert client.get(f"/app/campaigns/{campaign.id}/{path}").status == 404
    assert client.get(f"/app/people/{awa.id}").status == 404
    assert client.post(f"/app/people/{awa.id}", AWA).status == 404
    assert client.post(f"/app/people/{awa.id}/card", {"campaign": str(campaign.id)}).status == 404
