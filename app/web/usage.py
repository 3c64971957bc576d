"""Usage: how many cards the organisation has, has used and has left, and the ledger that proves it."""

from flask import Response
from flask_babel import format_datetime
from flask_babel import gettext as _
from flask_login import current_user

from app.domain import overviews, quotas
from app.web import words
from app.web.door import actor, bp, page, signed_in
from app.web.exports import csv_file
from app.web.pager import paged

PER_PAGE = 50


@bp.get("/app/usage")
@signed_in()
def usage() -> str:
    """Show what is left, what was used, and every movement of the ledger, newest first."""
    organisation = current_user.organisation
    pager = paged(lambda **window: overviews.ledger(organisation.id, **window), per_page=PER_PAGE)
    return page(
        "usage/usage.html",
        "usage/_ledger.html",
        balance=organisation.balance,
        unlimited=organisation.unlimited,
        monthly=organisation.monthly_quota,
        used=quotas.used_this_period(organisation.id),
        ledger_sum=overviews.ledger_sum(organisation.id),
        pager=pager,
        words=words,
    )


@bp.get("/app/usage.csv")
@signed_in()
def usage_csv() -> Response:
    """Hand out the whole ledger, oldest first, for a spreadsheet."""
    heads = (_("When"), _("What"), _("Cards"), _("Balance afterwards"), _("Reason"))
    rows = (
        (
            format_datetime(entry.created_at, "yyyy-MM-dd HH:mm"),
            words.ledger_kind(entry.kind),
            entry.amount,
            entry.balance_after,
            entry.reason,
        )
        for entry in overviews.export_ledger(by=actor())
    )
    return csv_file("usage.csv", heads, rows)
