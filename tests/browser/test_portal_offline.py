"""The offline portal in a browser, opened from a file without a network, as a nurse opens it from a memory card."""

import io
import json
import zipfile
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import qrcode
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from app.domain.codes import Code, NotACode, WrongCheck, new_codes, read_code
from app.domain.tokens import Token, address, sign
from app.rendering.portal import write_portal
from tests.browser.memory_card import (
    CARD,
    CARDS,
    FULL,
    JOB,
    LATER,
    NO_ED25519,
    NO_SUBTLE,
    expect_answer,
    open_page,
    photograph,
    type_code,
)
from tests.documented import make_tokens

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("memory-card")
    out = io.BytesIO()
    write_portal(JOB, CARDS, out)
    zipfile.ZipFile(out).extractall(folder)
    # Alone, as it is when somebody sends it by WhatsApp.
    return (folder / "verification-portal" / "index.html").rename(folder / "index.html")


@pytest.fixture
def page(browser: Browser, index: Path) -> Iterator[Page]:
    page = open_page(browser, index, FULL)
    yield page
    page.context.close()


def test_it_works(page: Page, tmp_path: Path) -> None:
    photograph(page, tmp_path, address("https://cards.example.sn", CARD.token))

    expect_answer(page, "valid", "Carte valide", "Campagne DKR-VAC", "Émise le 12 mars 2026")


@pytest.mark.parametrize("lacking", [FULL, NO_ED25519, NO_SUBTLE], ids=["full", "no Ed25519", "no crypto.subtle"])
def test_the_portal_says_of_every_vector_what_the_server_says(browser: Browser, index: Path, lacking: str) -> None:
    documented = json.loads(make_tokens.FILE.read_text("utf-8"))
    page = open_page(browser, index, lacking)

    outcomes = page.evaluate(
        """async ({ keys, vectors, today }) => {
            const outcomes = {};
            for (const { name, token } of vectors)
                outcomes[name] = (await Checks.verify(token, keys, Checks.dayOf(Date.parse(today)))).outcome;
            return outcomes;
        }""",
        documented,
    )

    assert outcomes == {vector["name"]: vector["outcome"] for vector in documented["vectors"]}
    page.context.close()


@pytest.mark.parametrize("lacking", [NO_ED25519, NO_SUBTLE], ids=["no Ed25519", "no crypto.subtle"])
def test_an_older_browser_answers_too(browser: Browser, index: Path, lacking: str) -> None:
    page = open_page(browser, index, lacking)

    type_code(page, CARD.token)
    expect_answer(page, "valid", "Carte valide")
    type_code(page, CARD.code)
    expect_answer(page, "known", "Code reconnu")
    page.context.close()


def test_a_browser_that_cannot_check_says_so(browser: Browser, index: Path) -> None:
    no_noble = "Object.defineProperty(self, 'noble', { get() { throw new ReferenceError('noble'); }, set() {} });"
    page = open_page(browser, index, NO_SUBTLE + no_noble)

    type_code(page, CARD.token)

    expect_answer(page, "note", "Appareil trop ancien")
    page.context.close()


def test_none_of_the_632_bits_of_a_card_can_be_flipped(page: Page) -> None:
    flipped = page.evaluate(
        """async (token) => {
            const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
            const keys = JSON.parse(document.getElementById("facts").textContent).keys;
            const outcomes = [];
            for (let bit = 0; bit < 632; bit += 1) {
                const at = Math.floor(bit / 5);
                const letter = alphabet[alphabet.indexOf(token[at]) ^ (16 >> bit % 5)];
                const text = token.slice(0, at) + letter + token.slice(at + 1);
                outcomes.push((await Checks.verify(text, keys, Checks.dayOf(Date.now()))).outcome);
            }
            return outcomes;
        }""",
        CARD.token,
    )

    assert len(flipped) == 632
    assert set(flipped) == {"malformed", "unknown_key", "signature_wrong"}


def test_an_altered_card_is_not_genuine(page: Page, tmp_path: Path) -> None:
    altered = CARD.token[:70] + ("A" if CARD.token[70] != "A" else "B") + CARD.token[71:]

    photograph(page, tmp_path, address("https://cards.example.sn", altered))

    expect_answer(page, "false", "Carte non authentique", "N’acceptez pas")


def test_a_card_made_after_the_list_is_genuine_and_not_listed(page: Page) -> None:
    type_code(page, address("https://cards.example.sn", LATER.token))

    expect_answer(page, "known", "Authentique, absente de la liste", "https://cards.example.sn/verify")


