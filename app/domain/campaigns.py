"""Campaigns: opening them, naming them, putting them away, and how far their cards are."""

import re
import secrets
import unicodedata
import uuid
from dataclasses import dataclass, replace
from itertools import chain, count

from sqlalchemy import ColumnElement, func, or_, select

from app.database import db, one_transaction, utc_now
from app.domain import access, audit, designs, quotas, repeats
from app.domain.access import Actor, require
from app.domain.codes import is_prefix
from app.domain.errors import Conflict, Invalid, NotFound, QuotaExceeded, Refusal
from app.domain.orders import DPIS
from app.domain.people_checks import unprintable
from app.models import (
    FINISHED,
    SENSITIVE_TYPES,
    Campaign,
    CampaignType,
    CardsStatus,
    Job,
    JobState,
)
from app.sentences import Sentence, say

NAME_LENGTH = (2, 200)
LANGUAGES = ("fr", "en", "wo")
LARGEST_NUMBER = 2**31 - 1
LONGEST_PREFIX = 8
SEVERAL_LINES = re.compile(r"[\t\r\n\u2028\u2029]")


class PrefixTaken(Refusal):
    """Another campaign of the organisation has this prefix."""

    code = "prefix_taken"

    def __init__(self, prefix: str) -> None:
        super().__init__(
            say(
                "The prefix %(prefix)s is already used by a campaign of your organisation. Choose another.",
                prefix=prefix,
            )
        )


@dataclass(frozen=True)
class NewCampaign:
    """What a campaign is made from."""

    name: str
    campaign_type: str
    prefix: str
    language: str
    template_id: str
    description: str | None = None
    dpi: int = 300


@one_transaction
def create(wanted: NewCampaign, *, by: Actor, repeat: repeats.Repeat | None = None) -> Campaign:
    """Return the new campaign, a draft. The same `repeat` again returns the first one.

    Raises Invalid with a sentence a field, PrefixTaken, QuotaExceeded when the organisation can make no card at all.
    """
    if found := repeats.answered(repeat, "campaign", by=by):
        return db.session.get(Campaign, found)
    campaign = open_campaign(wanted, by=by)
    repeats.remember(repeat, "campaign", campaign.id, by=by)
    return campaign


def open_campaign(wanted: NewCampaign, *, by: Actor) -> Campaign:
    """Do what `create` does, inside the open transaction of a verb that does more."""
    require(by, "edit campaigns")
    check(wanted)
    _refuse_taken(by.organisation_id, wanted.prefix)
    if quotas.balance(by.organisation_id) == 0 and not quotas.unlimited(by.organisation_id):
        raise QuotaExceeded(asked=1, left=0)
    campaign = Campaign(
        organisation_id=by.organisation_id,
        number=_draw_number(),
        name=wanted.name.strip(),
        campaign_type=wanted.campaign_type,
        prefix=wanted.prefix,
        language=wanted.language,
        template_id=wanted.template_id,
        description=wanted.description,
        dpi=wanted.dpi,
        sensitive=wanted.campaign_type in SENSITIVE_TYPES,
        created_by=by.user_id,
        updated_at=utc_now(),
    )
    db.session.add(campaign)
    db.session.flush()
    audit.note(by, "campaign.created", "campaign", campaign.id, type=campaign.campaign_type, prefix=campaign.prefix)
    return campaign


def named(organisation_id: uuid.UUID, prefix: str, wanted: NewCampaign, *, by: Actor) -> Campaign:
    """Return the organisation's campaign with this prefix, opened inside the open transaction when there is none.

    Raises Conflict when there is one of another type, since the type of a campaign never changes.
    """
    mine = (Campaign.organisation_id == organisation_id, Campaign.prefix == prefix)
    found = db.session.scalar(select(Campaign).where(*mine))
    if found is None:
        return open_campaign(wanted, by=by)
    if found.campaign_type != wanted.campaign_type:
        raise Conflict(
            say(
                "The prefix %(prefix)s belongs to a campaign of the type %(type)s. Choose another prefix.",
                prefix=prefix,
                type=found.campaign_type,
            )
        )
    check(wanted)
    return found


@one_transaction
def edit(campaign: Campaign, *, name: str, description: str | None, by: Actor) -> None:
    """Give the campaign another name or description; prefix and type never change."""
    require(by, "edit campaigns")
    check(replace(_as_it_is(campaign), name=name, description=description))
    campaign.name, campaign.description, campaign.updated_at = name.strip(), description, utc_now()
    audit.note(by, "campaign.edited", "campaign", campaign.id)


