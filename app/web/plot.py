"""The plot of the balance: one bar a day, placed in percent, so that its words stay readable on the smallest phone."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from flask_babel import format_date, format_decimal, gettext

from app.domain.ledgers import Day

TOP, GAP = 24.0, 0.15  # percent of the height kept for words; share of a day's width between two bars
ABOVE = 4.0  # percent between a bar and its words
UNDER = 0.28  # of the plot's width lies under the words at its end, on the smallest phone


@dataclass(frozen=True)
class Bar:
    """A day's bar, in percent of the plot; `new` marks those of the present month."""

    x: float
    y: float
    width: float
    height: float
    new: bool


@dataclass(frozen=True)
class Label:
    """Words at a bar, in percent of the plot, to the left or the right of their place."""

    x: float
    y: float
    text: str
    anchor: str


@dataclass(frozen=True)
class Plot:
    """Everything that the template draws; `first` and `last` are the days under its ends."""

    bars: list[Bar]
    labels: list[Label]
    first: str
    last: str


def of_days(days: Sequence[Day]) -> Plot:
    """Return the plot of the balance at the end of each day, the last of which is today."""
    width, most = 100 / len(days), max(1, *(day.balance for day in days))
    month = days[-1].day.replace(day=1)
    bars = []
    for number, day in enumerate(days):
        height = (100 - TOP) * day.balance / most
        left = width * (number + GAP / 2)
        bars.append(
            Bar(_short(left), _short(100 - height), _short(width * (1 - GAP)), _short(height), day.day >= month)
        )
    highest = min(bar.y for bar in bars[-max(1, round(UNDER * len(bars))) :])
    last = Label(100, _short(highest - ABOVE), gettext("%(n)s today", n=format_decimal(days[-1].balance)), "end")
    return Plot(bars, [*_beginnings(days, bars), last], _date(days[0]), gettext("Today"))


def _beginnings(days: Sequence[Day], bars: Sequence[Bar]) -> list[Label]:
    """Return what to say where the present month began: how many cards it began with."""
    for (_before, day), (_bar_before, bar) in zip(pairwise(days), pairwise(bars), strict=True):
        if day.renewed and bar.new:
            text = gettext("%(n)s on %(day)s", n=format_decimal(day.balance), day=_date(day))
            return [Label(bar.x, 10, text, "end" if bar.x > 50 else "start")]
    return []


def _date(day: Day) -> str:
    return format_date(day.day, "d MMM")


def _short(percent: float) -> float:
    return round(percent, 2)
