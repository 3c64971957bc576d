"""The offline portal as a file: what is in it, what is not, and that it depends on nothing but the job."""

import base64
import hashlib
import io
import json
import re
import time
import zipfile
from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import pairwise

import pytest

from app.rendering.facts import JobFacts
from app.rendering.package import PackedCard
from app.rendering.portal import LANGUAGES, SCRIPTS, SOURCES, write_portal

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
    generated_at=datetime(2026, 3, 12, 8, 0, tzinfo=UTC),
    verify_address="https://cards.example.sn/verify",
)


def card(index: int, campaign: int = 7) -> PackedCard:
    payload = bytes([0x11, 1, 2]) + campaign.to_bytes(4, "big") + index.to_bytes(4, "big") + bytes([8, 0, 0, 0])
    signature = hashlib.sha512(payload).digest()
    return PackedCard(
        code=f"DKR-VAC-{index:08d}",
        beneficiary_id="PERSON-0042",
        mpi_id="SN-DKR-26-9XQ7LM2A",
        state="valid",
        token=base64.b32encode(payload + signature).decode().rstrip("="),
        issued_on=date(2026, 3, 12),
        members=(),
    )


def portal(cards: list[PackedCard], job: JobFacts = JOB) -> bytes:
    out = io.BytesIO()
    write_portal(job, iter(cards), out)
    return out.getvalue()


def read(archive: bytes, name: str) -> str:
    return zipfile.ZipFile(io.BytesIO(archive)).read(f"verification-portal/{name}").decode()


def facts_in(archive: bytes) -> dict:
    return json.loads(re.search(r'id="facts">(.*?)</script>', read(archive, "index.html"), re.DOTALL)[1])


def test_it_works() -> None:
    archive = zipfile.ZipFile(io.BytesIO(portal([card(0), card(1)])))

    assert archive.testzip() is None
    assert set(archive.namelist()) == {
        "verification-portal/index.html",
        "verification-portal/registry.json",
        "verification-portal/manifest.json",
        "verification-portal/assets/app.js",
        "verification-portal/assets/styles.css",
    }


def test_the_registry_has_its_documented_shape() -> None:
    registry = json.loads(read(portal([card(0), replace(card(1), issued_on=date(2026, 3, 11))]), "registry.json"))

    assert list(registry) == ["campaign", "generated_at", "total_cards", "entries"]
    assert registry["campaign"] == "DKR-VAC"
    assert registry["generated_at"] == "2026-03-12T08:00:00Z"
    assert registry["total_cards"] == 2
    assert registry["entries"] == {
        hashlib.sha256(card(0).token.encode()).hexdigest(): {"status": "valid", "issued_at": "2026-03-12"},
        hashlib.sha256(card(1).token.encode()).hexdigest(): {"status": "valid", "issued_at": "2026-03-11"},
    }


def test_a_void_card_is_not_on_the_list() -> None:
    archive = portal([card(0), replace(card(1), state="void"), card(2)])

    assert json.loads(read(archive, "registry.json"))["total_cards"] == 2
    assert hashlib.sha256(card(1).token.encode()).hexdigest() not in read(archive, "registry.json")
    assert facts_in(archive)["total_cards"] == 2


def test_a_portal_without_cards_is_a_portal() -> None:
    archive = portal([])

    assert json.loads(read(archive, "registry.json"))["entries"] == {}
    assert facts_in(archive)["typed"]["count"] == 0


def test_the_same_cards_give_the_same_bytes_in_any_order() -> None:
    cards = [card(index) for index in range(50)]

    assert portal(cards) == portal(cards[::-1])
    assert portal(cards) != portal(cards[1:])


def test_no_person_no_code_and_no_token_is_in_any_file() -> None:
    archive = portal([card(0), card(1)])

    for name in zipfile.ZipFile(io.BytesIO(archive)).namelist():
        text = zipfile.ZipFile(io.BytesIO(archive)).read(name).decode()
        for secret in ("PERSON-0042", "SN-DKR-26", card(0).code, card(0).token):
            assert secret not in text, name


def test_a_campaign_is_named_by_its_prefix_only() -> None:
    archive = portal([card(0)], replace(JOB, sensitive=True, campaign_type="hiv", campaign_name="ARV Fann"))

    for name in ("index.html", "registry.json", "manifest.json"):
        assert "ARV Fann" not in read(archive, name)
        assert '"hiv"' not in read(archive, name)
        assert "Programme élargi" not in read(archive, name)


def test_the_list_inside_the_page_is_that_of_the_registry() -> None:
    archive = portal([card(index) for index in range(30)])
    listed = base64.b64decode(facts_in(archive)["listed"])

    assert [listed[at : at + 8].hex() for at in range(0, len(listed), 8)] == [
        entry[:16] for entry in json.loads(read(archive, "registry.json"))["entries"]
    ]


def test_typed_codes_are_held_as_short_salted_hashes() -> None:
    cards = [card(index) for index in range(1_000)]
    typed = facts_in(portal(cards))["typed"]

    assert typed["bits"] == 10 + 12
    hashes = rice_decoded(base64.b64decode(typed["hashes"]), typed["count"])
    assert hashes == sorted({short_hash(each.code, typed) for each in cards})


