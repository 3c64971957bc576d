"""Column names: three languages, any spelling, and content where a name is missing."""

import pytest

from app.intake import FIELDS, LEFT_OUT, match_columns
from app.intake.headers import NAMES, recognise
from tests.intake.files import lines, read, write


def matched(folder, header, *rows):
    table = read(write(folder, lines(header, *rows)))
    return {match.header: match.field for match in match_columns(table)}


def test_it_works(tmp_path):
    header = ("PRENOM", "nom de famille", "N° Bénéficiaire", "NÉ(E) LE", "tel.", "Sexe", "Village", "Remarque")
    row = ("Awa", "Diop", "1", "31/12/1990", "771234567", "F", "Fandène", "rien")
    assert matched(tmp_path, header, row) == {
        "PRENOM": "first_name",
        "nom de famille": "last_name",
        "N° Bénéficiaire": "beneficiary_id",
        "NÉ(E) LE": "date_of_birth",
        "tel.": "phone_number",
        "Sexe": "gender",
        "Village": "zone",
        "Remarque": None,
    }


@pytest.mark.parametrize("language", ["fr", "en", "wo"])
def test_every_name_leads_to_its_field_in_every_language(language):
    for field in (*FIELDS, "full_name"):
        for name in NAMES[field][language]:
            assert recognise(name) == (field, 1.0), name
            assert recognise(f"  {name.upper()} ")[0] == field


@pytest.mark.parametrize(
    ("header", "field"),
    [
        ("Prénom de l’enfant", "first_name"),
        ("Nom du bénéficiaire *", "last_name"),
        ("Date de naissance (jj/mm/aaaa)", "date_of_birth"),
        ("Téléphone 1", "phone_number"),
        ("Numéro du bénéficiaire", "beneficiary_id"),
        ("Centre de santé/Poste de santé", "health_center"),
        ("Zone / District", "zone"),
        ("D'ATE d enregistrement", "enrollment_date"),
        ("date_of_birth", "date_of_birth"),
        ("N°", None),
        ("Nom de la mère", None),
        ("Téléphone du père", None),
        ("Nom du village", None),
        ("x" * 100_000, None),
    ],
)
def test_more_or_less_words_are_understood_but_other_people_are_not(header, field):
    assert recognise(header)[0] == field


def test_a_field_is_given_once_to_the_surest_column(tmp_path):
    header = ("Zone / District", "Zone", "Village", "Téléphone 1", "Téléphone")
    found = matched(tmp_path, header, ("a", "b", "c", "1", "2"))
    assert found == {
        "Zone / District": None,
        "Zone": "zone",
        "Village": None,
        "Téléphone 1": None,
        "Téléphone": "phone_number",
    }


def test_nameless_columns_are_told_by_their_content(tmp_path):
    rows = [("Awa", "Diop", "", f"77 123 45 {n:02}", f"{n + 1}/3/1990", "rien") for n in range(20)]
    found = matched(tmp_path, ("Prénom", "Nom", "", "", "", ""), *rows)
    assert found == {
        "Prénom": "first_name",
        "Nom": "last_name",
        "D": "phone_number",
        "E": "date_of_birth",
        "F": None,
    }


def test_a_full_name_is_offered_only_where_it_is_needed(tmp_path):
    row = ("Awa Diop", "Awa", "Diop")
    assert matched(tmp_path, ("Nom complet", "Matricule"), ("Awa Diop", "1"))["Nom complet"] == "full_name"
    assert matched(tmp_path, ("Nom complet", "Prénom", "Nom"), row)["Nom complet"] is None


def test_our_own_columns_come_back_as_nothing(tmp_path):
    found = matched(tmp_path, ("Nom", "Prénom", "Fieldcard: ligne"), ("Diop", "Awa", "7"))
    assert found["Fieldcard: ligne"] == LEFT_OUT


def test_samples_show_what_is_in_the_column(tmp_path):
    table = read(write(tmp_path, lines(("Nom", "Prénom"), ("Diop", "Awa"), ("Diop", ""), ("Fall", "Ali"))))
    assert [match.samples for match in match_columns(table)] == [("Diop", "Fall"), ("Awa", "Ali")]
