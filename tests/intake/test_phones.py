"""Phone numbers: one international form, or an explanation; never a guess."""

import pytest

from app.intake.phones import looks_like_phone, read_phone


def test_it_works():
    assert read_phone("77 123 45 67", "SN") == "+221771234567"


@pytest.mark.parametrize(
    "cell",
    ["771234567", "77-123-45-67", "(77) 123.45.67", "+221 77 123 45 67", "00221771234567", "221771234567",
     771234567, 771234567.0, 221771234567.0, "221771234567.0", "\u202a+221 77 123 45 67\u202c",
     "77\u00a0123\u00a045\u00a067"],
)  # fmt: skip
def test_one_number_is_written_in_many_ways(cell):
    assert read_phone(cell, "SN") == "+221771234567"


def test_a_number_from_elsewhere_keeps_its_country():
    assert read_phone("+33 6 12 34 56 78", "SN") == "+33612345678"
    assert read_phone("06 12 34 56 78", "FR") == "+33612345678"


@pytest.mark.parametrize(
    ("cell", "country", "reason"),
    [
        ("2,21771E+11", "SN", "shortened"),
        ("2.21771E+11", "SN", "shortened"),
        (221771000000.0, "SN", "shortened"),
        (7.5, "SN", "shortened"),
        (712345678.0, "CI", "lost its leading zero"),
        ("712345678", "CI", "lost its leading zero"),
        ("22376123456", "SN", "plus sign"),
        ("77 123 45", "SN", "too short"),
        ("77 123 45 67 890123", "SN", "too long"),
        ("99 999 99 99", "SN", "in use"),
        ("77 123 45 67 / 76 123 45 67", "SN", "more than one"),
        ("771234567 ou 761234567", "SN", "more than one"),
        ("77 123 45 67 ext. 5", "SN", "extension"),
        ("néant", "SN", "not a phone"),
        ("1" * 100_000, "SN", "not a phone"),
        (True, "SN", "not a phone"),
        (float("inf"), "SN", "shortened"),
        ("771234567", "XX", "not a phone"),
    ],
)
def test_what_cannot_be_dialled_is_explained(cell, country, reason):
    assert reason in str(read_phone(cell, country))


def test_the_form_of_a_phone_number_is_told_from_that_of_a_date():
    assert looks_like_phone("77 123 45 67")
    assert not looks_like_phone("31/12/1990")
    assert not looks_like_phone("1990-12-31")
