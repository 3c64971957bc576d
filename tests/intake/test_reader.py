"""Tables: the column names are found, the rows keep their numbers, the limits hold."""

import pytest

from app.intake import Unreadable
from tests.intake.files import AWA, HEADER, MODOU, cells, lines, read, write


def test_it_works(tmp_path):
    table = read(write(tmp_path, lines(HEADER, AWA, MODOU)))
    assert table.columns == HEADER
    assert list(table.rows()) == [(2, AWA), (3, MODOU)]
    assert list(table.rows()) == [(2, AWA), (3, MODOU)], "the rows can be read again"
    assert table.notes == ()


def test_title_lines_and_blank_rows_are_skipped_and_said(tmp_path):
    text = "District de Thiès;;;;;\n;;;;;\nListe arrêtée en mai;;;;;\n" + lines(HEADER, AWA, ("",) * 6, MODOU)
    table = read(write(tmp_path, text))
    assert table.header_row == 4
    assert [number for number, _ in table.rows()] == [5, 7]
    assert "2 lines above the column names were left out." in map(str, table.notes)


def test_names_that_nobody_knows_still_make_a_header_and_it_is_said(tmp_path):
    table = read(write(tmp_path, "Rapport\nAlpha;Beta;Gamma\n1;2;3\n4;5;6\n"))
    assert table.columns == ("Alpha", "Beta", "Gamma")
    assert any("No column name was recognised; row 2" in str(note) for note in table.notes)


def test_a_header_repeated_on_every_page_is_no_person(tmp_path):
    assert cells(read(write(tmp_path, lines(HEADER, AWA, HEADER, MODOU)))) == [AWA, MODOU]


def test_columns_of_one_name_are_told_apart_and_nameless_ones_get_their_letter(tmp_path):
    table = read(write(tmp_path, "Nom;Nom;;Prénom;;\nDiop;Fall;x;Awa;;\nSow;Ba;y;Ali;;\n"))
    assert table.columns == ("Nom", "Nom (2)", "C", "Prénom")
    assert table.unnamed == {2}
    assert any("One column name" in str(note) for note in table.notes)


def test_the_apostrophe_before_a_phone_number_is_taken_off_once(tmp_path):
    table = read(write(tmp_path, "Nom;Téléphone\nDiop;'+221771234567\nN'Diaye;''=1\n'Aïcha;'77\n"))
    assert cells(table) == [("Diop", "+221771234567"), ("N'Diaye", "'=1"), ("'Aïcha", "'77")]


def test_limits_are_told_in_words(tmp_path):
    path = write(tmp_path, lines(HEADER, AWA, MODOU))
    with pytest.raises(Unreadable, match="more than 1 rows"):
        read(path, max_rows=1)
    with pytest.raises(Unreadable, match="more than 5 columns"):
        read(path, max_columns=5)
    with pytest.raises(Unreadable, match="larger than 0 MB"):
        read(path, max_bytes=10)


@pytest.mark.parametrize("text", ["a;" * 100_000 + "\nb;c\n", "Nom;Prénom\nDiop" + ";x" * 100_000 + "\n"])
def test_a_hundred_thousand_columns_are_refused(tmp_path, text):
    with pytest.raises(Unreadable, match="more than 500 columns"):
        read(write(tmp_path, text))