def test_a_code_that_is_not_listed_passes_once_in_four_thousand() -> None:
    typed = facts_in(portal([card(index) for index in range(1_024)]))["typed"]
    hashes = set(rice_decoded(base64.b64decode(typed["hashes"]), typed["count"]))

    passed = sum(short_hash(f"DKR-VAC-{index:08d}", typed) in hashes for index in range(100_000, 200_000))

    assert 5 <= passed <= 60  # 24 expected; the salt is the job's, so the number is always the same


def test_another_job_has_another_salt() -> None:
    assert facts_in(portal([card(0)]))["typed"] != facts_in(portal([card(0)], replace(JOB, job_id="job_2")))["typed"]


def test_the_page_needs_nothing_from_outside() -> None:
    page = read(portal([card(0)]), "index.html")
    markup = re.sub(r"<script.*?</script>|<style>.*?</style>", "", page, flags=re.DOTALL)

    assert not re.search(r"""(src|href)=["'](?!#|data:,)""", markup)
    assert "default-src 'none'" in markup
    assert not re.search(r"@import|url\(", read(portal([card(0)]), "assets/styles.css"))
    for script in SCRIPTS:
        assert not re.search(r"\bfetch\(|XMLHttpRequest|\bimport\(|new Worker|WebSocket", script.read_text("utf-8"))


def test_the_policy_names_every_script_and_style_by_its_hash() -> None:
    page = read(portal([card(0)]), "index.html")
    inside = re.findall(r"<(?:script|style)>(.*?)</(?:script|style)>", page, re.DOTALL)

    assert len(inside) == len(SCRIPTS) + 1
    for text in inside:
        assert base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() in page.partition("<style>")[0]


def test_nothing_in_the_facts_can_end_their_element() -> None:
    page = read(portal([card(0)], replace(JOB, verify_address="https://x/</script><b>")), "index.html")

    assert "</script><b>" not in page


def test_the_page_is_light_before_its_list() -> None:
    assert len(read(portal([]), "index.html").encode()) < 400_000


def test_the_manifest_lists_every_other_file_with_its_hash() -> None:
    archive = portal([card(0)])
    manifest = json.loads(read(archive, "manifest.json"))

    assert manifest["campaign"] == {"prefix": "DKR-VAC", "language": "fr"}
    assert {file["name"]: file["sha256"] for file in manifest["files"]} == {
        name: hashlib.sha256(read(archive, name).encode()).hexdigest()
        for name in ("index.html", "registry.json", "assets/app.js", "assets/styles.css")
    }


def test_every_language_says_everything() -> None:
    words = json.loads((SOURCES / "words.json").read_text("utf-8"))
    used = set(re.findall(r'data-say="(\w+)"', (SOURCES / "index.html").read_text("utf-8")))

    assert set(words) == set(LANGUAGES)
    assert words["fr"].keys() == words["en"].keys() == words["wo"].keys()
    assert used <= words["fr"].keys()
    for name in words["fr"]:
        blanks = {frozenset(re.findall(r"\{\w+\}", words[language][name])) for language in LANGUAGES}
        assert len(blanks) == 1, name
        assert all(words[language][name] for language in LANGUAGES)


def test_an_unknown_language_becomes_french() -> None:
    assert facts_in(portal([card(0)], replace(JOB, language="pt")))["language"] == "fr"


@pytest.mark.parametrize("tone", ["valid", "false", "unknown", "known", "note"])
def test_an_answer_has_a_contrast_of_seven(tone: str) -> None:
    styles = (SOURCES / "styles.css").read_text("utf-8")
    ground = re.search(rf"--{tone}: (#\w{{6}});", styles)[1]
    ink = re.search(rf"--{tone}-ink: (#\w{{6}});", styles)[1]

    light, dark = sorted((luminance(ground), luminance(ink)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 7


def test_a_hundred_thousand_cards_take_seconds() -> None:
    cards = [card(index) for index in range(100_000)]
    began = time.perf_counter()

    archive = portal(cards)

    assert time.perf_counter() - began < 30
    assert len(read(archive, "index.html")) < 2_000_000


def short_hash(code: str, typed: dict) -> int:
    digest = hashlib.sha256(bytes.fromhex(typed["salt"]) + code.encode()).digest()
    return int.from_bytes(digest, "big") >> (256 - typed["bits"])


def rice_decoded(raw: bytes, count: int) -> list[int]:
    """Read the hashes as docs/token-format.md says, on bits as text."""
    bits = "".join(f"{byte:08b}" for byte in raw)
    hashes, at = [-1], 0
    for _ in range(count):
        end = bits.index("0", at)
        gap = (end - at << 12) + int(bits[end + 1 : end + 13], 2)
        hashes.append(hashes[-1] + gap + 1)
        at = end + 13
    assert all(before < after for before, after in pairwise(hashes))
    return hashes[1:]


def luminance(colour: str) -> float:
    """Return the relative luminance of WCAG 2.2."""
    channels = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
