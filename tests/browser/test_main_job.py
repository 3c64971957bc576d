"""The whole main job in a browser: sign in, open a campaign, bring in a list, make cards, take the files, verify."""

import csv
import hashlib
import io
import json
import os
import zipfile
from pathlib import Path

import pypdfium2
import pytest
import zxingcpp
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.conftest import Portal

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

AXE = Path(__file__).parent.parent / "vendor" / "axe.min.js"
GOOD = 7
WAYS = {
    "on a laptop": {"viewport": {"width": 1280, "height": 900}},
    "on a phone": {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True},
    "without JavaScript": {"viewport": {"width": 1280, "height": 900}, "java_script_enabled": False},
}


@pytest.mark.parametrize("way", WAYS)
def test_from_a_spreadsheet_to_verified_cards(browser: Browser, portal: Portal, tmp_path: Path, way: str):
    number = list(WAYS).index(way)
    context = browser.new_context(locale="en-GB", accept_downloads=True, **WAYS[way])
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))

    sign_in(page, portal)
    open_campaign(page, portal, f"Measles {number}", f"POD-M{number}")
    bring_in(page, a_list(tmp_path / "liste.csv", f"M{number}"))
    make_cards(page)
    files = take_files(page, tmp_path)
    check_files(files)
    verify(browser, portal, json.loads(files["manifest"].read_text())["cards"][0]["code"])

    assert errors == []
    context.close()


def test_pages_are_accessible_at_both_widths(browser: Browser, portal: Portal):
    """axe finds nothing on the pages of the main job, and none of them is wider than its window."""
    for size in (WAYS["on a laptop"], WAYS["on a phone"]):
        context = browser.new_context(locale="fr-FR", bypass_csp=True, **size)
        page = context.new_page()
        found = {"signin": axe(page, f"{portal.address}/signin"), "verify": axe(page, f"{portal.address}/verify")}
        sign_in(page, portal)
        for path in ("/app/", "/app/campaigns", "/app/campaigns/new", "/app/usage", "/app/team", "/app/settings"):
            found[path] = axe(page, portal.address + path)
        assert {path: problems for path, problems in found.items() if problems} == {}
        context.close()


def sign_in(page: Page, portal: Portal) -> None:
    page.goto(f"{portal.address}/signin")
    page.get_by_label("mail").fill(portal.email)
    page.locator("[name=password]").fill(portal.password)
    page.locator("[name=password]").press("Enter")
    page.wait_for_url("**/app/**")


def open_campaign(page: Page, portal: Portal, name: str, prefix: str) -> None:
    page.goto(f"{portal.address}/app/campaigns/new")
    page.locator("[name=name]").fill(name)
    page.locator("[name=campaign_type]").select_option("vaccination")
    page.locator("[name=prefix]").fill(prefix.lower())
    page.get_by_role("button", name="Save and continue").click()
    page.get_by_label("French").check()
    page.get_by_role("button", name="Save and continue").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("look like")
    page.get_by_role("button", name="Save and continue").click()
    page.get_by_role("button", name="Save and continue").click()
    expect(page.get_by_text(f"{prefix}-9XQ7LM2G")).to_be_visible()
    page.get_by_role("button", name="Create the campaign").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(name)


def a_list(path: Path, start: str) -> Path:
    """Write what a French Excel exports: semicolons, Windows-1252, and two rows that cannot be used."""
    rows = [["Prénom(s)", "Nom", "N° bénéficiaire", "Né(e) le", "Tél"]]
    rows += [[f"Aïssatou {n}", "Guèye", f"{start}-{n:03d}", "15/03/2020", f"77 123 45 {n:02d}"] for n in range(GOOD)]
    rows += [["", "Sow", f"{start}-100", "", ""], ["Moussa", "Bâ", f"{start}-101", "31/02/2020", ""]]
    with path.open("w", encoding="cp1252", newline="") as out:
        csv.writer(out, delimiter=";").writerows(rows)
    return path


