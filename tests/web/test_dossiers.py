"""Somebody asks what is known about them, and gets all of it in one file."""

import json

import pytest
from sqlalchemy import func, select

from app.database import db
from app.domain import erasure, jobs
from app.domain.orders import StartOrder
from app.models import AuditEntry, Beneficiary
from tests.cast import make_campaign, work_to_the_end
from tests.domain.lists import a_list, add, bring, row


@pytest.fixture
def awa(cast) -> Beneficiary:
    """Somebody who came by a list, with a card."""
    campaign = make_campaign(cast.owner, name="Rougeole")
    add(cast, bring(campaign, a_list("Awa;Ndiaye;A-1;31/12/1990;770000001;F;Couturière", row(2)), cast.editor))
    jobs.start(campaign, StartOrder(), by=cast.editor)
    work_to_the_end(cast.app)
    return db.session.scalar(select(Beneficiary).where(Beneficiary.beneficiary_id == "A-1"))


@pytest.mark.both
def test_it_works(cast, client, awa):
    page = client.sign_in(cast.editor).get(f"/app/people/{awa.id}")
    answer = page.click("Download everything about this person")
    found = json.loads(answer.body)

    assert answer.headers["Content-Disposition"].startswith("attachment; filename=person_")
    assert "Awa" not in answer.headers["Content-Disposition"] and answer.headers["Cache-Control"] == "no-store"
    person = found["What is known about this person"]
    assert (person["First name"], person["Date of birth"], person["Phone number"]) == (
        "Awa", "1990-12-31", "+221770000001",
    )  # fmt: skip
    assert found["Your own columns"] == {"Métier": "Couturière"}
    assert [one["Campaign"] for one in found["Campaigns"]] == ["Rougeole"]
    [card], [printed], [line] = found["Cards"], found["What was printed"], found["Rows of lists"]
    assert card["State"] == "Valid" and printed["Code"] == card["Code"]
    assert printed["On the card"]["Last name"] == "Ndiaye" and printed["On the card"]["MPI ID"] == person["MPI ID"]
    assert (line["File"], line["Row"], line["Cells"]["Métier"]) == ("liste.csv", 2, "Couturière")
    assert [(act["Who"], act["What"]) for act in found["What was done"]] == [
        ("editor@example.org", "Downloaded everything about the person")
    ]
    assert "Ndèye" not in answer.body.decode()


def test_who_took_it_is_noted_and_a_viewer_does_not_get_it(cast, client, awa):
    path = f"/app/people/{awa.id}/everything.json"
    taken = select(func.count()).where(AuditEntry.action == "person.exported", AuditEntry.subject_id == str(awa.id))

    assert client.sign_in(cast.viewer).get(path).status == 403
    assert client.sign_in(cast.stranger).get(path).status == 404
    assert db.session.scalar(taken) == 0
    client.sign_in(cast.editor).get(path)
    assert db.session.scalar(taken) == 1


def test_of_somebody_who_was_erased_there_is_nothing(cast, client, awa):
    erasure.erase(awa, "asked", by=cast.owner)

    assert client.sign_in(cast.owner).get(f"/app/people/{awa.id}/everything.json").status == 409
