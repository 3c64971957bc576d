"""The words pages use for what the rooms call by a name: types, states, languages, roles, acts."""

from typing import Any

from flask_babel import format_decimal, get_locale, gettext, ngettext

from app.domain import designs
from app.domain.jobs import Progress
from app.models import AuditEntry, Beneficiary, Campaign, CampaignType, CardsStatus, JobState, LedgerKind, PrintState
from app.sentences import N_

TYPES = {
    CampaignType.vaccination: (N_("Vaccination"), N_("Doses given, and when the next one is due")),
    CampaignType.mild: (N_("Insecticide nets"), N_("Treated nets handed out to households")),
    CampaignType.nutrition: (N_("Nutrition"), N_("Growth and rations of young children")),
    CampaignType.antenatal: (N_("Antenatal care"), N_("Visits of a pregnancy")),
    CampaignType.hiv: (N_("HIV care"), N_("A plain card: neither programme nor campaign stands on it")),
    CampaignType.assurance: (N_("Health insurance"), N_("Members and what they are covered for")),
    CampaignType.refugee: (N_("Refugees"), N_("Registration and assistance")),
    CampaignType.identity: (N_("Identity"), N_("Who a person is, for any service")),
    CampaignType.lab: (N_("Laboratory"), N_("Samples and their results")),
    CampaignType.cps: (N_("Social protection"), N_("Support for households")),
    CampaignType.farmercard: (N_("Farmers"), N_("Seeds, tools and training")),
}
LANGUAGES = {"fr": N_("French"), "en": N_("English"), "wo": N_("Wolof")}
CAMPAIGN_PILLS = {
    CardsStatus.draft: (N_("Draft"), ""),
    CardsStatus.preview_ready: (N_("Preview ready"), "info"),
    CardsStatus.generating: (N_("Making cards"), "running"),
    CardsStatus.completed: (N_("Cards ready"), "good"),
    CardsStatus.failed: (N_("Failed"), "bad"),
    CardsStatus.archived: (N_("Archived"), ""),
}
JOB_PILLS = {
    JobState.waiting: (N_("Waiting"), "info"),
    JobState.generating: (N_("Making cards"), "running"),
    JobState.paused: (N_("Paused"), "warn"),
    JobState.packaging: (N_("Putting the files together"), "running"),
    JobState.completed: (N_("Done"), "good"),
    JobState.failed: (N_("Failed"), "bad"),
    JobState.cancelled: (N_("Cancelled"), ""),
}
PRINT_STATES = {
    PrintState.pending: N_("Being made"),
    PrintState.drawn: N_("Being made"),
    PrintState.issued: N_("Made"),
    PrintState.void: N_("Ordered, but not made"),
}
LEDGER_KINDS = {
    LedgerKind.grant: N_("Cards granted"),
    LedgerKind.debit: N_("Cards ordered"),
    LedgerKind.refund: N_("Given back"),
    LedgerKind.expiry: N_("Expired"),
    LedgerKind.correction: N_("Corrected"),
}
# What the audit log calls an act; %(…)s are facts of the entry.
ACTS = {
    "campaign.created": N_("Started the campaign with the prefix %(prefix)s"),
    "campaign.edited": N_("Changed the name or the description"),
    "campaign.design_chosen": N_("Chose the design %(design)s at %(dpi)s dpi"),
    "campaign.duplicated": N_("Made this campaign as a copy of another"),
    "campaign.archived": N_("Archived the campaign"),
    "campaign.restored": N_("Restored the campaign"),
    "job.started": N_("Ordered cards: %(cards)s, at %(dpi)s dpi"),
    "job.paused": N_("Paused the making of cards"),
    "job.resumed": N_("Continued the making of cards"),
    "job.cancelled": N_("Cancelled the making of cards; kept: %(kept)s, given back: %(refunded)s"),
    "job.completed": N_("Cards ready: %(cards)s, of them new: %(new)s"),  # as older entries are called
    "job.packaged": N_("Cards ready: %(cards)s, of them new: %(new)s"),
    "job.failed": N_("The making of cards failed; everything was given back"),
    "job.downloaded": N_("Downloaded files of the cards"),
    "job.files_removed": N_("Removed files whose time was over: %(files)s"),
    "import.uploaded": N_("Uploaded a spreadsheet"),
    "import.columns_chosen": N_("Matched the columns of a spreadsheet"),
    "import.confirmed": N_("Confirmed a spreadsheet; rows: %(rows)s, left out: %(refused)s"),
    "import.discarded": N_("Discarded a spreadsheet that was never confirmed"),
    "import.emptied": N_("Removed a spreadsheet whose time was over; its people stay"),
    "import.problems_downloaded": N_("Downloaded the rows of a spreadsheet that were left out"),
    "people.enrolled": N_("Brought in people; new: %(new)s, changed: %(updated)s, known before: %(same)s"),
    "people.listed": N_("Read the list of people"),
    "people.exported": N_("Downloaded the list of people"),
    "person.corrected": N_("Corrected what is known about the person"),
    "person.exported": N_("Downloaded everything about the person"),
    "person.erased": N_("Erased the person; cards revoked: %(cards)s"),
    "card.revoked_by_erasure": N_("Revoked the card, because its holder was erased"),
}


