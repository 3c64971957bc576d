"""An import's life: a file handed in, read, its columns matched, its rows checked, its people added."""

import pytest
from sqlalchemy import func, select

from app import files
from app.database import db
from app.domain import access, campaigns, import_rows, importing, imports, rosters
from app.domain.errors import Conflict, Invalid, NotAllowed, NotFound, TooLarge
from app.intake import MAX_BYTES
from app.models import AuditEntry, Beneficiary, Enrolment, ImportBatch, ImportRow, ImportState
from tests.cast import make_campaign, work_to_the_end
from tests.domain.lists import ALIKE, HEADER, a_list, add, bring, count, row, workbook

both = pytest.mark.both


@both
def test_it_works(cast):
    """A thousand rows as Excel writes them in French: Windows-1252, semicolons, three of them wrong."""
    campaign = make_campaign(cast.owner)
    wrong = [row(998, phone="77"), ";Sène;B-00999;;;;", row(5)]
    batch = bring(campaign, a_list(*(row(number) for number in range(997)), *wrong), cast.editor)
    assert batch.state == ImportState.uploaded

    work_to_the_end(cast.app)
    db.session.refresh(batch)
    assert (batch.state, batch.rows_total) == (ImportState.checked, 1_000)
    assert (batch.rows_good, batch.rows_refused, batch.rows_new, batch.rows_updated) == (997, 3, 997, 0)
    assert (batch.look["encoding"], batch.look["delimiter"]) == ("Windows-1252", ";")
    refused = list(import_rows.refused(batch))
    assert [line.number for line in refused] == [999, 1000, 1001]
    assert [str(line.problems[0].sentence) for line in refused][1] == "The first name is missing."
    assert count(Beneficiary) == 0

    imports.confirm(batch, people=997, by=cast.editor)
    work_to_the_end(cast.app)
    db.session.refresh(batch)
    assert (batch.state, batch.rows_new, batch.rows_same) == (ImportState.added, 997, 0)
    assert rosters.look(campaign, "ndeye b-00042", by=cast.editor)[0] == 1
    first = db.session.scalar(select(Beneficiary).where(Beneficiary.beneficiary_id == "B-00000"))
    assert (first.first_name, first.phone_number, first.custom_fields) == (
        "Aïssatou",
        "+221770000000",
        {"Métier": "Couturière"},
    )


@both
def test_a_workbook_with_title_lines_a_hidden_row_and_a_column_to_match(cast):
    titles = [("Liste des enfants",), (None,), ("Nom et prénom", "Matricule", "Né le")]
    children = [("DIOP Awa", 1, "05/02/2020"), ("HIDDEN Person", 2, "05/02/2020"), ("FALL Modou", 3, "13/02/2020")]
    batch = bring(make_campaign(cast.owner), workbook(*titles, *children, hidden=5), cast.editor, "enfants.xlsx")
    work_to_the_end(cast.app)
    db.session.refresh(batch)

    assert batch.state == ImportState.matching
    assert (batch.look["header_row"], [line["row"] for line in batch.look["sample"]]) == (3, [4, 6])
    assert "One hidden row was left out." in [note["template"] for note in batch.look["notes"]]

    imports.choose_columns(batch, importing._columns(batch.columns), by=cast.editor)
    work_to_the_end(cast.app)
    imports.confirm(batch, people=2, by=cast.editor)
    work_to_the_end(cast.app)
    names = db.session.execute(select(Beneficiary.first_name, Beneficiary.last_name).order_by(Beneficiary.id)).all()
    assert [tuple(name) for name in names] == [("Awa", "DIOP"), ("Modou", "FALL")]


@both
def test_the_same_list_twice_adds_nobody_twice(cast):
    campaign, content = make_campaign(cast.owner), a_list(*(row(number) for number in range(30)))
    first = add(cast, bring(campaign, content, cast.editor))
    again = bring(campaign, content, cast.editor)
    assert again.id != first.id
    add(cast, again)

    assert (again.rows_new, again.rows_updated, again.rows_same) == (0, 0, 30)
    assert (count(Beneficiary), count(Enrolment)) == (30, 30)
    assert imports.added_before(again).id == first.id


def test_the_same_file_leads_to_the_import_that_is_still_open(cast):
    campaign, content = make_campaign(cast.owner), a_list(row(1))
    first = bring(campaign, content, cast.editor)
    again = bring(campaign, content, cast.editor)
    assert again.id == first.id
    assert list(files.store().keys("imports/")) == [first.file_key]


def test_people_of_another_organisation_are_not_known(cast):
    add(cast, bring(make_campaign(cast.stranger), a_list(row(1)), cast.stranger))
    batch = bring(make_campaign(cast.owner), a_list(row(1)), cast.editor)
    work_to_the_end(cast.app)
    db.session.refresh(batch)
    assert (batch.rows_new, batch.rows_updated) == (1, 0)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"PK\x03\x04 and nothing more", "damaged"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 an old one, cut off", "damaged"),
        (b"\x00\x01\x02" * 1000, "not"),
        (b"\n \n\n", "nothing"),
        (HEADER.encode(), "no rows below"),
        (b"a;" * 600 + b"\n" + b"b;" * 600, "columns"),
    ],
)
def test_a_file_nobody_can_read_fails_with_a_sentence(cast, content, sentence):
    batch = bring(make_campaign(cast.owner), content, cast.editor, "liste.xlsx")
    work_to_the_end(cast.app)
    db.session.refresh(batch)
    assert (batch.state, batch.lease_fence) == (ImportState.failed, None)
    assert sentence in batch.problem["template"]