@one_transaction
def choose_design(campaign: Campaign, template_id: str, dpi: int, *, by: Actor) -> None:
    """Let the campaign's next cards wear another design or resolution; cards made already stay as they are."""
    require(by, "edit campaigns")
    check(replace(_as_it_is(campaign), template_id=template_id, dpi=dpi))
    campaign.template_id, campaign.dpi, campaign.updated_at = template_id, dpi, utc_now()
    audit.note(by, "campaign.design_chosen", "campaign", campaign.id, design=template_id, dpi=dpi)


@one_transaction
def duplicate(campaign: Campaign, prefix: str, *, by: Actor, repeat: repeats.Repeat | None = None) -> uuid.UUID:
    """Return the id of a new campaign with the same settings, another prefix, and nobody in it.

    The same `repeat` again returns the first one.
    """
    require(by, "edit campaigns")
    if found := repeats.answered(repeat, "campaign", by=by):
        return found
    wanted = replace(_as_it_is(campaign), prefix=prefix)
    check(wanted)
    _refuse_taken(by.organisation_id, prefix)
    twin = Campaign(
        **vars(wanted),
        organisation_id=campaign.organisation_id,
        number=_draw_number(),
        sensitive=campaign.sensitive,
        created_by=by.user_id,
        updated_at=utc_now(),
    )
    db.session.add(twin)
    db.session.flush()
    audit.note(by, "campaign.duplicated", "campaign", twin.id, source=str(campaign.id))
    repeats.remember(repeat, "campaign", twin.id, by=by)
    return twin.id


@one_transaction
def archive(campaign: Campaign, *, by: Actor) -> None:
    """Put the campaign away: its cards stay valid, its files stay, no new job starts. Twice is once."""
    require(by, "archive campaigns")
    if campaign.archived_at is None:
        campaign.archived_at = campaign.updated_at = utc_now()
        refresh_status(campaign.id)
        audit.note(by, "campaign.archived", "campaign", campaign.id)


@one_transaction
def restore(campaign: Campaign, *, by: Actor) -> None:
    """Bring an archived campaign back. Twice is once."""
    require(by, "archive campaigns")
    if campaign.archived_at is not None:
        campaign.archived_at, campaign.updated_at = None, utc_now()
        refresh_status(campaign.id)
        audit.note(by, "campaign.restored", "campaign", campaign.id)


def check(wanted: NewCampaign) -> None:
    """Raise Invalid with one sentence for each field that cannot be taken, in the order of the form."""
    name = wanted.name.strip()
    problems: dict[str, Sentence] = {}
    if not NAME_LENGTH[0] <= len(name) <= NAME_LENGTH[1]:
        problems["name"] = say("Give the campaign a name of 2 to 200 characters.")
    elif unprintable(name) or SEVERAL_LINES.search(name):
        problems["name"] = say("The name contains a character that cannot be printed. Type it again.")
    if wanted.description and unprintable(wanted.description):
        problems["description"] = say("The description contains a character that cannot be printed. Type it again.")
    if wanted.campaign_type not in set(CampaignType):
        problems["campaign_type"] = say("Choose what the campaign is for.")
    if not is_prefix(wanted.prefix):
        problems["prefix"] = say(
            "A prefix has 3 to 8 capital letters or digits, with single hyphens between them, like DKR-VAC."
        )
    if wanted.language not in LANGUAGES:
        problems["language"] = say("Choose French, English or Wolof.")
    if not designs.known(wanted.template_id):
        problems["template_id"] = say("Choose one of the card designs.")
    if wanted.dpi not in DPIS:
        problems["dpi"] = say("The resolution is 300, 450 or 600 dpi.")
    if problems:
        raise Invalid(problems)


def refuse_archived(campaign: Campaign) -> None:
    """Raise Conflict when the campaign has been put away."""
    if campaign.archived_at is not None:
        raise Conflict(say("This campaign is archived. Restore it before you make cards."))


