"""A job in the words of the person who waits for it: where it stands, what comes next, what it cost."""

from datetime import datetime

from flask_babel import format_date, format_datetime, format_decimal, gettext, ngettext

from app.domain.watching import Hindrance, JobView
from app.models import ArtifactKind, JobState
from app.sentences import N_
from app.web.words import about, job_pill

FILES = {
    ArtifactKind.pdf: N_("To print: all cards in one PDF"),
    ArtifactKind.zip: N_("A picture of each side of every card (ZIP)"),
    ArtifactKind.portal: N_("To verify cards without a network (ZIP)"),
    ArtifactKind.manifest: N_("The list of all codes, for other programs (JSON)"),
}
ICONS = {
    ArtifactKind.pdf: "print",
    ArtifactKind.zip: "card",
    ArtifactKind.portal: "verify",
    ArtifactKind.manifest: "table",
}
BARS = {JobState.paused: "warn", JobState.failed: "bad", JobState.cancelled: "warn", JobState.completed: "good"}
A_MOMENT = 8  # seconds; nobody wants to hear less


def headline(job: JobView) -> str:
    """Return the sentence that matters: how many of how many, and how long it will take."""
    total, made = job.progress.total, job.progress.generated
    so_far = gettext("%(done)s of %(total)s cards", done=format_decimal(job.done), total=format_decimal(total))
    match job.state:
        case JobState.waiting:
            return gettext("Waiting for a worker since %(time)s", time=clock(job.asked_at))
        case JobState.generating:
            return gettext("%(so_far)s, %(left)s", so_far=so_far, left=_left(job))
        case JobState.paused:
            return gettext("%(so_far)s, paused", so_far=so_far)
        case JobState.packaging:
            return gettext("%(so_far)s, putting the files together", so_far=so_far)
        case JobState.completed:
            return ngettext("%(n)s card is ready", "%(n)s cards are ready", made, n=format_decimal(made))
        case JobState.cancelled:
            return ngettext(
                "Cancelled: %(n)s card was made and is valid",
                "Cancelled: %(n)s cards were made and are valid",
                made,
                n=format_decimal(made),
            )
        case _:
            return gettext("No cards could be made")


def explanation(job: JobView) -> str:
    """Return what happens now or what to do next, in a sentence or two."""
    match job.state:
        case JobState.waiting:
            return f"{gettext('The cards are ordered and paid for.')} {_turn(job.before)}"
        case JobState.generating:
            return gettext("You may close this page; the cards go on being made.")
        case JobState.paused:
            return gettext("Nothing is being made. What is finished is kept until you continue.")
        case JobState.packaging if job.stopped:
            return gettext("The job was cancelled. The files of the cards that were made come in a moment.")
        case JobState.packaging:
            return gettext("All cards are drawn. They count as soon as their files are here.")
        case _ if job.removed_at:
            return gettext("The cards count as before. Only their files are not kept any more.")
        case JobState.completed if job.progress.failed:
            return gettext(
                "The files of these cards are below. What could not be made cost nothing; the reasons are below, too."
            )
        case JobState.completed:
            return gettext("The files are below. Print the PDF, or hand the pictures on.")
        case JobState.cancelled if not job.progress.generated:
            return gettext("Nothing was made, and it cost nothing. These people get a card from the next order.")
        case JobState.cancelled:
            return gettext("What was not made was given back. Those people get a card from the next job.")
        case _:
            return gettext("It cost nothing: everything was given back. Look at the reason, then try again.")


def hindrance(job: JobView) -> tuple[str, str] | None:
    """Return why the job does not move, and what to do about it; None when nothing is in its way."""
    match job.hindrance:
        case Hindrance.no_worker:
            return (
                gettext("No worker is running"),
                gettext("Nothing is lost; ask whoever runs the server to start one. The work then goes on."),
            )
        case Hindrance.disk_full:
            return (
                gettext("The server's disk is full"),
                gettext("Nothing is lost; ask whoever runs the server to make room. The work then goes on."),
            )
        case Hindrance.resting:
            return (
                gettext("The files could not be written just now"),
                gettext("Nothing is lost and it costs nothing; this is tried again in a minute, as often as it takes."),
            )
    return None


def kept(job: JobView) -> str:
    """Return until when the files are kept; empty when there are none."""
    return gettext("kept until %(day)s", day=format_date(job.kept_until, "long")) if job.kept_until else ""


