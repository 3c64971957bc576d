"""The pages of imports: choosing a file, watching, matching columns, looking at the rows, adding the people."""

import io

import pytest
from openpyxl import load_workbook
from sqlalchemy import func, select

from app import tasks
from app.database import db
from app.domain import campaigns, imports
from app.intake import MAX_BYTES
from app.models import AuditEntry, Enrolment, ImportBatch
from tests.cast import make_campaign, work_to_the_end
from tests.domain import lists
from tests.web.client import Client, Page

HEADER = "Prénom(s);Nom;N° bénéficiaire;Né(e) le;Téléphone;Sexe"
GOOD = tuple(f"Aïssatou;Ndèye;B-{number:03d};31/12/1990;77000000{number};F" for number in range(5))
WRONG = (";Sène;B-100;;;", "Awa;Diop;B-101;;77 12;F", "Modou;Fall;B-102;;33;M", "Awa;Ba;B-101;;770000009;F")
TO_MATCH = ("Nom et prénom;Code interne;Village", "DIOP Awa;7;Fandène")


@pytest.fixture
def rung(monkeypatch):
    """How often the bell rang."""
    rings = []
    monkeypatch.setattr(tasks, "ring", lambda: rings.append(1))
    return rings


def a_list(*rows: str, header: str = HEADER) -> io.BytesIO:
    return io.BytesIO("\r\n".join((header, *rows)).encode("cp1252"))


def hand_in(client: Client, campaign, content: io.BytesIO, name: str = "liste.csv") -> Page:
    """Upload the file and return the page of its import."""
    return client.get(f"/app/campaigns/{campaign.id}/import").submit("#upload", file=(content, name))


def worked(client: Client, page: Page) -> Page:
    """Return the same page after the workers have done all there was."""
    work_to_the_end(client.app)
    return client.get(page.path)


def batch() -> ImportBatch:
    return db.session.scalar(select(ImportBatch).order_by(ImportBatch.id.desc()))


def test_it_works(cast, client, rung):
    campaign = make_campaign(cast.owner, name="Vaccination Thiès")
    client.sign_in(cast.editor)

    being_read = hand_in(client, campaign, a_list(*GOOD, *WRONG))
    assert being_read.has("#progress[hx-get]") and "Waiting for its turn" in being_read.text
    assert being_read.has("noscript a[href]")

    checked = worked(client, being_read)
    assert "5 people can be added" in checked.text
    assert "All columns were recognised" in checked.text

    being_added = checked.submit("#confirm")
    added = worked(client, being_added)
    assert "5 people of this list are in the campaign" in added.text
    assert added.click("See the people").status == 200
    assert db.session.scalar(select(func.count()).select_from(Enrolment)) == 5
    assert len(rung) == 2


def test_the_upload_page_shows_the_spreadsheet_it_would_like(cast, client):
    campaign = make_campaign(cast.owner)
    page = client.sign_in(cast.editor).get(f"/app/campaigns/{campaign.id}/import")
    letters = [head.get_text() for head in page.soup.select(".sheet thead th")]
    assert letters == list("ABCDEFGHIJ")
    assert "Only three columns are needed: First name, Last name, Beneficiary ID." in page.text
    assert "At most 100,000 rows and 10 MB" in page.text
    assert page.soup.select_one(".tabs [aria-current]").get_text().startswith("People")


def test_the_example_is_in_the_readers_language_and_can_be_brought_in(cast, app):
    campaign = make_campaign(cast.owner)
    client = Client(app, "fr").sign_in(cast.editor)
    example = client.get(f"/app/campaigns/{campaign.id}/import/example.xlsx")
    assert example.headers["Content-Disposition"] == "attachment; filename=fieldcard-example.xlsx"
    first_row = next(load_workbook(io.BytesIO(example.body)).worksheets[0].iter_rows(values_only=True))
    assert first_row[0] == "Prénom(s)"

    hand_in(client, campaign, io.BytesIO(example.body), "exemple.xlsx")
    work_to_the_end(app)
    assert (batch().rows_good, batch().rows_refused) == (3, 0)


