"""An organisation's own settings: its name, where it works, its time and language, and its logo."""

import re
from dataclasses import dataclass
from functools import cache
from zoneinfo import available_timezones

from phonenumbers import SUPPORTED_REGIONS
from sqlalchemy import select

from app.database import db, one_transaction
from app.domain import audit, logos
from app.domain.access import Actor, require
from app.domain.campaigns import LANGUAGES
from app.domain.errors import Invalid, NotFound
from app.models import Organisation
from app.sentences import Sentence, say

NAME_LENGTH = (2, 200)
REGION = re.compile("[A-Z]{3}")


@dataclass(frozen=True)
class OrganisationSettings:
    """What an administrator may change; `country` is ISO 3166 alpha-2, `time_zone` a name of the tz database."""

    name: str
    country: str
    region: str
    time_zone: str
    language: str


@one_transaction
def save_settings(wanted: OrganisationSettings, *, by: Actor) -> None:
    """Keep the organisation's settings. Raises Invalid with a sentence for each field."""
    require(by, "change settings")
    problems = _problems(wanted, by)
    if problems:
        raise Invalid(problems)
    organisation = db.session.get(Organisation, by.organisation_id)
    organisation.name = one_line(wanted.name)
    organisation.country, organisation.region = wanted.country, wanted.region.strip().upper()
    organisation.time_zone, organisation.language = wanted.time_zone, wanted.language
    audit.note(
        by,
        "organisation.settings_saved",
        "organisation",
        organisation.id,
        country=organisation.country,
        region=organisation.region,
        time_zone=organisation.time_zone,
        language=organisation.language,
    )


def save_logo(content: bytes, *, by: Actor) -> None:
    """Keep the picture as the organisation's logo. Raises Invalid when it cannot be one."""
    require(by, "change settings")
    _keep_logo(logos.as_png(content), by)


def remove_logo(*, by: Actor) -> None:
    """Go without a logo from now on; cards that were made keep theirs."""
    require(by, "change settings")
    _keep_logo(None, by)


def logo(by: Actor) -> bytes | None:
    """Return the organisation's logo, a PNG; None when it has none."""
    return db.session.scalar(select(Organisation.logo).where(Organisation.id == by.organisation_id))


def has_logo(by: Actor) -> bool:
    """Return whether the organisation has a logo, without reading it."""
    mine = (Organisation.id == by.organisation_id, Organisation.logo.is_not(None))
    return db.session.scalar(select(Organisation.id).where(*mine)) is not None


@cache
def time_zones() -> tuple[str, ...]:
    """Return the names of the time zones in which people live, in alphabetical order."""
    return tuple(sorted(zone for zone in available_timezones() if "/" in zone and not zone.startswith("Etc/")))


@cache
def countries() -> tuple[str, ...]:
    """Return the codes of the countries that have phone numbers (ISO 3166 alpha-2, and XK for Kosovo)."""
    return tuple(sorted(SUPPORTED_REGIONS))


def by_name(name: str) -> Organisation:
    """Return the organisation of this name. Raises NotFound with a sentence when there is none."""
    found = db.session.scalar(select(Organisation).where(Organisation.name == name))
    if found is None:
        raise NotFound(say("There is no organisation named %(name)s.", name=name))
    return found


def checked_name(name: str) -> str:
    """Return the organisation's name as it is kept. Raises Invalid when it is too short or too long."""
    plain = one_line(name)
    least, most = NAME_LENGTH
    if not least <= len(plain) <= most:
        raise Invalid({"name": say("Give a name of %(least)s to %(most)s characters.", least=least, most=most)})
    return plain


def one_line(text: str) -> str:
    """Return the text with single spaces and without control characters or marks that turn the writing round."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _problems(wanted: OrganisationSettings, by: Actor) -> dict[str, Sentence]:
    problems: dict[str, Sentence] = {}
    try:
        name = checked_name(wanted.name)
    except Invalid as refusal:
        problems |= refusal.fields
    else:
        others = (Organisation.name == name, Organisation.id != by.organisation_id)
        if db.session.scalar(select(Organisation.id).where(*others)):
            problems["name"] = say("Another organisation has this name. Choose another.")
    if wanted.country not in countries():
        problems["country"] = say("Choose a country of the list.")
    if not REGION.fullmatch(wanted.region.strip().upper()):
        problems["region"] = say("Write three letters, such as DKR.")
    if wanted.time_zone not in time_zones():
        problems["time_zone"] = say("Choose a time zone of the list.")
    if wanted.language not in LANGUAGES:
        problems["language"] = say("Choose one of the languages.")
    return problems


@one_transaction
def _keep_logo(png: bytes | None, by: Actor) -> None:
    organisation = db.session.get(Organisation, by.organisation_id)
    organisation.logo = png
    action = "organisation.logo_saved" if png else "organisation.logo_removed"
    audit.note(by, action, "organisation", organisation.id, bytes=len(png or b""))
