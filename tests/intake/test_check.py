"""Rows: a person, or every problem of the row at once, with the spreadsheet's own row number."""

from datetime import date

import pytest

from app.intake import LEFT_OUT, MappingError, PersonRow, check_rows
from tests.intake.files import AWA, HEADER, MODOU, TODAY, check, lines, read, sentences, workbook, write


def rows_of(folder, *rows, header=HEADER, **changes):
    return check(read(write(folder, lines(header, *rows))), **changes)


def test_it_works(tmp_path):
    header = (*HEADER, "Poste de santé", "Org unit", "Zone", "Date d'inscription", "Nom de la mère")
    rows = rows_of(tmp_path, (*AWA, "Fandène", "Thiès", "Nord", "2026-11-01", "Coumba  Sène"), header=header)
    assert rows[0].number == 2
    assert rows[0].problems == ()
    assert rows[0].person == PersonRow(
        first_name="Awa",
        last_name="Diop",
        beneficiary_id="B-001",
        date_of_birth=date(1990, 12, 31),
        phone_number="+221771234567",
        gender="F",
        health_center="Fandène",
        org_unit="Thiès",
        zone="Nord",
        enrollment_date=date(2026, 11, 1),
        custom={"Nom de la mère": "Coumba Sène"},
    )


def test_all_problems_of_a_row_are_told_at_once(tmp_path):
    (row,) = rows_of(tmp_path, ("123", "", "1.23E+12", "31/12/90", "77", "x"))
    assert row.person is None
    assert [(problem.index, problem.header, problem.field) for problem in row.problems] == [
        (0, "Prénom(s)", "first_name"),
        (1, "Nom", "last_name"),
        (2, "N° bénéficiaire", "beneficiary_id"),
        (3, "Né(e) le", "date_of_birth"),
        (4, "Téléphone", "phone_number"),
        (5, "Sexe", "gender"),
    ]
    assert row.original == ("123", "", "1.23E+12", "31/12/90", "77", "x")


def test_what_is_not_required_may_stay_empty(tmp_path):
    (row,) = rows_of(tmp_path, ("Awa", "Diop", "B-1", "", "", ""))
    assert row.person == PersonRow("Awa", "Diop", "B-1")


@pytest.mark.parametrize(
    ("born", "reason"), [("21/11/2026", "future"), ("31/12/1899", "before 1900"), ("20/11/2026", None)]
)
def test_a_date_of_birth_is_one_of_a_living_person(tmp_path, born, reason):
    (row,) = rows_of(tmp_path, ("Awa", "Diop", "B-1", born, "", ""))
    assert (reason in sentences([row])[0]) if reason else row.person


def test_nobody_enrols_before_birth(tmp_path):
    rows = rows_of(tmp_path, (*AWA, "1989-01-01"), header=(*HEADER, "Date d'inscription"))
    assert "before the date of birth" in sentences(rows)[0]


def test_a_beneficiary_id_may_stand_there_once(tmp_path):
    rows = rows_of(tmp_path, AWA, MODOU, AWA, ("Fatou", *AWA[1:]))
    assert [bool(row.person) for row in rows] == [True, True, False, False]
    assert "the same as row 2" in sentences([rows[2]])[0]
    assert "Row 2 has this beneficiary ID already" in sentences([rows[3]])[0]


def test_lost_leading_zeros_of_identifiers_are_noticed(tmp_path):
    path = workbook(tmp_path, HEADER[:3], ("Awa", "Diop", "00123"), ("Ali", "Ba", 124.0), ("Eva", "Lo", "100125"))
    rows = check(read(path))
    assert [bool(row.person) for row in rows] == [True, False, True]
    assert "others in this column have 5 digits" in sentences(rows)[0]


def test_the_column_says_how_its_dates_were_read(tmp_path):
    table = read(write(tmp_path, lines(HEADER[:4], ("Awa", "Diop", "B-1", "03/04/2001"))))
    rows = check_rows(table, {0: "first_name", 1: "last_name", 2: "beneficiary_id", 3: "date_of_birth"},
                      country="SN", today=TODAY)  # fmt: skip
    assert [str(note) for note in rows.notes] == [
        "One date in the column “Né(e) le” could be read in two ways; it was read as day/month/year."
    ]
    assert next(iter(rows)).person.date_of_birth == date(2001, 4, 3)
    assert len(list(rows)) == len(list(rows)) == 1, "the rows can be checked again"


def test_formulas_stay_text(tmp_path):
    rows = rows_of(tmp_path, ("=1+1 Awa", "@Diop", "-1", "", "", ""))
    assert (rows[0].person.first_name, rows[0].person.last_name) == ("=1+1 Awa", "@Diop")


def test_a_full_name_is_split(tmp_path):
    rows = rows_of(tmp_path, ("Diop Awa Marie", "1"), ("Fall", "2"), ("", "3"), header=("Nom et prénom", "Matricule"))
    assert (rows[0].person.first_name, rows[0].person.last_name) == ("Awa Marie", "Diop")
    assert sentences(rows) == ["Write first name and last name.", "The name is missing."]


def test_a_delimiter_inside_a_text_does_not_move_the_cells_unseen(tmp_path):
    rows = rows_of(tmp_path, *[(*AWA[:2], f"B-{n}", *AWA[3:]) for n in range(9)], ("Awa;Marie", *MODOU[1:]))
    assert [bool(row.person) for row in rows] == [True] * 9 + [False]
    assert any("more cells than there are column names" in text for text in sentences(rows))


def test_columns_may_be_left_out(tmp_path):
    table = read(write(tmp_path, lines((*HEADER[:3], "Secret", "Note"), ("Awa", "Diop", "B-1", "x", "y"))))
    mapping = {0: "first_name", 1: "last_name", 2: "beneficiary_id", 3: LEFT_OUT}
    (row,) = check_rows(table, mapping, country="SN", today=TODAY)
    assert row.person.custom == {}


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        ({}, ["first name", "last name", "beneficiary ID"]),
        ({0: "first_name", 1: "last_name"}, ["beneficiary ID"]),
        ({0: "full_name"}, ["beneficiary ID"]),
        ({0: "first_name", 1: "first_name", 2: "beneficiary_id"}, ["“Prénom(s)”, “Nom”", "last name"]),
        ({0: "full_name", 1: "last_name", 2: "beneficiary_id"}, ["“Prénom(s)”, “Nom”"]),
        ({99: "first_name"}, ["not those of the file"]),
        ({0: "shoe_size"}, ["not those of the file"]),
    ],
)
def test_columns_that_make_no_person_are_refused_by_name(tmp_path, mapping, said):
    table = read(write(tmp_path, lines(HEADER, AWA)))
    with pytest.raises(MappingError) as refused:
        check_rows(table, mapping, country="SN", today=TODAY)
    assert len(refused.value.sentences) == len(said)
    for part, sentence in zip(said, refused.value.sentences, strict=True):
        assert part in str(sentence)
