"""Names, identifiers and genders: clean, or refused with the reason."""

import pytest

from app.intake.values import read_gender, read_id, read_name, read_text, shown, split_full_name


def test_it_works():
    assert read_name("  Ndèye \u00a0 Fatou ") == "Ndèye Fatou"


def test_names_are_composed_and_lose_what_nobody_sees():
    assert read_name("Se\u0301ne\u0301\u200b") == "Séné"
    assert read_name("=Awa") == "=Awa", "a text that looks like a formula is only a text"


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("A\x07wa", "control"),
        ("\u202eawA", "control"),
        ("A" * 101, "100 characters"),
        (12.0, "letter"),
        ("—", "letter"),
    ],
)
def test_what_is_no_name_is_refused(cell, reason):
    assert reason in str(read_name(cell))


@pytest.mark.parametrize(
    ("cell", "identifier"),
    [
        (123.0, "123"),
        (123, "123"),
        ("00123", "00123"),
        (" B 12 ", "B 12"),
        ("12E5", "12E5"),
        (1234567890123.0, "1234567890123"),
    ],
)
def test_identifiers_stay_what_they_were(cell, identifier):
    assert read_id(cell) == identifier


@pytest.mark.parametrize("cell", ["1.23E+12", "1,23E+12", "1E+12", 1.5, 1e15, float("nan")])
def test_a_shortened_identifier_is_never_guessed(cell):
    assert "shortened" in str(read_id(cell))


@pytest.mark.parametrize(
    ("gender", "words"),
    [
        ("F", ["F", "f", "Féminin", "Femme", "FILLE", "female", "Jigéen", "jigeen"]),
        ("M", ["M", "H", "masculin", "Garçon", "Male", "Góor"]),
        ("U", ["U", "inconnu", "unknown", "n/a", "-"]),
    ],
)
def test_gender_is_understood_in_three_languages(gender, words):
    assert {read_gender(word) for word in words} == {gender}


def test_an_unknown_word_is_no_gender():
    assert "Write M" in str(read_gender("x"))
    assert "Write M" in str(read_gender(1.0))


@pytest.mark.parametrize(
    ("text", "family_first", "parts"),
    [
        ("Awa Diop", False, ("Awa", "Diop")),
        ("Ndèye Fatou Diop", False, ("Ndèye Fatou", "Diop")),
        ("Diop Ndèye Fatou", True, ("Ndèye Fatou", "Diop")),
        ("DIOP Awa", False, ("Awa", "DIOP")),
        ("Awa BA NDIAYE", True, ("Awa", "BA NDIAYE")),
        ("Diop, Awa Marie", False, ("Awa Marie", "Diop")),
    ],
)
def test_full_names_are_split_by_a_rule(text, family_first, parts):
    assert split_full_name(text, family_first) == parts


def test_one_word_is_not_a_full_name():
    assert "first name and last name" in str(split_full_name("Awa", False))


def test_cells_are_shown_as_a_spreadsheet_shows_them():
    assert [shown(cell) for cell in (None, 5.0, 0.25, True, "x")] == ["", "5", "0.25", "TRUE", "x"]
    assert "200 characters" in str(read_text("x" * 201))
