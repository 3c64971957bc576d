"""Designs: which cards a campaign may wear, and the version a job freezes."""

import base64
import uuid
from functools import lru_cache

from sqlalchemy import select

from app.database import added_first, db
from app.models import Campaign, DesignVersion
from app.rendering import design as bundles
from app.rendering.design import BUILT_IN, Design

KEPT_IN_MEMORY = 8


def known(name: str) -> bool:
    """Return whether campaigns may wear the design `name`."""
    return name in BUILT_IN


def gallery() -> list[Design]:
    """Return the built-in designs, one for each type of campaign."""
    return [bundles.built_in(name) for name in BUILT_IN]


def worn_by(campaign: Campaign) -> Design:
    """Return the design as it is today, for previews."""
    return bundles.built_in(campaign.template_id)


def frozen(campaign: Campaign) -> DesignVersion:
    """Return today's version of the campaign's design, kept for good inside the open transaction."""
    design = worn_by(campaign)
    mine = (DesignVersion.organisation_id == campaign.organisation_id, DesignVersion.sha256 == design.sha256)
    wanted = select(DesignVersion).where(*mine)
    if kept := db.session.scalar(wanted):
        return kept
    files = {name: base64.b64encode(content).decode() for name, content in design.files.items()}
    version = DesignVersion(
        organisation_id=campaign.organisation_id, name=design.name, sha256=design.sha256, files=files
    )
    return version if added_first(version) else db.session.scalar(wanted)


def of_job(design_id: uuid.UUID) -> Design:
    """Return the design that a job froze; it stays in memory while its job is drawn."""
    return _thawed(design_id)


@lru_cache(maxsize=KEPT_IN_MEMORY)
def _thawed(design_id: uuid.UUID) -> Design:
    version = db.session.get(DesignVersion, design_id)
    return bundles.from_files({name: base64.b64decode(content) for name, content in version.files.items()})
