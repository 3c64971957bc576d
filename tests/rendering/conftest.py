"""A plain card design, a job and its cards, as the rendering tests need them."""

from dataclasses import replace
from datetime import UTC, date, datetime
from hashlib import sha512

import pytest

from app.rendering import design as designs
from app.rendering.facts import CardFacts, JobFacts

HEAD = '<div class="band"></div><div class="campaign">{{ campaign_name }}</div>'
FRONT = (
    HEAD + '<div class="last">{{ last_name }}</div><div class="first">{{ first_name }}</div>'
    '{{#zone}}<div class="zone">{{ label.zone }} {{ zone }}</div>{{/zone}}'
    '<div class="code">{{ code }}</div><div class="qr"><img src="{{ qr }}"></div>'
)
BACK = HEAD + '<div class="zone">{{ label.plain_hint }} {{ verify_address }}</div>'
CSS = """
div { position: absolute; font-family: Card; }
.band { left: 0mm; top: 0mm; width: 85.6mm; height: 53.98mm; background-color: #eef4f4; }
.campaign { left: 3mm; top: 2mm; width: 79mm; height: 5mm; font-size: 10pt; font-weight: bold; color: #006272; }
.last { left: 3mm; top: 12mm; width: 50mm; height: 5mm; font-size: 11pt; font-weight: bold; }
.first { left: 3mm; top: 18mm; width: 50mm; height: 5mm; font-size: 11pt; }
.zone { left: 3mm; top: 26mm; width: 50mm; height: 10mm; font-size: 7pt; }
.code { left: 3mm; top: 42mm; width: 50mm; height: 6mm; font-size: 12pt; }
.qr, .qr img { width: 21mm; height: 21mm; } .qr { left: 60mm; top: 15mm; }
"""
SETTINGS = """
name = "plain"
size_mm = [85.60, 53.98]
accent = "#006272"
title = { fr = "Simple", en = "Plain", wo = "Yomb" }
description = { fr = "Pour les essais", en = "For tests", wo = "Ngir jéem" }
[fields]
front = ["last_name", "first_name", "zone", "code", "qr"]
back = ["verify_address"]
[labels.fr]
zone = "Zone"
plain_hint = "Carte trouvée ?"
[labels.en]
zone = "Area"
"""


@pytest.fixture
def design_files():
    """Return the files of the plain design, to be changed before they are read."""
    return {
        "card.html": FRONT.encode(),
        "back.html": BACK.encode(),
        "card.css": CSS.encode(),
        "design.toml": SETTINGS.encode(),
    }


@pytest.fixture
def design(design_files):
    return designs.from_files(design_files)


@pytest.fixture
def make_job():
    """Return a function that makes a job of the vaccination campaign, with what a test wants different."""
    job = JobFacts(
        job_id="job_1",
        campaign_id="camp_1",
        campaign_name="Vaccination Dakar",
        campaign_type="vaccination",
        prefix="DKR-VAC",
        programme="District de Dakar",
        language="fr",
        dpi=300,
        sheet=None,
        generated_at=datetime(2026, 3, 9, 10, 30, 42, tzinfo=UTC),
        verify_address="https://cards.example.org/verify",
    )
    return lambda **changes: replace(job, **changes)


@pytest.fixture
def make_card():
    """Return a function that makes the card with a number; each has an address of its own."""

    def make(number: int = 1, **changes) -> CardFacts:
        token = (sha512(str(number).encode()).hexdigest().upper())[:127]
        card = CardFacts(
            code=f"DKR-VAC-{number:08d}",
            first_name="Aïssatou Ñaŋ",
            last_name="Ndiëp",
            beneficiary_id=f"IND-{number}",
            address=f"HTTPS://CARDS.EXAMPLE.ORG/V/{token}",
            issued_on=date(2026, 3, 9),
        )
        return replace(card, **changes)

    return make


@pytest.fixture
def no_stop():
    """Return the checkpoint of a worker that nobody stops."""
    return lambda: None
