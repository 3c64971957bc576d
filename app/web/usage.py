"""Usage: how many cards the organisation has, has used and has left, and the ledger that proves it."""

from flask import Response, request, url_for
from flask_babel import format_datetime, gettext
from flask_babel import gettext as _
from flask_login import current_user

from app.database import spell
from app.domain import ledgers
from app.domain.standings import standing_of
from app.models import LedgerKind
from app.web import plot, quota_words, words
from app.web.door import actor, bp, page, signed_in
from app.web.exports import csv_file
from app.web.pager import paged

PER_PAGE = 50


@bp.get("/app/usage")
@signed_in()
def usage() -> str:
    """Show what is left, what was used, how it went, and every movement of the ledger, newest first."""
    organisation_id = current_user.organisation_id
    kind = request.args.get("kind", "")
    kind = LedgerKind(kind) if kind in set(LedgerKind) else None
    days = ledgers.by_day(organisation_id)
    return page(
        "usage/usage.html",
        "usage/_ledger.html",
        standing=standing_of(organisation_id),
        proof=ledgers.proof(organisation_id),
        plot=plot.of_days(days),
        moving_days=[day for day in reversed(days) if day.used or day.added],
        kinds=_kinds(kind),
        pager=paged(lambda **window: ledgers.page(organisation_id, kind=kind, **window), per_page=PER_PAGE),
        quota_words=quota_words,
        words=words,
    )


@bp.get("/app/usage.csv")
@signed_in()
def usage_csv() -> Response:
    """Hand out the whole ledger, oldest first, for a spreadsheet; times are the organisation's own."""
    heads = (_("When"), _("What"), _("Cards"), _("Balance afterwards"), _("Reason"), _("Job"), _("Made by"), _("Key"))
    rows = (
        (
            format_datetime(moved.entry.created_at, "yyyy-MM-dd HH:mm:ss"),
            words.ledger_kind(moved.entry.kind),
            moved.entry.amount,
            moved.entry.balance_after,
            gettext(moved.entry.reason),
            spell("job", moved.entry.job_id) if moved.entry.job_id else "",
            moved.by or "Fieldcard",
            moved.entry.key,
        )
        for moved in ledgers.export(by=actor())
    )
    return csv_file("usage.csv", heads, rows)


def _kinds(chosen: LedgerKind | None) -> list[dict]:
    """Return the tabs that show movements of one kind."""
    everything = {"text": _("All movements"), "url": url_for("web.usage"), "current": chosen is None}
    return [everything] + [
        {"text": words.ledger_kind(kind), "url": url_for("web.usage", kind=kind.value), "current": kind == chosen}
        for kind in LedgerKind
    ]