def bring_in(page: Page, listed: Path) -> None:
    page.get_by_role("link", name="Bring in", exact=False).first.click()
    page.locator("input[type=file]").set_input_files(listed)
    page.get_by_role("button", name="Read the file").click()
    reach(page, "button", f"Add {GOOD} people")
    expect(page.get_by_text("The first name is missing.").first).to_be_visible()
    expect(page.get_by_text("This day does not exist in the calendar.").first).to_be_visible()
    page.get_by_role("button", name=f"Add {GOOD} people").click()
    reach(page, "link", "Make their cards")


def make_cards(page: Page) -> None:
    page.get_by_role("link", name="Make their cards").first.click()
    page.get_by_role("button", name=f"Make {GOOD} cards").click()
    page.wait_for_url("**/app/jobs/**")
    reach(page, "text", f"{GOOD} cards are ready")


def reach(page: Page, kind: str, words: str, tries: int = 40) -> None:
    """Wait for something that workers bring about; without JavaScript by loading the page again, as its link says."""
    wanted = page.get_by_text(words) if kind == "text" else page.get_by_role(kind, name=words)
    for _ in range(tries):
        try:
            wanted.first.wait_for(timeout=3_000)
            return
        except Exception:
            if "without" in os.environ.get("PYTEST_CURRENT_TEST", ""):
                page.reload()
    raise AssertionError(f"{words!r} did not come; the page says: {page.inner_text('main')[:2000]}")


def take_files(page: Page, folder: Path) -> dict[str, Path]:
    files = {}
    for kind in ("pdf", "zip", "portal", "manifest"):
        with page.expect_download() as coming:
            page.locator(f"a[href*='/files/{kind}']").first.click()
        files[kind] = folder / coming.value.suggested_filename
        coming.value.save_as(files[kind])
    return files


def check_files(files: dict[str, Path]) -> None:
    """Read the files with other people's tools; they must agree with the manifest and each other."""
    manifest = json.loads(files["manifest"].read_text())
    for kind in ("pdf", "zip", "portal"):
        assert hashlib.sha256(files[kind].read_bytes()).hexdigest() == manifest["artifacts"][kind]
    assert len(manifest["cards"]) == GOOD
    assert len(pypdfium2.PdfDocument(files["pdf"])) == 2 * GOOD
    with zipfile.ZipFile(files["zip"]) as archive:
        assert archive.testzip() is None
        assert len(archive.namelist()) == 2 * GOOD
        for card in manifest["cards"]:
            for member in card["files"]:
                picture = archive.read(member["name"])
                assert hashlib.sha256(picture).hexdigest() == member["sha256"]
                assert Image.open(io.BytesIO(picture)).size == (1011, 638)
            front = Image.open(io.BytesIO(archive.read(f"{card['code']}-front.png")))
            (scanned,) = zxingcpp.read_barcodes(front)
            assert "/V/" in scanned.text
    assert "verification-portal/index.html" in zipfile.ZipFile(files["portal"]).namelist()


def verify(browser: Browser, portal: Portal, code: str) -> None:
    """Type the code as a visitor would: no account, no JavaScript, lower case."""
    context: BrowserContext = browser.new_context(locale="en-GB", java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{portal.address}/verify")
    page.locator("[name=code]").fill(code.lower().replace("-", " "))
    page.locator("[name=code]").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("valid", ignore_case=True)
    assert "Guèye" not in page.content()
    context.close()


def axe(page: Page, address: str) -> list[str]:
    """Return what axe finds wrong on the page, and whether it is wider than its window."""
    page.goto(address)
    page.add_script_tag(path=AXE)
    problems = page.evaluate("axe.run().then(found => found.violations.map(one => one.id + ': ' + one.nodes[0].html))")
    too_wide = page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
    return problems + (["wider than its window"] if too_wide else [])