def refresh_status(campaign_id: uuid.UUID) -> None:
    """Work the campaign's cards_status out again, inside the open transaction."""
    db.session.flush()
    # PostgreSQL: two jobs that end at once take turns here, or each would still see the other alive. The lock is the
    # one of an UPDATE (no key): a stronger one would wait for every transaction that has made a card, in a circle.
    campaign = db.session.get(Campaign, campaign_id, populate_existing=True, with_for_update={"key_share": True})
    mine = select(Job.state).where(Job.campaign_id == campaign_id)
    lives = db.session.scalar(mine.where(Job.state.not_in(FINISHED)).limit(1))
    last = db.session.scalar(mine.order_by(Job.created_at.desc(), Job.id.desc()).limit(1))
    campaign.cards_status = _status(campaign, lives is not None, last)
    db.session.flush()


def _status(campaign: Campaign, job_lives: bool, last_state: str | None) -> str:
    if campaign.archived_at is not None:
        return CardsStatus.archived
    if job_lives:
        return CardsStatus.generating
    if campaign.total_cards:
        return CardsStatus.completed
    return CardsStatus.failed if last_state == JobState.failed else CardsStatus.draft


def find_by_outer(actor: Actor, outer: str, *, to: str) -> Campaign:
    """Return the campaign that an id or a prefix names."""
    try:
        return access.find(Campaign, actor, outer, to=to)
    except NotFound:
        return access.find(Campaign, actor, outer.upper(), to=to, by="prefix")


def search(
    organisation_id: uuid.UUID,
    *,
    status: str | None = None,
    campaign_type: str | None = None,
    words: str = "",
    limit: int = 20,
    offset: int = 0,
) -> tuple[int, list[Campaign]]:
    """Return how many campaigns match, and one page of them, newest first.

    Archived campaigns are left out unless `status` asks for them. `words` look into name and prefix.
    """
    wanted: list[ColumnElement[bool]] = [Campaign.organisation_id == organisation_id]
    if status == CardsStatus.archived:
        wanted.append(Campaign.archived_at.is_not(None))
    else:
        wanted.append(Campaign.archived_at.is_(None))
        if status:
            wanted.append(Campaign.cards_status == status)
    if campaign_type:
        wanted.append(Campaign.campaign_type == campaign_type)
    if words.strip():
        like = f"%{_escaped(words.strip())}%"
        wanted.append(or_(Campaign.name.ilike(like, escape="\\"), Campaign.prefix.ilike(like, escape="\\")))
    total = db.session.scalar(select(func.count()).select_from(Campaign).where(*wanted)) or 0
    newest = select(Campaign).where(*wanted).order_by(Campaign.created_at.desc(), Campaign.id.desc())
    return total, list(db.session.scalars(newest.limit(limit).offset(offset)))


def suggest_prefix(organisation_id: uuid.UUID, name: str) -> str:
    """Return a free prefix made from the name's initials, a proposal that people may change."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().upper()
    words = re.findall(r"[A-Z0-9]+", plain)
    start = ("".join(word[0] for word in words) if len(words) > 2 else "".join(words))[:6] or "CARD"
    start = start.ljust(3, "X")
    taken = set(db.session.scalars(select(Campaign.prefix).where(Campaign.organisation_id == organisation_id)))
    candidates = chain([start], (_numbered(start, number) for number in count(1)))
    return next(prefix for prefix in candidates if prefix not in taken)


def _numbered(start: str, number: int) -> str:
    """Return the prefix with a number at its end, shortened to make room for it."""
    digits = f"{number:02d}"
    return start[: LONGEST_PREFIX - len(digits)] + digits


def _as_it_is(campaign: Campaign) -> NewCampaign:
    return NewCampaign(
        name=campaign.name,
        campaign_type=campaign.campaign_type,
        prefix=campaign.prefix,
        language=campaign.language,
        template_id=campaign.template_id,
        description=campaign.description,
        dpi=campaign.dpi,
    )


def _refuse_taken(organisation_id: uuid.UUID, prefix: str) -> None:
    mine = (Campaign.organisation_id == organisation_id, Campaign.prefix == prefix)
    if db.session.scalar(select(Campaign.id).where(*mine)):
        raise PrefixTaken(prefix)


def _draw_number() -> int:
    """Return a number that no campaign of the installation has: it stands in every token and says nothing."""
    table = Campaign.__table__
    while True:
        number = secrets.randbelow(LARGEST_NUMBER) + 1
        if not db.session.scalar(select(table.c.id).where(table.c.number == number)):
            return number


def _escaped(words: str) -> str:
    return words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