def test_a_file_that_is_not_taken_comes_back_with_a_sentence(cast, client):
    campaign = make_campaign(cast.owner)
    client.sign_in(cast.editor)
    for content, name, status, words in (
        (io.BytesIO(), "", 422, "Choose the spreadsheet"),
        (io.BytesIO(), "liste.csv", 422, "The file is empty"),
        (io.BytesIO(b"x" * (MAX_BYTES + 1)), "liste.csv", 413, "larger than 10 MB"),
    ):
        page = hand_in(client, campaign, content, name)
        assert page.status == status and words in page.errors[0]
        assert page.title.startswith("Error:") and page.has("#file[aria-invalid]")
    assert batch() is None


def test_no_file_field_at_all_is_answered_alike(cast, client):
    campaign = make_campaign(cast.owner)
    assert client.sign_in(cast.editor).post(f"/app/campaigns/{campaign.id}/import").status == 422


def test_a_file_nobody_can_read_says_why_and_leads_back(cast, client):
    campaign = make_campaign(cast.owner)
    client.sign_in(cast.editor)
    page = worked(client, hand_in(client, campaign, io.BytesIO(b"PK\x03\x04 and nothing more"), "liste.xlsx"))
    assert "This file is damaged" in page.text and "Nobody was added" in page.text
    again = page.click("Choose a file again")
    assert "Could not be read" in again.soup.select_one("#earlier").get_text()


def test_progress_is_polled_until_the_next_step(cast, client):
    campaign = make_campaign(cast.owner)
    client.sign_in(cast.editor)
    hand_in(client, campaign, a_list(*GOOD))
    address = f"/app/imports/{batch().id}/progress"
    part = client.get(address, htmx=True)
    assert part.status == 200 and part.has("#progress[hx-trigger]") and not part.has("html")
    assert client.get(address).location == f"/app/imports/{batch().id}"

    work_to_the_end(client.app)
    assert client.get(address, htmx=True).headers["HX-Redirect"] == f"/app/imports/{batch().id}"


def test_columns_that_were_not_recognised_are_matched(cast, client, rung):
    campaign = make_campaign(cast.owner)
    client.sign_in(cast.editor)
    asked = worked(client, hand_in(client, campaign, a_list(TO_MATCH[1], header=TO_MATCH[0])))
    assert "Did we read it right?" in asked.text and "Windows-1252" in asked.text and "Semicolon" in asked.text
    assert "Beneficiary ID : no column chosen yet" in asked.text
    assert "Please check" in asked.soup.select_one("tr:has(#column-2)").get_text()

    refused = asked.submit("#columns", **{"column-0": "first_name"})
    assert refused.status == 422
    assert refused.errors == [
        "Last name: Choose the column that holds this.",
        "Beneficiary ID: Choose the column that holds this.",
    ]
    assert refused.soup.select_one("#column-0 option[selected]")["value"] == "first_name"
    assert all(refused.has(link["href"]) for link in refused.soup.select(".summary a"))

    asked.submit("#columns", **{"column-1": "beneficiary_id", "column-2": "own"})
    checked = worked(client, asked)
    assert "1 person can be added" in checked.text and "All columns were recognised" not in checked.text
    assert len(rung) == 2


def test_two_columns_for_the_same_thing_are_told_at_the_second(cast, client):
    campaign = make_campaign(cast.owner)
    client.sign_in(cast.editor)
    asked = worked(client, hand_in(client, campaign, a_list(TO_MATCH[1], header=TO_MATCH[0])))
    refused = asked.submit("#columns", **{"column-1": "beneficiary_id", "column-2": "beneficiary_id"})
    assert refused.soup.select_one(".summary a")["href"] == "#column-2"
    assert "Another column was chosen" in refused.soup.select_one("#column-2-error").get_text()


def test_all_problems_are_grouped_counted_and_shown_in_their_cells(cast, client):
    campaign = make_campaign(cast.owner)
    client.sign_in(cast.editor)
    page = worked(client, hand_in(client, campaign, a_list(*GOOD, *WRONG, "Awa;Sy;B-000;;77;F")))
    to_do = [item.get_text() for item in page.soup.select(".notice-warn li strong")]
    assert to_do == ["Fix 3 phone numbers", "Fix 2 beneficiary IDs", "1 row has no first name"]
    assert "Row 8 and 2 more like it: This phone number is too short." in page.text

    rows = page.soup.select("#rows tbody tr")
    assert [row.th.get_text() for row in rows] == ["7", "8", "9", "10", "11"]
    assert " ".join(rows[1].select_one("td.bad").stripped_strings) == "This phone number is too short. 77 12"
    assert "Row 2 has this beneficiary ID already" in rows[4].get_text()
    assert "5 people can be added" in page.text and page.soup.select_one("#confirm button").get_text() == "Add 5 people"
    assert [row.th.get_text() for row in page.soup.select("#good tbody tr")] == ["2", "3", "4", "5", "6"]


