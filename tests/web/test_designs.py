"""Designs: their pictures, and the design that a campaign's next cards wear."""

import io

import pytest
from PIL import Image

from app.database import db
from app.models import Campaign
from tests.cast import make_campaign


def test_it_works(cast, client):
    answer = client.sign_in(cast.viewer).get("/app/designs/vaccination/preview/front.png?language=fr")

    assert answer.status == 200 and answer.headers["Content-Type"] == "image/png"
    assert answer.headers["Cache-Control"] == "private, max-age=3600"
    assert Image.open(io.BytesIO(answer.body)).size == (371, 234)


def test_both_sides_and_all_languages_differ(cast, client):
    client.sign_in(cast.viewer)
    paths = ("front.png?language=fr", "back.png?language=fr", "front.png?language=wo")

    pictures = {client.get(f"/app/designs/nutrition/preview/{path}").body for path in paths}

    assert len(pictures) == 3


def test_a_picture_is_drawn_once(cast, client, monkeypatch):
    client.sign_in(cast.viewer)
    first = client.get("/app/designs/lab/preview/front.png?language=en").body
    monkeypatch.setattr("app.web.designs.preview", lambda *_: pytest.fail("drawn again"))

    assert client.get("/app/designs/lab/preview/front.png?language=en").body == first


@pytest.mark.parametrize(
    "path",
    ["unknown/preview/front.png?language=fr", "lab/preview/front.png?language=xx", "lab/preview/edge.png?language=fr"],
)
def test_what_does_not_exist_is_not_found(cast, client, path):
    assert client.sign_in(cast.viewer).get(f"/app/designs/{path}").status == 404


def test_visitors_are_sent_to_sign_in(client):
    assert "/signin" in client.get("/app/designs/lab/preview/front.png?language=fr").location


def test_the_gallery_begins_with_the_design_of_the_type(cast, client):
    campaign = make_campaign(cast.owner, campaign_type="mild", template_id="mild")

    page = client.sign_in(cast.editor).get(f"/app/campaigns/{campaign.id}/design")

    choices = page.soup.select("input[name=template_id]")
    assert choices[0]["value"] == "mild" and choices[0].has_attr("checked")
    assert len(choices) == 11
    assert all(picture["alt"] and picture["width"] for picture in page.soup.select("main img"))


def test_the_next_cards_wear_what_was_chosen(cast, client):
    campaign = make_campaign(cast.owner)
    form = client.sign_in(cast.editor).get(f"/app/campaigns/{campaign.id}/design")

    page = form.submit("main form", template_id="identity", dpi="600")

    chosen = db.session.get(Campaign, campaign.id)
    assert (chosen.template_id, chosen.dpi) == ("identity", 600)
    assert "Cards made before stay as they are" in page.text and "600 dpi" in page.text


def test_a_forged_choice_is_refused_and_the_rest_is_kept(cast, client):
    campaign = make_campaign(cast.owner)

    page = client.sign_in(cast.editor).post(
        f"/app/campaigns/{campaign.id}/design", {"template_id": "identity", "dpi": "9999999999999999999"}
    )

    assert page.status == 422 and page.errors == ["The resolution is 300, 450 or 600 dpi."]
    assert page.has("input[value=identity][checked]")


def test_a_resolution_of_five_thousand_digits_is_refused_at_its_field(cast, client):
    campaign = make_campaign(cast.owner)
    page = client.sign_in(cast.editor).post(
        f"/app/campaigns/{campaign.id}/design", {"template_id": "lab", "dpi": "9" * 5_000}
    )

    assert page.status == 422 and page.errors == ["The resolution is 300, 450 or 600 dpi."]
