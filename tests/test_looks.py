"""The portal's looks: light enough for a slow line, and without anything that the content security policy forbids."""

import gzip
import hashlib
import re
import tomllib
from pathlib import Path

import pytest
from jinja2 import Environment

ROOT = Path(__file__).parent.parent
STATIC = ROOT / "static"
PAGES = [path for path in sorted((ROOT / "templates").rglob("*.html")) if "cards" not in path.relative_to(ROOT).parts]
FORBIDDEN = {
    "a style of its own": r"\sstyle\s*=",
    "a style block": r"<style\b",
    "a script of its own": r"<script(?![^>]*\ssrc=)",
    "a handler": r"\son[a-z]+\s*=",
    "an hx-on handler": r"hx-on",
    "an address elsewhere": r"(?:src|href|action)\s*=\s*[\"'](?:https?:)?//",
    "unescaped words": r"\|\s*safe\b",
}


def _weight(*names: str) -> int:
    return sum(len(gzip.compress((STATIC / name).read_bytes())) for name in names)


def _rule(css: str, start: str) -> str:
    return css[css.index(start) :].split("}")[0]


def _contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours as WCAG 2.2 defines it."""
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    digits = colour.removeprefix("#")
    pairs = [digit * 2 for digit in digits] if len(digits) == 3 else [digits[i : i + 2] for i in (0, 2, 4)]
    shares = [int(pair, 16) / 255 for pair in pairs]
    red, green, blue = (share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_it_works() -> None:
    assert PAGES
    assert _weight("css/base.css") > 1_000


def test_the_style_sheets_are_light() -> None:
    assert _weight("css/base.css", "css/portal.css") <= 9_000


def test_all_scripts_of_a_portal_page_are_light() -> None:
    assert len((STATIC / "js/app.js").read_bytes()) <= 5_000
    assert _weight("js/app.js", "vendor/htmx.min.js", "vendor/htmx-ext-sse.min.js") <= 25_000


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT / "templates")))
def test_a_template_keeps_to_the_policy(page: Path) -> None:
    markup = re.sub(r"\{#.*?#\}", "", page.read_text("utf-8"), flags=re.DOTALL)

    assert [what for what, pattern in FORBIDDEN.items() if re.search(pattern, markup)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT / "templates")))
def test_a_template_can_be_read(page: Path) -> None:
    Environment(autoescape=True, extensions=["jinja2.ext.i18n"]).parse(page.read_text("utf-8"))


@pytest.mark.parametrize("look", ["", "-valid", "-stop", "-care"])
def test_the_answer_of_a_verification_can_be_read_in_the_sun(look: str) -> None:
    css = (STATIC / "css/base.css").read_text()
    colours = dict(re.findall(r"--(answer|answer-ink): (#\w+)", _rule(css, ".answer { --answer")))
    colours |= dict(re.findall(r"--(answer|answer-ink): (#\w+)", _rule(css, f".answer{look} {{ --answer")))

    assert _contrast(colours["answer"], colours["answer-ink"]) >= 7


def test_every_part_says_what_it_takes() -> None:
    silent = [path.name for path in PAGES if path.parent.name == "parts" and not path.read_text().startswith("{#")]

    assert silent == []


def test_the_tests_own_scripts_are_the_ones_recorded() -> None:
    vendor = ROOT / "tests" / "vendor"
    records = tomllib.loads((vendor / "VENDOR.toml").read_text("utf-8"))["file"]

    for record in records:
        assert hashlib.sha256((vendor / record["name"]).read_bytes()).hexdigest() == record["sha256"]
        assert all((vendor / text).is_file() for text in record["licence_texts"])
    assert {record["name"] for record in records} == {file.name for file in vendor.glob("*.js")}
