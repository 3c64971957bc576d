"""Verification in a browser: by code, by address, by photo, without a cookie; and by a program."""

import base64
import io
import struct
import zlib
from dataclasses import replace

import pytest
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from PIL import Image
from sqlalchemy import select, update

from app.database import db, transaction
from app.domain import cards, drawing, jobs, photos
from app.domain.codes import new_codes
from app.domain.orders import StartOrder
from app.factory import create_app, limiter
from app.models import AuditEntry, Beneficiary, Campaign, Card, CardState, Job
from app.web import verification
from tests.cast import make_campaign
from tests.web.client import Client

CANARIES = ("Zebulon", "Quagga", "BEN-CANARY-7", "221771234567", "CANARY00")
LARGEST_PAGE = 10_000  # bytes


@pytest.fixture
def card(cast) -> Card:
    """A card in force, of a person whose every trait is a canary."""
    campaign = make_campaign(cast.owner, people=1, name="Polio in Pikine")
    person = db.session.scalar(select(Beneficiary))
    with transaction():
        person.first_name, person.last_name, person.beneficiary_id = CANARIES[:3]
        person.phone_number, person.mpi_id = "+221771234567", "SN-DKR-26-CANARY00"
    jobs.start(campaign, StartOrder(), by=cast.editor)
    become(CardState.valid)
    with transaction():
        db.session.execute(update(Job).values(test_cards=False))
    return db.session.scalar(select(Card))


@pytest.fixture
def practice_card(card) -> Card:
    """The same card, made where cards are for practice only."""
    with transaction():
        db.session.execute(update(Job).values(test_cards=True))
    return card


@pytest.fixture
def token(card) -> str:
    return drawing.token_of(card, db.session.get(Campaign, card.campaign_id))


def become(state: CardState) -> None:
    with transaction():
        db.session.execute(update(Card).values(state=state))


def send(client: Client, photo: bytes, name: str = "photo.jpg"):
    return client.send("POST", "/verify", data={"photo": (io.BytesIO(photo), name)})


def as_photographed(png: bytes) -> bytes:
    """Return the card lying askew on a grey table, as a JPEG of a telephone."""
    front = Image.open(io.BytesIO(png)).convert("RGB")
    front = front.resize((front.width * 2, front.height * 2)).rotate(7, expand=True, fillcolor=(120, 118, 110))
    table = Image.new("RGB", (2400, 1800), (120, 118, 110))
    table.paste(front, (500, 400))
    out = io.BytesIO()
    table.save(out, "JPEG", quality=70)
    return out.getvalue()


