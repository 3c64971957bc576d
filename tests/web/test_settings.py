"""The organisation's settings: each field, the logo, and who may change them."""

import io

import pytest

from app.database import db
from app.domain import organisations
from app.models import Organisation
from tests.domain.test_organisations import bomb, picture


def test_it_works(cast, client):
    page = client.sign_in(cast.owner).get("/app/settings")
    page = page.submit("#settings", name="Programme élargi", region="thi", time_zone="Africa/Bamako", country="ML")
    assert page.status == 200 and "The settings are saved." in page.text

    saved = db.session.get(Organisation, cast.organisation.id)
    assert (saved.name, saved.country, saved.region) == ("Programme élargi", "ML", "THI")
    assert page.soup.select_one("#time_zone option[selected]")["value"] == "Africa/Bamako"


def test_every_field_says_what_it_acts_on(cast, client):
    page = client.sign_in(cast.owner).get("/app/settings")
    for name in ("name", "country", "region", "time_zone", "language", "logo"):
        assert len(page.soup.select_one(f"#{name}-hint").get_text()) > 20, name


def test_problems_come_back_at_their_fields_with_what_was_typed(cast, client):
    page = client.sign_in(cast.owner).get("/app/settings").submit("#settings", name="x", region="12")
    assert page.status == 422 and len(page.errors) == 2
    assert page.soup.select_one("#region")["value"] == "12"
    assert page.has("#region-error") and page.has("#name-error")


def test_a_logo_is_shown_and_removed(cast, client):
    page = client.sign_in(cast.owner).get("/app/settings")
    page = page.submit("#logo-form", logo=(io.BytesIO(picture()), "logo.exe"))
    assert "The logo is saved" in page.text and page.has('img[src="/app/logo"]')

    logo = client.get("/app/logo")
    assert logo.headers["Content-Type"] == "image/png" and logo.body.startswith(b"\x89PNG")
    assert logo.headers["X-Content-Type-Options"] == "nosniff" and "private" in logo.headers["Cache-Control"]
    assert client.get("/app/logo", headers={"If-None-Match": logo.headers["ETag"]}).status == 304

    page = page.submit("#logo-remove")
    assert "The logo is removed" in page.text and client.get("/app/logo").status == 404


def test_a_logo_belongs_to_its_organisation(cast, client):
    organisations.save_logo(picture(), by=cast.owner)
    assert client.get("/app/logo").status == 303
    assert client.sign_in(cast.viewer).get("/app/logo").status == 200
    assert client.sign_in(cast.stranger).get("/app/logo").status == 404


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (bomb(30_000), "25 million pixels"),
        (picture() + bytes(600_000), "512 KB"),
        (b"<svg onload=alert(1)>", "PNG or JPEG"),
        (b"", "Choose a picture"),
    ],
    ids=["bomb", "large", "svg", "empty"],
)
def test_a_picture_that_cannot_be_used_is_refused_in_words(cast, client, content, says):
    page = client.sign_in(cast.owner).get("/app/settings")
    page = page.submit("#logo-form", logo=(io.BytesIO(content), "logo.png"))
    assert page.status == 422 and says in page.errors[0]
    assert not organisations.has_logo(cast.owner)


def test_no_file_at_all_is_refused_in_words(cast, client):
    page = client.sign_in(cast.owner).get("/app/settings").submit("#logo-form")
    assert page.status == 422 and "Choose a picture" in page.errors[0]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/app/settings"),
        ("POST", "/app/settings"),
        ("POST", "/app/settings/logo"),
        ("POST", "/app/settings/logo/remove"),
    ],
)
@pytest.mark.parametrize(("who", "status"), [("editor", 403), ("viewer", 403), (None, 303)])
def test_who_may_not_change_settings(cast, client, method, path, who, status):
    if who:
        client.sign_in(getattr(cast, who))
    page = client.get(path) if method == "GET" else client.post(path, {"name": "Ours now"})
    assert page.status == status
    assert db.session.get(Organisation, cast.organisation.id).name == "District sanitaire"
