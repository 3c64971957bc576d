"""Home: what there is to do now, what is running, the last campaigns; the first run; and help."""

from collections.abc import Iterator
from dataclasses import dataclass

from flask import redirect, request, url_for
from flask_babel import format_decimal, ngettext
from flask_babel import gettext as _
from flask_login import current_user

from app.domain import campaigns, imports, jobs, overviews
from app.models import ImportState
from app.web import quota_words, words
from app.web.accounts import Answer
from app.web.door import actor, bp, go, page, public, signed_in
from app.web.frame import quota_left

LAST = 5


@dataclass(frozen=True)
class Todo:
    """What waits for the person: a drawing, a sentence, what it is about, the link that does it or throws it away."""

    icon: str
    text: str
    about: str
    link: str
    url: str
    discard: str = ""


@bp.get("/")
@public
def start() -> Answer:
    """Send people who are signed in to their work, and visitors to the verification."""
    return redirect(url_for("web.home" if current_user.is_authenticated else "web.verify"))


@bp.get("/app/")
@signed_in()
def home() -> str:
    """Show what to do now, what is running, and the last campaigns."""
    total, last = campaigns.search(actor().organisation_id, limit=LAST)
    return page(
        "home/home.html",
        todos=list(_todos()),
        running=_running(),
        total=total,
        campaigns=last,
        overviews=overviews.of_campaigns(last),
        drafts=overviews.drafts_of(actor()) if actor().may("edit campaigns") else [],
        words=words,
    )


@bp.get("/app/running")
@signed_in()
def running() -> Answer:
    """Show the running jobs again: the fragment that home fetches every few seconds."""
    if not request.htmx:  # type: ignore[attr-defined]
        return go("web.home")
    return page("home/_running.html", running=_running(), words=words)


@bp.get("/app/welcome")
@signed_in()
def welcome() -> str:
    """Show the three ways to begin: try with demo people, start a campaign, work with a team."""
    return page("home/welcome.html", demo=overviews.demo_campaign(actor()))


@bp.get("/help", endpoint="help")
@public
def explain() -> str:
    """Explain the work from the list of people to the card in the hand, in a page that visitors may read too."""
    return page("home/help.html")


def _running() -> list[dict]:
    """Return the organisation's live jobs with their campaign's name and how far they are."""
    live = jobs.live_jobs(actor().organisation_id)
    names = overviews.names_of(actor().organisation_id, [job.campaign_id for job in live])
    return [{"job": job, "name": names[job.campaign_id], "progress": jobs.progress(job)} for job in live]


def _todos() -> Iterator[Todo]:
    """Yield what waits for this person, the most pressing first."""
    yield from _quota_todos()
    if actor().may("bring in people"):
        yield from _import_todos()
    for job, campaign in overviews.fresh_files(actor().organisation_id):
        made = ngettext(
            "%(n)s card is ready to print", "%(n)s cards are ready to print", job.cards_generated,
            n=format_decimal(job.cards_generated),
        )  # fmt: skip
        yield Todo("down", made, campaign.name, _("Open the files"), url_for("web.job", job_id=job.id))


def _quota_todos() -> Iterator[Todo]:
    quota = quota_left()
    if quota and quota.low:
        about = quota_words.advice(quota)
        yield Todo("usage", quota_words.left(quota), about, _("See the usage"), url_for("web.usage"))


def _import_todos() -> Iterator[Todo]:
    waiting = imports.waiting_for(actor())
    names = overviews.names_of(actor().organisation_id, [batch.campaign_id for batch in waiting])
    for batch in waiting:
        if batch.state == ImportState.matching:
            text = _("Match the columns of %(file)s", file=batch.file_name)
        else:
            text = _("Check the rows of %(file)s", file=batch.file_name)
        yield Todo(
            "table",
            text,
            names[batch.campaign_id],
            _("Continue"),
            url_for("web.import_batch", batch_id=batch.id),
            discard=url_for("web.discard_import", batch_id=batch.id),
        )