def test_a_card_of_another_campaign_is_said_to_be_one(page: Page) -> None:
    other = Token(make_tokens.OTHER_KEY_ID, 900, 0, date(2026, 6, 1))

    type_code(page, sign(other, make_tokens.OTHER_ISSUER, make_tokens.OTHER_KEY))

    expect_answer(page, "known", "Authentique, autre campagne")


@pytest.mark.parametrize(
    ("name", "tone", "title"),
    [
        ("expired 30 days ago", "unknown", "Carte expirée"),
        ("issued in 30 days", "unknown", "Carte pas encore valide"),
        ("signed by an unknown key 0", "unknown", "Carte non reconnue"),
        ("a signature of zeros", "false", "Carte non authentique"),
        ("one character short", "unknown", "Carte non reconnue"),
    ],
)
def test_other_outcomes_have_their_own_words(page: Page, name: str, tone: str, title: str) -> None:
    documented = json.loads(make_tokens.FILE.read_text("utf-8"))

    type_code(page, next(vector["token"] for vector in documented["vectors"] if vector["name"] == name))

    expect_answer(page, tone, title)


def test_the_payload_and_signature_address_is_read_too(page: Page) -> None:
    type_code(page, f"https://cards.example.sn/verify?p={CARD.token[:24]}&s={CARD.token[24:]}")

    expect_answer(page, "valid")


def test_another_qr_code_is_not_recognised(page: Page, tmp_path: Path) -> None:
    photograph(page, tmp_path, "https://example.org/menu")

    expect_answer(page, "unknown", "Carte non reconnue")


def test_a_photo_without_a_qr_code_asks_for_a_better_one(page: Page, tmp_path: Path) -> None:
    Image.new("RGB", (800, 600), "#88aa88").save(tmp_path / "wall.png")

    page.set_input_files("#photo", tmp_path / "wall.png")

    expect_answer(page, "note", "Aucun QR code trouvé")


def test_a_file_that_is_no_picture_is_said_to_be_none(page: Page) -> None:
    page.set_input_files("#photo", {"name": "a.png", "mimeType": "image/png", "buffer": b"not a picture"})

    expect(page.locator("#answer")).to_contain_text("pas une image")


@pytest.mark.parametrize(
    "spelling", [str, str.lower, lambda code: code.replace("-", " "), lambda code: code[-8:]], ids=range(4)
)
def test_a_listed_code_is_recognised_but_no_proof(page: Page, spelling) -> None:
    type_code(page, spelling(CARD.code))

    expect_answer(page, "known", "Code reconnu", CARD.code, "scannez le QR code")


def test_an_unlisted_code_is_not_recognised(page: Page) -> None:
    # One code in 4,096 passes by design; two that pass are once in sixteen million.
    first, second = new_codes("DKR-VAC", 2)
    type_code(page, first)
    if page.locator("#answer.known").count():
        type_code(page, second)

    expect_answer(page, "unknown", "Carte non reconnue", "pas sur la liste")


@pytest.mark.parametrize(
    ("typed", "tone", "says"),
    [
        ("THS-VAC-9XQ7LM2G", "unknown", "Cette liste est celle de la campagne DKR-VAC"),
        ("DKR-VAC-9XQ7LM2A", "note", "faute de frappe"),
        ("", "note", "Tapez le code"),
        ("DKR", "note", "trop court"),
        ("DKR-VAC-9XQ7LM2é", "note", "lettres de A à Z"),
    ],
)
def test_a_typing_error_is_named(page: Page, typed: str, tone: str, says: str) -> None:
    type_code(page, typed)

    expect_answer(page, tone, says)


def test_the_languages_switch_and_the_answer_with_them(page: Page) -> None:
    type_code(page, CARD.token)
    expect(page.locator("h1")).to_have_text("Vérifier une carte")

    page.select_option("#language", "en")
    expect(page.locator("h1")).to_have_text("Check a card")
    expect_answer(page, "valid", "Valid card", "Issued on 12 March 2026")

    page.select_option("#language", "wo")
    expect(page.locator("h1")).to_have_text("Seetlu kart")
    expect_answer(page, "valid", "Kart bi baax na")
    expect(page.locator("html")).to_have_attribute("lang", "wo")


@pytest.mark.parametrize(
    ("now", "tone", "says"),
    [
        (datetime(2026, 6, 12, 20, tzinfo=UTC), "fresh", "aujourd’hui"),
        (datetime(2026, 6, 13, 20, tzinfo=UTC), "fresh", "1 jour"),
        (datetime(2026, 6, 15, 20, tzinfo=UTC), "fresh", "3 jours"),
        (datetime(2026, 6, 21, 20, tzinfo=UTC), "ageing", "liste plus récente"),
        (datetime(2026, 7, 20, 20, tzinfo=UTC), "old", "liste plus récente"),
        (datetime(2020, 1, 1, tzinfo=UTC), "ageing", "réglez sa date"),
    ],
)
def test_the_list_shows_its_date_and_age(browser: Browser, index: Path, now: datetime, tone: str, says: str) -> None:
    page = open_page(browser, index, FULL, now)

    expect(page.locator("#age")).to_have_class(tone)
    expect(page.locator("#age")).to_contain_text("Liste du 12 juin 2026, 40 cartes.")
    expect(page.locator("#age")).to_contain_text(says)
    page.context.close()


