"""What pages say about the month's quota: how many cards are left, when new ones come, and what to do until then."""

from flask_babel import format_date, format_decimal, gettext, ngettext

from app.domain.ledgers import Proof
from app.domain.standings import Level, Standing


def left(quota: Standing) -> str:
    """Return how many cards may still be made this month."""
    if quota.level == Level.used_up:
        return gettext("This month’s cards are used up")
    return ngettext(
        "You can make %(n)s more card", "You can make %(n)s more cards", quota.left, n=format_decimal(quota.left)
    )


def advice(quota: Standing) -> str:
    """Return when new cards come, and what to do for those who cannot wait."""
    ask = gettext("If you need more before then, ask whoever runs this installation.")
    if not quota.monthly:
        ask = gettext("No new ones come by the month: ask whoever runs this installation for more.")
    if quota.level == Level.used_up:
        return f"{renewal(quota)} {ask}".strip()
    used = gettext(
        "%(used)s of this month’s %(total)s cards are used.",
        used=format_decimal(quota.used),
        total=format_decimal(quota.total),
    )
    return " ".join(part for part in (used, renewal(quota), ask) if part)


def renewal(quota: Standing) -> str:
    """Return how many new cards come and when, and nothing where none come."""
    if not quota.monthly:
        return ""
    return ngettext(
        "%(n)s new card comes on %(day)s.",
        "%(n)s new cards come on %(day)s.",
        quota.monthly,
        n=format_decimal(quota.monthly),
        day=day(quota.renewed_on),
    )


def finding(quota: Standing) -> str:
    """Return what the plot of the balance shows, in one sentence."""
    if quota.unlimited:
        used = format_decimal(quota.used)
        return ngettext("You used %(n)s card this month", "You used %(n)s cards this month", quota.used, n=used)
    if quota.level == Level.used_up or not quota.used:
        return left(quota)
    if quota.runs_out_on is not None:
        return gettext("At this month’s pace your cards are used up on %(day)s", day=day(quota.runs_out_on))
    return gettext("At this month’s pace your cards last until %(day)s", day=day(quota.renewed_on))


def day(some_day) -> str:
    """Return a day as people say it: 1 December."""
    return format_date(some_day, "d MMMM")


def addends(proof: Proof) -> list[tuple[str, str]]:
    """Return the lines of the little sum: what it is, and how many cards it added or took."""
    lines = (
        (gettext("Granted"), proof.granted),
        (gettext("Ordered"), proof.debited),
        (gettext("Given back"), proof.refunded),
        (gettext("Expired at the end of a month"), proof.expired),
        (gettext("Corrected"), proof.corrected),
    )
    return [(text, signed(cards)) for text, cards in lines]


def signed(cards: int) -> str:
    """Return the number with its sign, as a sum writes it."""
    return ("+" if cards > 0 else "−" if cards < 0 else "") + format_decimal(abs(cards))
