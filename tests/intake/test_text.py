"""Text tables: whoever saved it, with whatever program, the names come out right."""

import pytest

from app.intake import Unreadable
from tests.intake.files import AWA, HEADER, MODOU, cells, check, lines, read, write

NAMES = [("Sérère", "Gomis"), ("Ndèye", "Sène"), ("François", "Lô"), ("Aïssatou", "Bâ"), ("ÉLISE", "GUÈYE")]


def test_it_works(tmp_path):
    """Excel in French saves semicolons in Windows-1252: a thousand rows come through whole."""
    rows = [
        (*NAMES[n % 5], f"B-{n:04}", f"{n % 28 + 1:02}/03/1990", f"77 123 {n // 100:02} {n % 100:02}", "F")
        for n in range(1000)
    ]
    table = read(write(tmp_path, lines(HEADER, *rows), encoding="cp1252"))

    people = [row.person for row in check(table)]

    assert (table.kind, table.encoding, table.delimiter, table.row_count) == ("csv", "Windows-1252", ";", 1000)
    assert all(people)
    assert [(person.first_name, person.last_name) for person in people[:5]] == NAMES
    assert people[0].phone_number == "+221771230000"
    assert any("Windows-1252" in str(note) for note in table.notes)


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("utf-8", "UTF-8"),
        ("utf-8-sig", "UTF-8"),
        ("utf-16", "UTF-16"),
        ("utf-16-le", "UTF-16"),
        ("utf-16-be", "UTF-16"),
        ("cp1252", "Windows-1252"),
        ("mac_roman", "Mac Roman"),
        ("cp850", "MS-DOS (850)"),
    ],
)
def test_the_encoding_is_found(tmp_path, encoding, said):
    table = read(write(tmp_path, lines(("Prénom", "Nom"), *NAMES), encoding=encoding))
    assert table.encoding == said
    assert cells(table) == NAMES
    assert table.columns == ("Prénom", "Nom")


def test_the_order_of_utf16_bytes_may_be_either(tmp_path):
    path = write(tmp_path, b"\xfe\xff" + lines(("Prénom", "Nom"), *NAMES).encode("utf-16-be"))
    assert cells(read(path)) == NAMES


def test_a_byte_order_mark_written_twice_does_no_harm(tmp_path):
    table = read(write(tmp_path, "\ufeff\ufeff" + lines(HEADER, AWA)))
    assert table.columns == HEADER


def test_wolof_letters_survive(tmp_path):
    table = read(write(tmp_path, lines(("Tur", "Sant"), ("Ñaŋ", "Ndóoy")), encoding="utf-8"))
    assert cells(table) == [("Ñaŋ", "Ndóoy")]


def test_letters_of_another_alphabet_are_refused_rather_than_garbled(tmp_path):
    text = lines(("Prénom", "Nom"), ("محمد", "أحمد"), ("فاطمة", "علي")).replace("é", "e")
    with pytest.raises(Unreadable, match="CSV UTF-8"):
        read(write(tmp_path, text, encoding="cp1256"))


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_judged_over_many_lines(tmp_path, delimiter):
    """The title line and the village are full of other delimiters."""
    rows = [("Awa", "Diop", f"B-{n}", '"Thiès; rue 10, porte | 4"') for n in range(30)]
    text = "Liste; Thiès, 2026\n" + lines(("Prénom", "Nom", "Matricule", "Adresse"), *rows, delimiter=delimiter)
    table = read(write(tmp_path, text))
    assert table.delimiter == delimiter
    assert cells(table)[3] == ("Awa", "Diop", "B-3", "Thiès; rue 10, porte | 4")


def test_excels_own_separator_line_is_obeyed_and_keeps_the_row_numbers(tmp_path):
    table = read(write(tmp_path, "sep=|\r\n" + lines(HEADER, AWA, delimiter="|")))
    assert (table.delimiter, table.header_row) == ("|", 2)
    assert [number for number, _ in table.rows()] == [3]


def test_one_column_is_a_table_too(tmp_path):
    assert cells(read(write(tmp_path, "Matricule\nB-1\nB-2\n"))) == [("B-1",), ("B-2",)]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_as_they_like(tmp_path, end):
    assert cells(read(write(tmp_path, lines(HEADER, AWA, MODOU, end=end)))) == [AWA, MODOU]


def test_a_text_over_two_lines_is_one_row_and_the_next_keeps_its_number(tmp_path):
    table = read(write(tmp_path, 'Prénom;Nom\n"Awa\nMarie";Diop\nModou;Fall\n'))
    assert list(table.rows()) == [(2, ("Awa\nMarie", "Diop")), (3, ("Modou", "Fall"))]


def test_a_nickname_in_quotation_marks_is_forgiven(tmp_path):
    table = read(write(tmp_path, 'Prénom;Nom\n"Awa" Marie;Diop\nModou;Fall\n'))
    assert cells(table) == [("Awa Marie", "Diop"), ("Modou", "Fall")]


@pytest.mark.parametrize("rows_after", [1, 50, 20_000])
def test_a_quotation_mark_that_never_ends_is_refused_with_its_row(tmp_path, rows_after):
    text = lines(HEADER, AWA) + '"Modou;Fall\n' + lines(*[AWA] * rows_after)
    with pytest.raises(Unreadable, match=r"row 3 .* quotation mark"):
        read(write(tmp_path, text))


def test_a_field_longer_than_the_csv_reader_takes_is_refused(tmp_path):
    with pytest.raises(Unreadable, match=r"row 2 .* longer than 131,072"):
        read(write(tmp_path, lines(("Prénom", "Nom"), ("A" * 131_073, "Diop"))))


def test_a_row_of_nothing_but_delimiters_is_refused(tmp_path):
    with pytest.raises(Unreadable, match="Row 2 of the file has far too many cells"):
        read(write(tmp_path, lines(HEADER) + ";" * 1_000_000))


def test_a_single_nul_spoils_one_row_and_not_the_file(tmp_path):
    rows = check(read(write(tmp_path, lines(HEADER, AWA, ("Mo\0dou", *MODOU[1:]), *[AWA] * 20))))
    assert "invisible control characters" in str(rows[1].problems[0].sentence)
    assert "\0" not in "".join(rows[1].original)
    assert rows[0].person


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"\n\n;;;\n", "nothing in this file"),
        (b"Nom;Matricule\n", "no rows below"),
        (b"\x00\x01\x02\x03" * 50, "not a spreadsheet"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(32)) * 4, "(not a spreadsheet|cannot tell)"),
        (b"%PDF-1.7\n1 0 obj", "not a spreadsheet"),
        (b"<html><table><tr><td>Nom</td></tr></table>", "web page"),
        ("Nom;Matricule\nDiop;1".encode("utf-32"), "cannot tell"),
        ("Nom;Matricule\nDiop;1".encode("utf-16") + b"\x00", "cannot tell"),
    ],
)
def test_what_is_no_table_is_refused_in_one_sentence(tmp_path, content, reason):
    with pytest.raises(Unreadable, match=reason):
        read(write(tmp_path, content))