def test_a_list_of_codes_gives_a_report(page: Page, tmp_path: Path) -> None:
    (tmp_path / "codes.csv").write_text(
        f"code;nom\r\n{CARDS[1].code};x\r\n{CARDS[2].code.lower()};y\r\nDKR-VAC-9XQ7LM2A;z\r\n=1+1;\r\n", "utf-8-sig"
    )
    page.click("summary")
    page.set_input_files("#codes", tmp_path / "codes.csv")
    expect(page.locator("#many td")).to_have_text(["2", "0", "2"])

    with page.expect_download() as download:
        page.click("#many a")

    report = Path(download.value.path()).read_text("utf-8-sig")
    assert report.splitlines() == [
        "code,result",
        f'"{CARDS[1].code}",recognised',
        f'"{CARDS[2].code}",recognised',
        '"DKR-VAC-9XQ7LM2A",typing_error',
        '"\'=1+1",typing_error',
    ]


def test_the_camera_starts_and_stops(page: Page) -> None:
    page.click("#scan")
    expect(page.locator("#viewfinder video")).to_be_visible()
    expect(page.locator("#viewfinder video")).not_to_have_js_property("videoWidth", 0)

    page.click("#stop")
    expect(page.locator("#viewfinder")).to_be_hidden()
    expect(page.locator("#scan")).to_be_visible()
    assert page.troubles == []


def test_a_code_before_the_camera_is_read(page: Page) -> None:
    picture = io.BytesIO()
    qrcode.make(address("https://cards.example.sn", CARD.token), box_size=6).save(picture)
    # The camera of the test shows a canvas with the card on it.
    page.evaluate(
        """async (png) => {
            const image = new Image();
            image.src = URL.createObjectURL(new Blob([Uint8Array.from(png)]));
            await image.decode();
            const canvas = document.createElement("canvas");
            canvas.width = 640; canvas.height = 640;
            const draw = () => canvas.getContext("2d").drawImage(image, 80, 80);
            setInterval(draw, 50);
            navigator.mediaDevices.getUserMedia = async () => canvas.captureStream(20);
        }""",
        list(picture.getvalue()),
    )

    page.click("#scan")

    expect_answer(page, "valid", "Carte valide")
    expect(page.locator("#viewfinder")).to_be_hidden()


@pytest.mark.parametrize("language", ["fr", "en", "wo"])
def test_it_fits_a_small_phone(page: Page, language: str) -> None:
    page.select_option("#language", language)
    type_code(page, CARD.code)

    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    for control in page.locator("button:visible, select, label.way:visible, #code").all():
        assert control.bounding_box()["height"] >= 44


def test_nothing_is_kept(page: Page) -> None:
    type_code(page, CARD.token)

    assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]


def test_axe_finds_nothing_on_any_answer(page: Page) -> None:
    page.evaluate((Path(__file__).parents[1] / "vendor" / "axe.min.js").read_text("utf-8") + "; null")
    page.click("summary")
    for typed in (CARD.token, CARD.code, "THS-VAC-9XQ7LM2G", make_tokens.TEXT[:-2] + "AA", "DKR"):
        type_code(page, typed)
        expect(page.locator("#answer")).to_be_visible()

        found = page.evaluate("axe.run().then(({ violations }) => violations.map(({ id, help }) => [id, help]))")

        assert found == [], typed


def test_page_and_server_read_a_typed_code_alike(page: Page) -> None:
    shapes = [str, str.lower, str.title, lambda code: code.replace("-", ""), lambda code: code.replace("-", " – ")]
    shapes += [
        lambda code: code.replace("0", "O").replace("1", "i"),
        lambda code: code[:-1] + "Z",
        lambda code: code + "É",
    ]
    typed = [shape(card.code) for card in CARDS[:8] for shape in shapes]

    read = page.evaluate("typed => typed.map((text) => Checks.readCode(text, 'DKR-VAC'))", typed)

    for text, said in zip(typed, read, strict=True):
        here = read_code(text)
        assert said["kind"] == {Code: "code", WrongCheck: "wrong_check", NotACode: "characters"}[type(here)], text
        if isinstance(here, Code):
            assert said["code"] in here.spellings
