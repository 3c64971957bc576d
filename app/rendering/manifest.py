"""manifest.json: what a job made, card by card, with the SHA-256 of each file."""

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from app.rendering.design import Design
from app.rendering.facts import JobFacts

if TYPE_CHECKING:
    from app.rendering.package import PackedCard


def write(job: JobFacts, design: Design, cards: Iterable["PackedCard"], artifacts: Mapping[str, str]) -> bytes:
    """Return the manifest as JSON; `artifacts` gives the SHA-256 of pdf, zip and portal."""
    listed = [_card(card) for card in cards]
    manifest = {
        "campaign": {
            "id": job.campaign_id,
            "name": job.campaign_name,
            "campaign_type": job.campaign_type,
            "prefix": job.prefix,
            "language": job.language,
        },
        "job": {
            "id": job.job_id,
            "dpi": job.dpi,
            "sheet": job.sheet,
            "generated_at": f"{job.generated_at:%Y-%m-%dT%H:%M:%SZ}",
            "total_cards": len(listed),
            "cards_generated": sum(card["state"] == "valid" for card in listed),
        },
        "design": {"name": design.name, "sha256": design.sha256},
        "cards": listed,
        "artifacts": dict(artifacts),
    }
    return json.dumps(manifest, ensure_ascii=False, indent=1).encode() + b"\n"


def _card(card: "PackedCard") -> dict[str, Any]:
    return {
        "code": card.code,
        "beneficiary_id": card.beneficiary_id,
        "mpi_id": card.mpi_id,
        "state": card.state,
        "files": [{"name": member.name, "sha256": member.sha256} for member in card.members],
    }