def test_many_refused_rows_come_in_pages(cast, client):
    campaign = make_campaign(cast.owner)
    client.sign_in(cast.editor)
    page = worked(client, hand_in(client, campaign, a_list(*(f"Awa;Diop;C-{n};;33;F" for n in range(60)))))
    assert "Nobody can be added yet" in page.text and not page.has("#confirm")
    assert len(page.soup.select("#rows tbody tr")) == 50
    second = client.get(page.path + "?page=2")
    assert second.soup.select_one("#rows tbody th").get_text() == "52"


def test_the_problems_are_taken_away_in_the_readers_language_and_the_log_says_by_whom(cast, client, app):
    campaign = make_campaign(cast.owner)
    client.sign_in(cast.editor)
    hand_in(client, campaign, a_list(*GOOD, *WRONG), "liste d'été.csv")
    work_to_the_end(app)
    address = f"/app/imports/{batch().id}/problems"

    text = client.get(address + ".csv")
    assert "UTF-8''liste%20d%27%C3%A9t%C3%A9-fieldcard.csv" in text.headers["Content-Disposition"]
    lines = text.body.decode("utf-8-sig").splitlines()
    assert lines[0] == f"{HEADER};Fieldcard: row;Fieldcard: what to change"
    assert lines[1] == ";Sène;B-100;;;;7;Prénom(s): The first name is missing."
    assert len(lines) == 5

    sheet = load_workbook(io.BytesIO(client.get(address + ".xlsx").body)).worksheets[0]
    assert sheet.max_row == 5
    assert client.get(address + ".exe").status == 404
    taken = select(AuditEntry).where(AuditEntry.action == "import.problems_downloaded")
    assert [entry.actor_name for entry in db.session.scalars(taken)] == ["editor@example.org"] * 2


def test_the_mended_problem_file_is_brought_in_like_the_first(cast, client, app):
    campaign = make_campaign(cast.owner)
    client.sign_in(cast.editor)
    hand_in(client, campaign, a_list(*GOOD, *WRONG))
    work_to_the_end(app)
    mended = client.get(f"/app/imports/{batch().id}/problems.csv").body.replace(b"77 12", b"770000012")
    hand_in(client, campaign, io.BytesIO(mended), "mended.csv")
    work_to_the_end(app)
    assert (batch().rows_good, batch().rows_refused) == (1, 3)


def test_the_columns_can_be_changed_after_the_rows_were_checked(cast, client):
    campaign = make_campaign(cast.owner)
    client.sign_in(cast.editor)
    checked = worked(client, hand_in(client, campaign, a_list(*GOOD, *WRONG)))
    checked.click("Look at the columns").submit("#columns", **{"column-4": "left_out"})
    again = worked(client, checked)
    assert "7 people can be added" in again.text


def test_pressing_twice_adds_nobody_twice(cast, client):
    campaign = make_campaign(cast.owner)
    client.sign_in(cast.editor)
    checked = worked(client, hand_in(client, campaign, a_list(*GOOD)))
    checked.submit("#confirm")
    checked.submit("#confirm")
    added = worked(client, checked)
    checked.submit("#confirm")
    assert "5 people of this list" in added.text

    again = worked(client, hand_in(client, campaign, a_list(*GOOD)))
    assert "This very file was added before" in again.text
    assert "5 people are known already" in again.text
    again.submit("#confirm")
    assert "5 people of this list are in the campaign" in worked(client, again).text
    assert db.session.scalar(select(func.count()).select_from(Enrolment)) == 5


def test_a_button_from_before_the_rows_were_checked_again_is_not_obeyed(cast, client):
    campaign = make_campaign(cast.owner)
    client.sign_in(cast.editor)
    before = worked(client, hand_in(client, campaign, a_list(*GOOD, *WRONG)))
    before.click("Look at the columns").submit("#columns", **{"column-4": "left_out"})
    work_to_the_end(client.app)
    page = before.submit("#confirm")
    assert "checked again in the meantime" in page.text and page.has("#confirm")


