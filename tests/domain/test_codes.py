"""Codes as people type them: everything that is the same code is read as it, and a typing error is called one."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum.iso7064 import mod_37_36

from app.domain.codes import ALPHABET, Code, NotACode, WrongCheck, is_prefix, new_codes, read_code

CARD = Code("DKR-VAC", "9XQ7LM2G")


def test_it_works() -> None:
    [code] = new_codes("DKR-VAC", 1)

    assert re.fullmatch(r"DKR-VAC-[0-9A-Z]{8}", code)
    assert str(read_code(code)) == code


def test_a_code_is_checked_by_iso_7064_over_its_seven_random_characters() -> None:
    assert mod_37_36.calc_check_digit("9XQ7LM2") == "G"
    assert all(mod_37_36.is_valid(code[-8:]) for code in new_codes("THIS", 500))


def test_no_code_holds_an_o_or_an_i_after_its_prefix() -> None:
    drawn = "".join(code[-8:] for code in new_codes("DIO-VAC", 5_000))

    assert set(drawn) == set(ALPHABET)
    assert not set(drawn) & set("OI")


def test_a_hundred_thousand_codes_are_different_and_take_a_moment() -> None:
    began = time.perf_counter()
    codes = new_codes("DKR-VAC", 100_000)

    assert len(set(codes)) == 100_000
    assert time.perf_counter() - began < 10


def test_no_codes_for_what_is_not_a_prefix() -> None:
    with pytest.raises(ValueError):
        new_codes("dkr", 1)


@pytest.mark.parametrize("prefix", ["DKR", "DKR-VAC", "A-B-C-D", "12345678", "M-2"])
def test_a_prefix(prefix: str) -> None:
    assert is_prefix(prefix)


@pytest.mark.parametrize(
    "prefix", ["", "DK", "DKR-VACC1", "dkr", "-DKR", "DKR-", "DKR--VA", "DKR VAC", "DKRÉ", "DKR\n", "D_R", "١٢٣"]
)
def test_not_a_prefix(prefix: str) -> None:
    assert not is_prefix(prefix)


@pytest.mark.parametrize(
    "typed",
    [
        "DKR-VAC-9XQ7LM2G",
        "dkr-vac-9xq7lm2g",
        "  DKR VAC 9XQ7 LM2G ",
        "DKR–VAC—9XQ7LM2G",
        "DKR\u2011VAC\u20119XQ7LM2G",
        "DKR_VAC_9XQ7LM2G.",
        "DKR\u00a0VAC\u00a09XQ7LM2G",
        "\ufeffDKR-VAC-9XQ7LM2G",
        "ＤＫＲ－ＶＡＣ－９ＸＱ７ＬＭ２Ｇ",
        "DKR-VAC9XQ7LM2G",
        "DKR/VAC/9XQ7-LM2G",
    ],
)
def test_many_ways_to_type_one_code(typed: str) -> None:
    assert read_code(typed) == CARD


def test_a_code_without_any_hyphen_names_the_card_among_its_spellings() -> None:
    read = read_code("dkrvac9xq7lm2g")

    assert isinstance(read, Code)
    assert read.spellings[0] == "DKRVAC-9XQ7LM2G"
    assert "DKR-VAC-9XQ7LM2G" in read.spellings


def test_every_spelling_is_a_code_and_the_typed_one_comes_first() -> None:
    assert CARD.spellings[0] == "DKR-VAC-9XQ7LM2G"
    assert len(set(CARD.spellings)) == len(CARD.spellings) == 16  # no hyphen, one of five, two of five
    assert all(is_prefix(spelling[:-9]) for spelling in CARD.spellings)


def test_a_typed_o_is_a_zero_and_a_typed_i_is_a_one_but_not_in_the_prefix() -> None:
    seven = "01A0B1C"
    serial = seven + mod_37_36.calc_check_digit(seven)

    assert read_code(f"DIO-VAC-{serial.replace('0', 'O').replace('1', 'i')}") == Code("DIO-VAC", serial)


@pytest.mark.parametrize("place", range(8))
def test_one_wrong_character_is_a_typing_error(place: int) -> None:
    right = CARD.serial[place]
    for wrong in set(ALPHABET) - {right}:
        read = read_code(f"DKR-VAC-{CARD.serial[:place]}{wrong}{CARD.serial[place + 1 :]}")
        assert isinstance(read, WrongCheck)
        assert "typing error" in str(read.sentence)


def test_two_neighbours_exchanged_are_a_typing_error() -> None:
    assert read_code("DKR-VAC-X9Q7LM2G") == WrongCheck("DKR-VAC-X9Q7LM2G")


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("", "Type the code"),
        (" - ", "Type the code"),
        ("9XQ7LM2G", "too short"),
        ("DKR-VAC", "too short"),
        ("DKR-VAC-INVALID01", "looks like"),
        ("DKR-VAC-9XQ7LM2É", "letters A to Z"),
        ("DKR-VAC-9XQ7LM2G'--", "letters A to Z"),
        ("DKR-VAC-9XQ7LM2ß", "letters A to Z"),
        ("DKR-VAC-٩XQ7LM2G", "letters A to Z"),
        ("A" * 10_000, "letters A to Z"),
    ],
)
def test_what_is_not_a_code_is_told_why(typed: str, says: str) -> None:
    read = read_code(typed)

    assert isinstance(read, NotACode)
    assert says in str(read.sentence)


@given(st.text(max_size=80))
def test_nothing_typed_is_an_error_of_ours(typed: str) -> None:
    read = read_code(typed)

    if isinstance(read, Code):
        assert is_prefix(read.prefix)
        assert read_code(str(read)) == read