def gone(job: JobView) -> str:
    """Return what can be done about files that are not kept any more."""
    n, out = job.again.printable, job.again.out
    if not n:
        return gettext("None of these cards is in anybody's hands any more, so there is nothing to make again.")
    left_out = ngettext(
        "%(n)s card is left out, because it was revoked or replaced, or its person was erased.",
        "%(n)s cards are left out, because they were revoked or replaced, or their people were erased.",
        out,
        n=format_decimal(out),
    )
    offer = ngettext(
        "The files of %(n)s card can be made again. It costs nothing, and the card stays what it is.",
        "The files of %(n)s cards can be made again. It costs nothing, and the cards stay what they are.",
        n,
        n=format_decimal(n),
    )
    return f"{offer} {left_out}" if out else offer


def title(job: JobView) -> str:
    """Return what the browser's tab says: "65 % – Vaccination Dakar"."""
    state = f"{job.progress.percent} %" if not job.progress.finished else job_pill(job.state)[0]
    return f"{state} – {job.campaign_name}"


def note(job: JobView) -> str:
    """Return what stands at the end of the bar: how far in per cent, and how fast."""
    if job.progress.finished:
        return ""
    percent, rate = job.progress.percent, _rate(job.progress.rate)
    return f"{percent} %" if rate is None else gettext("%(percent)s %%, %(rate)s", percent=percent, rate=rate)


def spoken(job: JobView) -> str:
    """Return what a screen reader is told, seldom."""
    return f"{headline(job)}."


def facts(job: JobView) -> list[tuple[str, str]]:
    """Return the numbers of the job as terms and values; those that are always nought are left out."""
    made = job.progress.generated if job.progress.finished else job.progress.drawn
    rows = [(gettext("Ordered"), format_decimal(job.progress.total)), (gettext("Made"), format_decimal(made))]
    if job.progress.failed:
        rows.append((gettext("Could not be made"), format_decimal(job.progress.failed)))
    if job.refunded:
        rows.append((gettext("Given back"), format_decimal(job.refunded)))
    return [*rows, (gettext("Cost"), _cost(job))]


def order(job: JobView) -> list[tuple[str, str]]:
    """Return how the cards were wished for, and when what happened."""
    rows = [
        (
            gettext("Pages of the PDF"),
            gettext("A4 sheets with cut marks") if job.sheet else gettext("One card side a page"),
        ),
        (gettext("Resolution"), gettext("%(dpi)s dpi", dpi=job.dpi)),
        (gettext("Ordered at"), clock(job.asked_at)),
    ]
    if job.started_at:
        rows.append((gettext("Begun at"), clock(job.started_at)))
    if job.finished_at:
        rows.append((gettext("Finished at"), clock(job.finished_at)))
    return rows


def _turn(before: int) -> str:
    if not before:
        return gettext("It is the next; a worker takes it up as soon as one is free.")
    return ngettext(
        "%(n)s order is ahead. Orders take turns, so this one begins before the other is finished.",
        "%(n)s orders are ahead. Orders take turns, so this one begins before they are finished.",
        before,
        n=format_decimal(before),
    )


def clock(moment: datetime) -> str:
    """Return the time of day where the organisation works; with the day when it is not today."""
    today = format_datetime(None, "yyyyMMdd") == format_datetime(moment, "yyyyMMdd")
    return format_datetime(moment, "HH:mm" if today else "d MMM, HH:mm")


def _rate(rate: float | None) -> str | None:
    """Return the pace a second, or a minute where that reads better; None while there is none to speak of."""
    if rate is None or rate * 60 < 1:
        return None
    if rate < 1:
        return gettext("%(cards)s cards a minute", cards=format_decimal(round(rate * 60)))
    return gettext("%(cards)s cards a second", cards=format_decimal(round(rate, 1 if rate < 10 else 0)))


def _left(job: JobView) -> str:
    seconds = job.progress.eta_seconds
    if seconds is None:
        return gettext("just begun")
    if seconds < A_MOMENT:
        return gettext("a moment left")
    return gettext("about %(time)s left", time=about(_rounded(seconds)))


def _rounded(seconds: int) -> int:
    """Return the seconds as nobody would doubt them: to five below a minute and a half, so that they do not jump."""
    return max(5, 5 * round(seconds / 5)) if seconds < 90 else seconds


def _cost(job: JobView) -> str:
    if not job.paid:
        return gettext("nothing: these cards were printed before")
    return ngettext("%(n)s card of your quota", "%(n)s cards of your quota", job.cost, n=format_decimal(job.cost))
