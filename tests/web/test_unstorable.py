"""The character NUL is refused before any page looks at it, wherever it stands, on both engines."""

import io

import pytest

from app.domain import accounts
from tests.cast import make_campaign
from tests.web.client import Client

GOOD = "Sahel-2026-rain"


@pytest.mark.both
def test_it_works(cast, client):
    client.sign_in(cast.owner)
    for path in ("/app/campaigns/%00", "/app/imports/a%00b", "/V/%00", "/%00"):
        page = client.get(path)
        assert page.status == 404 and "Page not found" in page.text
    for path in ("/app/campaigns?q=%00", "/app/campaigns.csv?q=a%00b", "/verify?code=%00", "/app/campaigns?a%00=1"):
        page = client.get(path)
        assert page.status == 400 and "could not be read" in page.text


@pytest.mark.both
def test_a_form_with_it_is_refused(cast, client):
    assert client.post("/signin", {"email": "a\0@example.org", "password": GOOD}).status == 400
    client.sign_in(cast.owner)
    assert client.post("/app/account", {"name": "Awa\0", "language": "fr"}).status == 400
    assert client.get("/app/account").soup.select_one("#name")["value"] == ""


@pytest.mark.both
@pytest.mark.parametrize("path", ["/campaigns/%00", "/jobs/%00", "/cards/%00", "/api/%00"])
def test_apis_answer_in_their_own_way(cast, client, path):
    answer = client.get(path)
    assert answer.status in (401, 404) and answer.answer.json["code"]


def test_without_it_everything_goes_its_way(cast, app):
    accounts.set_password("owner@example.org", GOOD)
    client = Client(app)
    assert client.get("/signin").submit(email="owner@example.org", password=GOOD, follow=False).status == 303
    assert client.get("/app/campaigns?q=Ndèye").status == 200


def test_the_contents_of_files_are_left_alone(cast, client):
    campaign = make_campaign(cast.owner)
    client.sign_in(cast.editor)
    sent = {"file": (io.BytesIO("Prénom;Nom\r\nAwa;Diop\r\n".encode("utf-16-le")), "list.csv")}
    assert client.post(f"/app/campaigns/{campaign.id}/import", sent).status == 303
