"""Dates: read where they are certain, explained where they are not."""

from datetime import date, datetime

import pytest

from app.intake.dates import DateOrder, OrderTally, read_date
from app.sentences import Sentence


def read_column(*cells):
    tally = OrderTally("Né(e) le")
    for cell in cells:
        tally.add(cell)
    order, note = tally.settle()
    return [read_date(cell, order) for cell in cells], str(note or "")


def test_it_works():
    assert read_date("31/12/1990", DateOrder()) == date(1990, 12, 31)


@pytest.mark.parametrize(
    "cell",
    [
        "1990-12-31", "1990/12/31", "1990-12-31T00:00:00", "1990-12-31 00:00:00.000Z", "19901231", 19901231.0,
        "31/12/1990", "31.12.1990", "31-12-1990", "31 12 1990", " 31 / 12 / 1990 ", "31/12/1990 00:00",
        "31 décembre 1990", "31 déc. 1990", "31-Dec-1990", "lundi 31 décembre 1990", "December 31, 1990",
        33238, 33238.0, 33238.75, "33238", date(1990, 12, 31), datetime(1990, 12, 31, 8, 30),
    ],
)  # fmt: skip
def test_one_day_is_written_in_many_ways(cell):
    assert read_date(cell, DateOrder()) == date(1990, 12, 31)


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("31/12/90", "four digits"),
        ("31-déc-90", "four digits"),
        (1990, "only a year"),
        ("1990", "only a year"),
        ("30/02/1990", "does not exist"),
        ("1990-13-01", "does not exist"),
        ("inconnu", "not a date"),
        ("31121990", "not a date"),
        (12.5, "not a date"),
        (float("nan"), "not a date"),
        (float("inf"), "not a date"),
        (True, "not a date"),
        ("1" * 100_000, "not a date"),
        ("31 foo 1990", "not a date"),
    ],
)
def test_what_is_uncertain_is_explained(cell, reason):
    answer = read_date(cell, DateOrder())
    assert isinstance(answer, Sentence)
    assert reason in str(answer)


def test_the_whole_column_settles_day_and_month():
    assert read_column("03/04/2001", "25/04/2001") == ([date(2001, 4, 3), date(2001, 4, 25)], "")
    days, note = read_column("03/04/2001", "04/25/2001")
    assert days == [date(2001, 3, 4), date(2001, 4, 25)]
    assert "month/day/year" in note


def test_a_column_that_never_tells_is_read_day_first_and_says_so():
    days, note = read_column("03/04/2001", "05/05/2001")
    assert days == [date(2001, 4, 3), date(2001, 5, 5)]
    assert "One date" in note and "day/month/year" in note


def test_one_odd_row_among_many_is_the_only_problem():
    days, note = read_column(*["25/04/2001"] * 30, "03/04/2001", "04/25/2001")
    assert days[:31] == [date(2001, 4, 25)] * 30 + [date(2001, 4, 3)]
    assert "other way round" in str(days[31])
    assert "some rows" in note


def test_a_column_that_mixes_both_is_not_guessed():
    days, _ = read_column("25/04/2001", "04/25/2001", "03/04/2001", "05/05/2001")
    assert days[0] == date(2001, 4, 25)
    assert "other way round" in str(days[1])
    assert "two ways" in str(days[2])
    assert days[3] == date(2001, 5, 5), "5 May is the same either way"


def test_days_that_a_program_swapped_are_stopped():
    """An American Excel opened a French list: 3 April became 4 March, and 25 April stayed text."""
    swapped = [
        date(2001, month, day) for month, day in [(3, 4), (1, 2), (5, 6), (7, 8), (9, 10), (1, 12), (3, 3), (4, 1)]
    ]
    days, note = read_column(*swapped, "25/04/2001", "31/12/1999")
    assert all("swapped" in str(day) for day in days[:8])
    assert days[8:] == [date(2001, 4, 25), date(1999, 12, 31)]
    assert "swapped" in note


def test_real_dates_beside_text_are_fine_where_nothing_looks_swapped():
    days, note = read_column(*[date(2001, 3, day) for day in range(5, 20)], "25/04/2001")
    assert days[0] == date(2001, 3, 5)
    assert note == ""