def test_a_file_that_is_gone_from_the_store_is_asked_for_again(cast):
    batch = bring(make_campaign(cast.owner), a_list(row(1)), cast.editor)
    files.store().delete(batch.file_key)
    work_to_the_end(cast.app)
    db.session.refresh(batch)
    assert batch.state == ImportState.failed and "Choose it once more" in batch.problem["template"]


def test_columns_chosen_again_check_all_rows_anew(cast):
    batch = bring(make_campaign(cast.owner), a_list("Awa;Diop;B-1;Sène", header=ALIKE + ";Village"), cast.editor)
    work_to_the_end(cast.app)
    db.session.refresh(batch)
    assert batch.state == ImportState.matching

    imports.choose_columns(batch, {0: "first_name", 1: "last_name", 2: "beneficiary_id"}, by=cast.editor)
    work_to_the_end(cast.app)
    imports.choose_columns(batch, {0: "first_name", 3: "last_name", 2: "beneficiary_id", 1: None}, by=cast.editor)
    db.session.refresh(batch)
    assert (batch.state, batch.rows_good) == (ImportState.matched, 0)
    work_to_the_end(cast.app)
    ((number, person),) = import_rows.good(batch, limit=9)
    assert (number, person.last_name, person.custom) == (2, "Sène", {"Nom de la mère": "Diop"})
    assert count(ImportRow) == 1


@pytest.mark.parametrize(
    ("columns", "fields"),
    [
        ({0: "first_name", 2: "beneficiary_id"}, {"last_name"}),
        ({0: "first_name", 1: "first_name"}, {"last_name", "beneficiary_id", "1"}),
        ({0: "full_name", 1: "last_name", 2: "beneficiary_id"}, {"1"}),
        ({0: "first_name", 1: "shoe_size", 2: "beneficiary_id"}, {""}),
        ({0: "first_name", 1: "last_name", 7: "beneficiary_id"}, {""}),
    ],
)
def test_a_choice_that_makes_no_person_is_refused(cast, columns, fields):
    batch = bring(make_campaign(cast.owner), a_list("Awa;Diop;B-1;Sène", header=ALIKE + ";Village"), cast.editor)
    work_to_the_end(cast.app)
    db.session.refresh(batch)
    with pytest.raises(Invalid) as refused:
        imports.choose_columns(batch, columns, by=cast.editor)
    assert set(refused.value.fields) == fields


def test_a_second_press_of_the_button_does_nothing_more(cast):
    batch = bring(make_campaign(cast.owner), a_list(row(1)), cast.editor)
    work_to_the_end(cast.app)
    imports.confirm(batch, people=1, by=cast.editor)
    imports.confirm(batch, people=1, by=cast.editor)
    work_to_the_end(cast.app)
    imports.confirm(batch, people=1, by=cast.editor)
    confirmed = select(func.count()).select_from(AuditEntry).where(AuditEntry.action == "import.confirmed")
    assert db.session.scalar(confirmed) == 1
    with pytest.raises(Conflict):
        imports.choose_columns(batch, {0: "first_name", 1: "last_name", 2: "beneficiary_id"}, by=cast.editor)


def test_only_the_numbers_that_were_seen_are_confirmed(cast):
    batch = bring(make_campaign(cast.owner), a_list(row(1), row(2, phone="77")), cast.editor)
    with pytest.raises(Conflict):
        imports.confirm(batch, people=0, by=cast.editor)
    work_to_the_end(cast.app)
    with pytest.raises(Conflict, match="new numbers"):
        imports.confirm(batch, people=2, by=cast.editor)


def test_a_list_without_a_good_row_is_not_confirmed(cast):
    batch = bring(make_campaign(cast.owner), a_list(row(1, phone="77")), cast.editor)
    work_to_the_end(cast.app)
    with pytest.raises(Conflict, match="no row"):
        imports.confirm(batch, people=0, by=cast.editor)


def test_files_that_are_empty_or_too_large_are_not_taken(cast):
    campaign = make_campaign(cast.owner)
    with pytest.raises(Invalid):
        bring(campaign, b"", cast.editor)
    with pytest.raises(TooLarge, match="10 MB"):
        bring(campaign, b"x" * (MAX_BYTES + 1), cast.editor)
    assert list(files.store().keys("imports/")) == []


def test_a_file_name_is_only_a_name(cast):
    campaign = make_campaign(cast.owner)
    batch = bring(campaign, a_list(row(1)), cast.editor, "C:\\Users\\x/../../etc/li\0ste\u202e.csv")
    assert batch.file_name == "liste.csv"
    assert len(bring(campaign, a_list(row(2)), cast.editor, "é" * 999).file_name) == 255


def test_an_archived_campaign_takes_nobody(cast):
    campaign = make_campaign(cast.owner)
    batch = bring(campaign, a_list(row(1)), cast.editor)
    work_to_the_end(cast.app)
    campaigns.archive(campaign, by=cast.owner)
    with pytest.raises(Conflict, match="archived"):
        bring(campaign, a_list(row(2)), cast.editor)
    with pytest.raises(Conflict, match="archived"):
        imports.confirm(batch, people=1, by=cast.editor)


def test_a_viewer_brings_nobody_in_and_a_stranger_finds_nothing(cast):
    campaign = make_campaign(cast.owner)
    batch = bring(campaign, a_list(row(1)), cast.editor)
    for verb in (
        lambda: bring(campaign, a_list(row(2)), cast.viewer),
        lambda: imports.choose_columns(batch, {}, by=cast.viewer),
        lambda: imports.confirm(batch, people=1, by=cast.viewer),
    ):
        with pytest.raises(NotAllowed):
            verb()
    with pytest.raises(NotFound):
        access.find(ImportBatch, cast.stranger, batch.id, to="bring in people")