def test_an_archived_campaign_offers_no_upload(cast, client):
    campaign = make_campaign(cast.owner)
    open_page = client.sign_in(cast.editor).get(f"/app/campaigns/{campaign.id}/import")
    campaigns.archive(campaign, by=cast.owner)
    assert not client.get(open_page.path).has("#upload")
    refused = open_page.submit("#upload", file=(a_list(*GOOD), "liste.csv"))
    assert refused.status == 409 and "This campaign is archived" in refused.errors[0]


def test_what_people_typed_is_never_markup(cast, client):
    campaign = make_campaign(cast.owner)
    client.sign_in(cast.editor)
    evil = "<script>alert(1)</script>"
    page = worked(client, hand_in(client, campaign, a_list(f"{evil};Diop;B-1;{evil};;F", GOOD[0]), f"{evil}.csv"))
    assert evil not in page.body.decode() and "<script>alert(1)" in page.text


def test_a_viewer_brings_nobody_in(cast, client):
    campaign = make_campaign(cast.owner)
    Client(client.app).sign_in(cast.editor).post(
        f"/app/campaigns/{campaign.id}/import", {"file": (a_list(*GOOD), "liste.csv")}
    )
    client.sign_in(cast.viewer)
    one = f"/app/imports/{batch().id}"
    assert "/import" not in client.get(f"/app/campaigns/{campaign.id}/people").body.decode()
    for path in (f"/app/campaigns/{campaign.id}/import", f"/app/campaigns/{campaign.id}/import/example.xlsx", one):
        assert client.get(path).status == 403
    for path in (f"{one}/progress", f"{one}/columns", f"{one}/problems.csv"):
        assert client.get(path).status == 403
    for path in (f"/app/campaigns/{campaign.id}/import", f"{one}/columns", f"{one}/confirm"):
        assert client.post(path).status == 403


def test_a_stranger_finds_nothing(cast, client):
    campaign = make_campaign(cast.owner)
    Client(client.app).sign_in(cast.editor).post(
        f"/app/campaigns/{campaign.id}/import", {"file": (a_list(*GOOD), "liste.csv")}
    )
    client.sign_in(cast.stranger)
    one = f"/app/imports/{batch().id}"
    for path in (
        f"/app/campaigns/{campaign.id}/import",
        one,
        f"{one}/progress",
        f"{one}/columns",
        f"{one}/problems.csv",
    ):
        assert client.get(path).status == 404
    for path in (f"/app/campaigns/{campaign.id}/import", f"{one}/columns", f"{one}/confirm"):
        assert client.post(path).status == 404
    assert client.get("/app/imports/nonsense").status == 404


def test_the_list_of_todos_leads_here(cast, client):
    campaign = make_campaign(cast.owner)
    client.sign_in(cast.editor)
    hand_in(client, campaign, a_list(*GOOD))
    work_to_the_end(client.app)
    assert [one.id for one in imports.waiting_for(cast.editor)] == [batch().id]
    assert "5 people can be added" in client.get("/app/").click("Continue").text


def test_columns_that_were_not_read_yet_cannot_be_chosen(cast, client):
    campaign = make_campaign(cast.owner)
    waiting = hand_in(client.sign_in(cast.editor), campaign, a_list(*GOOD))

    early = client.post(f"{waiting.path}/columns", {"column-0": "first_name"})

    assert (early.status, early.location) == (303, waiting.path)
    assert db.session.scalar(select(ImportBatch.state)) == "uploaded"


def test_a_list_is_discarded_where_it_stands_and_from_home(client, cast):
    campaign = make_campaign(cast.owner)
    client.sign_in(cast.editor)
    for address in (None, "/app/"):
        batch_id = lists.bring(campaign, lists.a_list(lists.row(1)), cast.owner).id
        work_to_the_end(cast.app)
        page = client.get(address or f"/app/imports/{batch_id}")
        said = page.submit("#discard" if address is None else 'form[action$="/discard"]')
        assert "The list was discarded. Nothing of it stays, and nobody was added." in said.text
        assert client.get(f"/app/imports/{batch_id}").status == 404
