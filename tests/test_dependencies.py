"""No library is older than the version that mended its known holes, and what is installed is what was asked for."""

import re
import tomllib
from importlib.metadata import requires, version

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from app.settings import ROOT

# Package -> (the first version without the hole, which hole).
FLOORS = {
    "flask": ("3.1.3", "CVE-2026-27205: a cached answer that varies by cookie"),
    "werkzeug": ("3.1.6", "CVE-2026-27199: safe_join and the names of devices"),
    "jinja2": ("3.1.6", "CVE-2025-27516: out of the sandbox by |attr"),
    "xhtml2pdf": ("0.2.28", "reading local files and fetching addresses out of a document; policies for resources"),
    "reportlab": ("3.6.13", "CVE-2023-33733: code in the expression of a colour"),
    "pillow": ("12.3.0", "CVE-2026-55379 and others: writing out of bounds, gzip bombs"),
    "pyjwt": ("2.13.0", "CVE-2026-48522: a public key taken for a shared secret"),
    "cryptography": ("50.0.0", "CVE-2026-69247: an oracle in PKCS7; OpenSSL in the wheels"),
    "gunicorn": ("23.0.0", "CVE-2024-6827: requests hidden in requests"),
    "pypdf": ("6.16.1", "CVE-2026-84311 and others: documents that never end"),
    "svglib": ("0.9.4", "CVE-2020-10799: external entities"),
    "sqlalchemy": ("1.2.18", "CVE-2019-7164: SQL in order_by"),
    "redis": ("4.5.4", "CVE-2023-28859: answers given to another request"),
}
OWN = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
PINNED = re.compile(r"^([\w.-]+)(?:\[[\w,]+\])?==(\S+)", re.MULTILINE)


def asked_for() -> dict[str, Requirement]:
    """Return what pyproject.toml asks for, everywhere."""
    extras = OWN["optional-dependencies"]
    lines = [*OWN["dependencies"], *extras["scale"], *extras["dev"]]
    return {requirement.name: requirement for requirement in map(Requirement, lines)}


def pinned(name: str) -> dict[str, str]:
    return {package.lower(): pin for package, pin in PINNED.findall((ROOT / name).read_text("utf-8"))}


def test_it_works() -> None:
    assert Version(version("flask")) >= Version("3.1.3")


@pytest.mark.parametrize("package", FLOORS)
def test_no_known_hole_is_installed(package: str) -> None:
    floor, hole = FLOORS[package]

    assert Version(version(package)) >= Version(floor), f"{package} before {floor}: {hole}"


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-dev.txt", "requirements-scale.txt"])
def test_no_known_hole_is_pinned(file: str) -> None:
    pins = pinned(file)

    for package, (floor, hole) in FLOORS.items():
        assert package not in pins or Version(pins[package]) >= Version(floor), f"{file}: {package}: {hole}"


@pytest.mark.parametrize("package", sorted(asked_for()))
def test_what_is_installed_is_what_was_asked_for(package: str) -> None:
    wanted = asked_for()[package]
    if package == OWN["name"]:
        assert wanted.extras <= set(OWN["optional-dependencies"])
        return

    assert wanted.specifier.contains(version(package), prereleases=True)


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-dev.txt", "requirements-scale.txt"])
def test_every_pin_has_its_fingerprints(file: str) -> None:
    text = (ROOT / file).read_text("utf-8")
    starts = [found.start() for found in PINNED.finditer(text)]

    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        assert "--hash=sha256:" in text[start:end], text[start : start + 60]


def test_documents_are_drawn_with_the_library_that_is_watched() -> None:
    """Were reportlab gone from what xhtml2pdf needs, its floor above would say nothing."""
    assert any(Requirement(line).name == "reportlab" for line in requires("xhtml2pdf") or ())