def empty_png(width: int, height: int) -> bytes:
    """Return a PNG that unpacks to many pixels of nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(min((width + 1) * height, 2_000_000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def test_it_works(client, card):
    page = client.get("/verify").submit("main form", code=card.code.lower())
    assert page.status == 200 and page.title.startswith("Valid code")
    assert page.soup.h1.get_text() == "Valid code"
    assert card.code in page.text and "Polio in Pikine" in page.text and "District sanitaire" in page.text
    assert "Only the QR code proves" in page.text


def test_the_address_in_the_qr_code_is_the_answer(client, card, token):
    page = client.get(f"/V/{token}")
    assert page.soup.h1.get_text() == "Valid card" and "Only the QR code proves" not in page.text
    for same in (f"/verify?p={token[:24]}&s={token[24:]}", f"/verify?code=HTTPS://CARDS.EXAMPLE.ORG/V/{token}"):
        assert client.get(same).soup.h1.get_text() == "Valid card"


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (CardState.suspended, "Suspended card"),
        (CardState.revoked, "Revoked card"),
        (CardState.replaced, "Replaced card"),
        (CardState.void, "Never issued"),
    ],
)
def test_what_stops_a_card_is_said_in_words(client, token, state, words):
    become(state)
    page = client.get(f"/V/{token}")
    assert page.soup.h1.get_text() == words and page.title.startswith(words)
    assert "Do not accept it" in page.text


def test_a_test_card_is_said_to_be_worth_nothing(client, practice_card, token):
    for path in (f"/V/{token}", f"/verify?code={practice_card.code}"):
        page = client.get(path)
        assert page.soup.h1.get_text().startswith("Test card: ") and page.title.startswith("Test card: ")
        assert "It is worth nothing" in page.text and "You can accept it" not in page.text


def test_what_is_no_card_is_said_in_words_too(client, card, token):
    wrong = card.code[:-1] + ("A" if card.code[-1] != "A" else "B")
    page = client.get(f"/verify?code={wrong}")
    assert page.soup.h1.get_text() == "Check the code" and page.soup.select_one("#code")["value"] == wrong
    assert client.get(f"/verify?code={new_codes('ABC', 1)[0]}").soup.h1.get_text() == "No card with this code"
    assert client.get("/verify?code=hello%3F").soup.h1.get_text() == "Not the code of a card"
    forged = token[:-20] + ("B" if token[-20] == "A" else "A") + token[-19:]
    assert client.get(f"/V/{forged}").soup.h1.get_text() == "Not genuine"
    assert client.get(f"/V/{token.lower()}").soup.h1.get_text() == "Not the code of a card"

    nothing = client.get("/verify?code=")
    assert nothing.errors == ["Type the code printed on the card."] and nothing.title.startswith("Error:")


def test_an_address_in_small_letters_is_not_one_of_ours(client, token):
    page = client.get(f"/v/{token.lower()}")
    assert page.status == 404 and "Scan the QR code again" in page.errors[0]


def test_nothing_about_the_person_is_said_to_anybody(cast, client, card, token):
    paths = (f"/V/{token}", f"/verify?code={card.code}", f"/mpi/verify/{token}", "/.well-known/fieldcard-keys.json")
    for _who in ("a visitor", "the owner"):
        for path in paths:
            page = client.get(path)
            said = page.body.decode() + str(page.headers)
            assert not [canary for canary in CANARIES if canary in said], path
            assert str(card.person_id) not in said
        client.sign_in(cast.owner)


def test_looking_leaves_no_trace_and_no_cookie(client, card, token):
    before = db.session.scalars(select(AuditEntry.id)).all()
    for path in ("/verify", f"/V/{token}", f"/verify?code={card.code}"):
        for method in ("GET", "HEAD"):
            page = client.send(method, path)
            assert page.status == 200 and "Set-Cookie" not in page.headers
            assert page.headers["Cache-Control"] == "no-store"
    assert db.session.scalars(select(AuditEntry.id)).all() == before
    assert db.session.scalar(select(Card.state)) == CardState.valid


def test_the_eleventh_code_in_a_minute_has_to_wait_and_tokens_never(client, card, token):
    for _time in range(10):
        assert client.get(f"/verify?code={card.code}").status == 200
    page = client.get(f"/verify?code={card.code}")
    assert page.status == 429 and 0 < int(page.headers["Retry-After"]) <= 60
    assert "Too many codes" in page.errors[0] and page.soup.select_one("#code")["value"] == card.code
    assert client.get(f"/V/{token}").status == 200
    assert client.get(f"/verify?code=https://cards.example.org/V/{token}").status == 200
    assert client.get("/verify").status == 200


def test_a_network_counts_as_one_and_staff_may_type_more(cast, client, card):
    def ask(address: str) -> int:
        environ = {"REMOTE_ADDR": address}
        return client.send("GET", f"/verify?code={card.code}", environ_overrides=environ).status

    assert [ask(f"2001:db8:0:1::{last}") for last in range(11)][-2:] == [200, 429]
    assert ask("2001:db8:0:2::1") == 200
    assert ask("::ffff:192.0.2.1") == 200
    client.sign_in(cast.viewer)
    assert {ask("2001:db8:0:1::1") for _time in range(20)} == {200}


def test_a_photo_of_the_card_is_read(client, card, token):
    png = cards.draw(db.session.scalar(select(Card)), "front")
    for photo in (png, as_photographed(png)):
        page = send(client, photo)
        assert page.status == 303 and page.location == f"/V/{token}"
    assert page.follow().soup.h1.get_text() == "Valid card"
    assert "Set-Cookie" not in page.headers


@pytest.mark.parametrize(
    ("photo", "words"),
    [
        (b"", "Choose a photo"),
        (b"GIF89a not a photo", "not a photo in PNG or JPEG"),
        (b"\x89PNG\r\n\x1a\n", "not a photo in PNG or JPEG"),
        (empty_png(1000, 1000), "no QR code"),
        (empty_png(1000, 1000)[:200], "damaged"),
        (empty_png(6000, 6000), "too many pixels"),
        (empty_png(60_000, 60_000), "too many pixels"),
        (bytes(photos.LARGEST_BYTES + 1), "larger than 8 MB"),
        (bytes(photos.LARGEST_BYTES + 1_000_000), "larger than 8 MB"),
    ],
    ids=["none", "other", "header", "blank", "cut", "large", "bomb", "heavy", "heavier"],
)
def test_a_photo_that_cannot_be_read_is_refused_with_a_sentence(client, photo, words):
    page = send(client, photo)
    assert page.status == 422 and words in page.errors[0]
    assert page.soup.select_one("#photo")["aria-invalid"] == "true"


def test_a_visitor_chooses_a_language_without_a_cookie(client, token):
    page = client.get(f"/V/{token}").submit(".languages", language="wo")
    assert page.soup.html["lang"] == "wo" and "Set-Cookie" not in page.headers
    assert page.soup.select_one("input[name=language]")["value"] == "wo"
    assert client.get(f"/V/{token}?language=xx").soup.html["lang"] == "en"
    assert client.get("/verify", headers={"Accept-Language": "de"}).soup.html["lang"] == "fr"


def test_the_page_is_light_and_complete_without_scripts(client, card, token):
    for path in ("/verify", f"/V/{token}", f"/verify?code={card.code}"):
        page = client.get(path)
        assert len(page.body) < LARGEST_PAGE
        assert [form["method"] for form in page.soup.select("main form")] == ["get", "post"]
        assert page.soup.select_one("[data-scan]").has_attr("hidden")


def test_a_program_learns_whether_the_card_counts_and_no_more(client, token):
    page = client.get(f"/mpi/verify/{token}")
    assert page.status == 200 and set(page.answer.json) == {"status", "programme_count", "verified_at"}
    assert (page.answer.json["status"], page.answer.json["programme_count"]) == ("valid", 1)
    for state in (CardState.revoked, CardState.replaced, CardState.suspended):
        become(state)
        page = client.get(f"/mpi/verify/{token}")
        assert page.status == 200 and set(page.answer.json) == {"status", "verified_at"}
        assert page.answer.json["status"] == "revoked"
    page = client.get("/mpi/verify/nothing")
    assert page.status == 404 and page.answer.json["status"] == "not_found" and page.answer.json["message"]


def test_the_keys_are_published_for_other_verifiers(client, card):
    page = client.get("/.well-known/fieldcard-keys.json")
    [key] = page.answer.json["keys"]
    assert (key["kid"], key["alg"], key["status"]) == (card.key_id, "Ed25519", "active")
    assert len(base64.urlsafe_b64decode(key["public_key"] + "=")) == 32
    assert key["issuer"].startswith("org_") and key["not_before"].endswith("Z")
    assert page.headers["Access-Control-Allow-Origin"] == "*" and "max-age" in page.headers["Cache-Control"]


def test_typed_codes_are_answered_and_counted_while_redis_is_away(cast, card, settings, monkeypatch):
    monkeypatch.setattr(limiter, "_storage_dead", False)
    monkeypatch.setattr(verification, "SPARE", FixedWindowRateLimiter(MemoryStorage()))
    away = Client(create_app(replace(settings, queue_url="redis://127.0.0.1:1/0")))

    seen = [away.get(f"/verify?code={card.code}") for _time in range(11)]

    assert [page.status for page in seen] == [200] * 10 + [429]
    assert card.code in seen[0].text