def person_name(person: Beneficiary) -> str:
    """Return the person's name, or what stands in its place when they were erased."""
    return f"{person.first_name} {person.last_name}" if person.erased_at is None else gettext("Erased person")


def type_name(campaign_type: str) -> str:
    """Return what a campaign of this type is for, in a word or two."""
    name, _about = TYPES.get(campaign_type, (campaign_type, ""))
    return gettext(name)


def language_name(code: str) -> str:
    """Return the name of a campaign's language."""
    return gettext(LANGUAGES.get(code, code))


def design_name(name: str) -> str:
    """Return the title of a built-in design in the language of the page."""
    titles = {design.name: design.title for design in designs.gallery()}
    return titles[name][str(get_locale())] if name in titles else name


def campaign_pill(campaign: Campaign) -> tuple[str, str]:
    """Return the campaign's state in a word, and the kind of pill it stands in."""
    text, kind = CAMPAIGN_PILLS[CardsStatus(campaign.cards_status)]
    return gettext(text), kind


def job_pill(state: str) -> tuple[str, str]:
    """Return a job's state in a word, and the kind of pill it stands in."""
    text, kind = JOB_PILLS[JobState(state)]
    return gettext(text), kind


def ledger_kind(kind: str) -> str:
    """Return why the balance moved, in a word or two."""
    return gettext(LEDGER_KINDS[LedgerKind(kind)])


def print_state(state: str) -> str:
    """Return what came of printing a card, in a word or two."""
    return gettext(PRINT_STATES[PrintState(state)])


def how_far(progress: Progress) -> str:
    """Return where a job stands in one sentence: cards done, and about how long it will take."""
    if progress.finished:
        return ngettext("%(n)s card made", "%(n)s cards made", progress.generated, n=format_decimal(progress.generated))
    done = gettext(
        "%(done)s of %(total)s cards",
        done=format_decimal(progress.drawn + progress.failed),
        total=format_decimal(progress.total),
    )
    if progress.state == JobState.paused:
        return gettext("%(done)s, paused", done=done)
    if progress.state == JobState.packaging:
        return gettext("%(done)s, putting the files together", done=done)
    if progress.eta_seconds is None:
        return gettext("%(done)s, waiting for its turn", done=done)
    return gettext("%(done)s, about %(time)s left", done=done, time=about(progress.eta_seconds))


def about(seconds: int) -> str:
    """Return a duration as people say it: seconds under a minute and a half, then minutes, then hours."""
    if seconds < 90:
        return ngettext("%(n)s second", "%(n)s seconds", seconds, n=seconds)
    if seconds < 90 * 60:
        minutes = round(seconds / 60)
        return ngettext("%(n)s minute", "%(n)s minutes", minutes, n=minutes)
    hours = round(seconds / 3600)
    return ngettext("%(n)s hour", "%(n)s hours", hours, n=hours)


def act_in_words(entry: AuditEntry) -> str:
    """Return what an entry of the audit log tells; an act without words of its own is named as the log names it."""
    text = ACTS.get(entry.action)
    facts: dict[str, Any] = {
        name: format_decimal(value) if isinstance(value, int) and not isinstance(value, bool) else value
        for name, value in (entry.facts or {}).items()
    }
    try:
        return gettext(text) % facts if text else entry.action.replace(".", ": ").replace("_", " ")
    except KeyError:  # an entry written before a fact was added to its kind
        return entry.action.replace(".", ": ").replace("_", " ")
