"""A memory card with the offline portal of forty cards on it, and how a person uses it."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import qrcode
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from app.domain.codes import new_codes
from app.domain.tokens import sign
from app.rendering.facts import JobFacts, PublicKey
from app.rendering.package import PackedCard
from tests.documented import make_tokens

TODAY = datetime(2026, 6, 15, 10, 0, tzinfo=UTC)
JOB = JobFacts(
    job_id="job_1",
    campaign_id="camp_1",
    campaign_name="Rougeole 2026",
    campaign_type="vaccination",
    prefix="DKR-VAC",
    programme="Programme élargi de vaccination",
    language="fr",
    dpi=300,
    sheet=None,
    generated_at=datetime(2026, 6, 12, 8, 0, tzinfo=UTC),
    verify_address="https://cards.example.sn/verify",
    keys=(
        PublicKey(make_tokens.KEY_ID, make_tokens.PUBLIC, make_tokens.ISSUER),
        PublicKey(make_tokens.OTHER_KEY_ID, make_tokens.OTHER_PUBLIC, make_tokens.OTHER_ISSUER),
    ),
)

# What a browser may lack: nothing, Ed25519 in crypto.subtle, or crypto.subtle itself.
FULL = ""
NO_ED25519 = "SubtleCrypto.prototype.importKey = async () => { throw new DOMException('', 'NotSupportedError'); };"
NO_SUBTLE = "Object.defineProperty(Crypto.prototype, 'subtle', { value: undefined });"


def make_card(code: str, index: int) -> PackedCard:
    token = replace(make_tokens.CARD, index=index)
    text = sign(token, make_tokens.ISSUER, make_tokens.KEY)
    return PackedCard(code, "", "", "valid", text, token.issued_on, members=())


CARDS = [make_card(code, index) for index, code in enumerate(new_codes("DKR-VAC", 40))]
CARD = CARDS[0]
LATER = make_card("DKR-VAC-00000000", index=40)


def open_page(browser: Browser, index: Path, lacking: str, now: datetime = TODAY) -> Page:
    context = browser.new_context(viewport={"width": 360, "height": 740}, offline=True, locale="fr-SN")
    page = context.new_page()
    page.set_default_timeout(15_000)
    page.clock.set_fixed_time(now)
    page.add_init_script(lacking)
    page.troubles = []
    page.on("pageerror", lambda error: page.troubles.append(str(error)))
    page.on("console", lambda message: message.type == "error" and page.troubles.append(message.text))
    page.on("request", lambda r: r.url.startswith("http") and page.troubles.append(r.url))
    page.goto(index.as_uri())
    return page


def photograph(page: Page, tmp_path: Path, text: str) -> None:
    """Give the page a photo of a card with this QR: turned a little, among other things, as a JPEG."""
    qr = qrcode.QRCode(error_correction=qrcode.ERROR_CORRECT_Q, box_size=8)
    qr.add_data(text)
    card = Image.new("RGB", (1100, 800), "#dfe8e2")
    card.paste(qr.make_image().get_image().convert("RGB"), (300, 150))
    photo = Image.new("RGB", (2000, 1500), "#6b5d4f")
    photo.paste(card.rotate(7, expand=True, fillcolor="#6b5d4f", resample=Image.Resampling.BICUBIC), (350, 280))
    photo.save(tmp_path / "photo.jpg", quality=80)
    page.set_input_files("#photo", tmp_path / "photo.jpg")


def type_code(page: Page, text: str) -> None:
    page.fill("#code", text)
    page.press("#code", "Enter")


def expect_answer(page: Page, tone: str, *words: str) -> None:
    answer = page.locator("#answer")
    expect(answer).to_have_class(tone)
    for text in words:
        expect(answer).to_contain_text(text)
    expect(answer.locator("use")).to_have_attribute("href", f"#icon-{tone}")
    assert page.troubles == []
