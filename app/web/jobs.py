"""Jobs: checking before cards are made, watching them being made, pausing, continuing, cancelling.

How a page is kept up to date is in `streams.py`, what it says in `job_words.py`, its files in `downloads.py`.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from flask import Response, flash, render_template, request, url_for
from flask_babel import gettext as _

from app import tasks
from app.domain import access, foresight, reorders, watching
from app.domain import jobs as rooms
from app.domain.access import Actor
from app.domain.errors import Conflict, Invalid, NotFound, Refusal
from app.domain.orders import StartOrder
from app.domain.watching import JobView
from app.models import Beneficiary, Campaign, Job
from app.rendering.errors import CannotDraw
from app.web import forms, job_words, people_in, words
from app.web.campaigns import campaign_frame, find
from app.web.door import actor, bp, go, page, signed_in
from app.web.errors import status_of
from app.web.exports import csv_file
from app.web.languages import in_words
from app.web.pager import paged
from app.web.streams import Event, stream

SPEAK_EVERY = 10.0  # seconds
MOST_PROBLEMS = 1_000_000
Answer = Response | str | tuple[str, int]


@dataclass(frozen=True)
class Wishes:
    """How somebody wants the cards, as the form says it."""

    dpi: str = "300"
    sheet: str = ""
    include_mpi_id: bool = False

    @property
    def order(self) -> StartOrder:
        """Return the order; a resolution that is no number becomes one that the rooms refuse."""
        dpi = forms.whole_number(self.dpi)
        return StartOrder(dpi=dpi, sheet=self.sheet or None, include_mpi_id=self.include_mpi_id)


@bp.get("/app/campaigns/<campaign_id>/generate")
@signed_in(to="generate cards")
def generate(campaign_id: str) -> str:
    """Show what making the cards comes to before anything is made."""
    campaign = find(campaign_id, to="generate cards")
    return _generate_page(campaign, Wishes(str(campaign.dpi), include_mpi_id=True))


@bp.post("/app/campaigns/<campaign_id>/generate")
@signed_in(to="generate cards")
def start_job(campaign_id: str) -> Answer:
    """Order a card for everybody in the campaign who has none."""
    campaign = find(campaign_id, to="generate cards")
    wishes = forms.read(Wishes)
    once = forms.repeat({"campaign": str(campaign.id), **asdict(wishes)})
    try:
        job = rooms.start(campaign, wishes.order, by=actor(), repeat=once)
    except Invalid as refusal:
        problems = {field: in_words(sentence) for field, sentence in refusal.fields.items()}
        return _generate_page(campaign, wishes, problems), 422
    except Refusal as refusal:
        return _generate_page(campaign, wishes, {"": in_words(refusal.sentence)}), status_of(refusal)
    tasks.ring()
    return go("web.job", job_id=job.id)


@bp.get("/app/campaigns/<campaign_id>/sample/<person_id>/<side>.png")
@signed_in(to="generate cards")
def sample(campaign_id: str, person_id: str, side: str) -> Response:
    """Draw one side of a card as it would be made, for the screen; a sentence when it cannot be drawn."""
    campaign = find(campaign_id, to="generate cards")
    person = access.find(Beneficiary, actor(), person_id, to="generate cards")
    if side not in ("front", "back"):
        raise NotFound()
    try:
        picture = foresight.draw_sample(campaign, person, side)
    except CannotDraw as refusal:
        return Response(in_words(refusal.sentence), 422, mimetype="text/plain")
    return Response(picture, mimetype="image/png")


@bp.get("/app/jobs")
@signed_in()
def jobs() -> str:
    """Show all jobs of the organisation, newest first."""
    pager = paged(lambda **window: watching.all_jobs(actor().organisation_id, **window))
    return page("jobs/list.html", pager=pager, words=words, progress_of=rooms.progress)


@bp.get("/app/jobs/<job_id>")
@signed_in()
def job(job_id: str) -> str:
    """Show one job: how far it is, what went wrong, what can be done, and its files."""
    return page("jobs/job.html", **_shown(_view(_find(job_id))))


@bp.get("/app/jobs/<job_id>/progress")
@signed_in()
def job_progress(job_id: str) -> Response | str:
    """Hand out the part of the job's page that changes, for a page that cannot be streamed to."""
    if not request.htmx:  # type: ignore[attr-defined]
        return go("web.job", job_id=job_id)
    return render_template("jobs/_poll.html", **_shown(_view(_find(job_id))))


@bp.get("/app/jobs/<job_id>/events")
@signed_in()
def job_events(job_id: str) -> Response:
    """Stream what changes of the job's page until the job has finished."""
    found, who = _find(job_id), actor()
    identifier, organisation_id = found.id, found.organisation_id
    return stream(
        ("job", identifier),
        lambda: watching.view(identifier, organisation_id),
        _events,
        lambda seen: seen.progress.finished,
        token=people_in.carried(),
        person=who.user_id,
    )


