"""A card's page: found by its code, with its picture, its state in words, and what became of it."""

import io

import pytest
from PIL import Image
from sqlalchemy import select, update

from app.database import db, transaction
from app.domain import audit, jobs
from app.domain.orders import StartOrder
from app.models import Card, CardState, KeyStatus, SigningKey
from tests.cast import make_campaign


@pytest.fixture
def card(cast) -> Card:
    """A card in force."""
    jobs.start(make_campaign(cast.owner, people=1), StartOrder(), by=cast.editor)
    become(CardState.valid)
    return db.session.scalar(select(Card))


def become(state: CardState, **values: object) -> None:
    with transaction():
        db.session.execute(update(Card).values(state=state, **values))


def test_it_works(cast, client, card):
    client.sign_in(cast.owner)
    page = client.get("/app/cards").submit("main form", code=card.code.lower())
    assert page.path == f"/app/cards/{card.code}"
    assert card.code in page.soup.h1.get_text() and "Valid" in page.soup.h1.get_text()
    assert "genuine and in force" in page.text and "editor@example.org" in page.text
    assert "Being made" in page.soup.select_one("tbody").get_text()
    assert page.has(f"a[href='/app/jobs/{card.job_id}']")


def test_the_picture_is_drawn_from_what_was_frozen(cast, client, card):
    client.sign_in(cast.viewer)
    page = client.get(f"/app/cards/{card.code}")
    sources = [picture["src"] for picture in page.soup.select("main img")]
    assert len(sources) == 2
    for source in sources:
        answer = client.get(source)
        assert answer.headers["Content-Type"] == "image/png" and answer.headers["Cache-Control"] == "no-store"
        assert Image.open(io.BytesIO(answer.body)).width > 400
    assert client.get(f"/app/cards/{card.code}/edge.png").status == 404


def test_a_card_that_was_never_made_has_no_picture(cast, client, card):
    client.sign_in(cast.owner)
    jobs.cancel(db.session.get(jobs.Job, card.job_id), by=cast.editor)
    become(CardState.void)
    page = client.get(f"/app/cards/{card.code}")
    assert "Never issued" in page.text and "Ordered, but not made" in page.text and not page.has("main img")
    assert client.get(f"/app/cards/{card.code}/front.png").status == 404


def test_a_card_whose_key_is_compromised_is_shown_without_being_signed_again(cast, client, card):
    with transaction():
        db.session.execute(update(SigningKey).values(status=KeyStatus.compromised))
    page = client.sign_in(cast.owner).get(f"/app/cards/{card.code}")
    assert page.status == 200 and not page.has("main img")


def test_what_was_done_to_the_card_is_told_with_its_reason(cast, client, card):
    with transaction():
        audit.note(cast.owner, "card.suspended", "card", card.code, reason="Found in the street")
    page = client.sign_in(cast.viewer).get(f"/app/cards/{card.code}")
    newest = page.soup.select_one("tbody tr").get_text(" ")
    assert "owner@example.org" in newest and "Found in the street" in newest


@pytest.mark.parametrize("state", list(CardState))
def test_every_state_has_words(cast, client, card, state):
    become(state)
    page = client.sign_in(cast.viewer).get(f"/app/cards/{card.code}")
    assert page.status == 200 and len(page.soup.select_one(".page-head p").get_text()) > 20


def test_the_page_of_a_card_past_its_last_day_says_so(cast, client, card):
    become(CardState.valid, issued_on=card.issued_on.replace(year=2021), expires_on=card.issued_on.replace(year=2022))
    page = client.sign_in(cast.viewer).get(f"/app/cards/{card.code}")
    assert "Expired" in page.soup.h1.get_text() and "last day has passed" in page.text


def test_a_stranger_and_a_wrong_code_find_the_same_nothing(cast, client, card):
    client.sign_in(cast.stranger)
    for path in (f"/app/cards/{card.code}", f"/app/cards/{card.code}/front.png", "/app/cards/ABC-12345678"):
        assert client.get(path).status == 404
    page = client.get(f"/app/cards?code={card.code}")
    assert page.status == 404 and "No card of your organisation" in page.errors[0]
    assert page.soup.select_one("#code")["value"] == card.code


def test_a_visitor_is_asked_to_sign_in(client, card):
    page = client.get(f"/app/cards/{card.code}")
    assert page.status == 303 and page.location.startswith("/signin")