@bp.post("/app/jobs/<job_id>/pause")
@signed_in(to="generate cards")
def pause_job(job_id: str) -> Response:
    """Stop making further cards for now."""
    return _done(job_id, rooms.pause, _("Paused. What is being drawn at this moment is finished and kept."))


@bp.post("/app/jobs/<job_id>/resume")
@signed_in(to="generate cards")
def resume_job(job_id: str) -> Response:
    """Go on with a paused job."""
    return _done(job_id, rooms.resume, _("The cards go on being made."))


@bp.get("/app/jobs/<job_id>/cancel")
@signed_in(to="generate cards")
def ask_cancel_job(job_id: str) -> Response | str:
    """Say exactly what cancelling would do, and ask."""
    seen = _view(_find(job_id, to="generate cards"))
    if seen.progress.finished or seen.stopped:
        flash(_nothing_done(seen), "info")
        return go("web.job", job_id=job_id)
    return page("jobs/cancel.html", job=seen, undecided=seen.progress.left)


@bp.post("/app/jobs/<job_id>/cancel")
@signed_in(to="generate cards")
def cancel_job(job_id: str) -> Response:
    """Make no further cards; keep what is made, give back the rest."""
    return _done(job_id, rooms.cancel, _("Cancelled. What was not made has been given back."))


@bp.post("/app/jobs/<job_id>/files-again")
@signed_in(to="generate cards")
def make_files_again(job_id: str) -> Response:
    """Order the files of a job once more that are not kept any more; it costs nothing."""
    return _order_again(job_id, reorders.files_again, _("The files are made again. It costs nothing."))


@bp.post("/app/jobs/<job_id>/try-again")
@signed_in(to="generate cards")
def try_cards_again(job_id: str) -> Response:
    """Order the cards once more that a job could not make."""
    return _order_again(job_id, reorders.try_again, _("These cards are tried again, in an order of their own."))


@bp.get("/app/jobs/<job_id>/problems.csv")
@signed_in()
def job_problems(job_id: str) -> Response:
    """Hand out the list of all cards that were not made, with the reasons."""
    found = _find(job_id)
    watching.note_download(found, by=actor())
    failed = rooms.failed_prints(found, MOST_PROBLEMS)
    rows = [(card.beneficiary_id, in_words(card.reason), card.code) for card in failed]
    return csv_file("fieldcard-not-made.csv", [_("Beneficiary ID"), _("Reason"), _("Card")], rows)


def _order_again(job_id: str, verb: Callable[..., Job], words_after: str) -> Response:
    """Make the new order and go to it; back to the job with the reason when it cannot be made."""
    found = _find(job_id, to="generate cards")
    identifier = found.id
    try:
        made = verb(found, by=actor(), repeat=forms.repeat({"job": str(identifier), "again": verb.__name__}))
    except Refusal as refusal:
        flash(in_words(refusal.sentence), "bad")
        return go("web.job", job_id=identifier)
    tasks.ring()
    flash(words_after, "good")
    return go("web.job", job_id=made.id)


def _find(job_id: str, *, to: str = "see") -> Job:
    return access.find(Job, actor(), job_id, to=to)


def _view(found: Job) -> JobView:
    return watching.view(found.id, found.organisation_id)


def _shown(seen: JobView) -> dict[str, Any]:
    """Return what the templates of a job draw from: the job, its words, and whether the reader may act."""
    return {"job": seen, "say": job_words, "may_act": actor().may("generate cards")}


def _events(seen: JobView) -> Sequence[Event]:
    shown = _shown(seen)
    return (
        Event("progress", render_template("jobs/_progress.html", **shown)),
        Event("actions", render_template("jobs/_actions.html", **shown)),
        Event("spoken", job_words.spoken(seen), every=SPEAK_EVERY),
    )


def _done(job_id: str, verb: Callable[..., None], words_after: str) -> Response:
    """Do it and go back to the job; when its state does not allow it any more, say which state that is."""
    found = _find(job_id, to="generate cards")
    by: Actor = actor()
    try:
        verb(found, by=by)
    except Conflict:
        flash(_nothing_done(_view(found)), "info")
    else:
        flash(words_after, "good")
        tasks.ring()
    return go("web.job", job_id=job_id)


def _nothing_done(seen: JobView) -> str:
    state, _kind = words.job_pill(seen.state)
    return _("Nothing was changed, because the job has moved on meanwhile. It is now: %(state)s.", state=state)


def _generate_page(campaign: Campaign, wishes: Wishes, errors: dict[str, str] | None = None) -> str:
    order = wishes.order
    return page(
        "jobs/generate.html",
        tab="cards",
        wishes=wishes,
        ahead=foresight.of_order(campaign, order),
        samples=[
            (shown, [(side, _sample_url(campaign, shown, side)) for side in ("front", "back")])
            for shown in foresight.samples(campaign)
        ],
        errors=errors or {},
        **campaign_frame(campaign),
    )


def _sample_url(campaign: Campaign, shown: foresight.Sample, side: str) -> str:
    return url_for("web.sample", campaign_id=campaign.id, person_id=shown.person_id, side=side)
