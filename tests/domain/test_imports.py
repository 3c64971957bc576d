"""An import's life: a file handed in, read, matched, checked and added by workers that may die at any moment."""

import io
from pathlib import Path

import pytest
from openpyxl import Workbook
from sqlalchemy import func, select

from app import files
from app.database import db, transaction
from app.domain import access, campaigns, import_rows, importing, imports, people, work
from app.domain.errors import Conflict, Invalid, NotAllowed, NotFound, TooLarge
from app.intake import MAX_BYTES
from app.models import AuditEntry, Beneficiary, Campaign, Enrolment, ImportBatch, ImportRow, ImportState
from tests.cast import make_campaign, work_to_the_end

HEADER = "Prénom(s);Nom;N° bénéficiaire;Né(e) le;Téléphone;Sexe;Métier"
ALIKE = "Prenom;Nom de la mère;Matricule"
both = pytest.mark.both


class Killed(BaseException):
    """What kill -9 is to a worker: nothing of it runs on."""


def row(number: int, phone: str = "") -> str:
    return f"Aïssatou;Ndèye {number};B-{number:05d};31/12/1990;{phone or 770_000_000 + number};F;Couturière"


def a_list(*rows: str, header: str = HEADER) -> bytes:
    return "\r\n".join((header, *rows)).encode("cp1252")


def workbook(*rows: tuple, hidden: int) -> bytes:
    book = Workbook()
    for values in rows:
        book.active.append(values)
    book.active.row_dimensions[hidden].hidden = True
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def bring(campaign: Campaign, content: bytes, by: access.Actor, name: str = "liste.csv") -> ImportBatch:
    """Hand the file in as the portal does."""
    path = Path(files.store().folder) / ".tmp-sent"
    path.write_bytes(content)
    return imports.upload(campaign, name, path, by=by)


def one_step(app, owner: str = "worker", stopping=lambda: False) -> None:
    """Let a worker of another process do one piece of work."""
    db.session.rollback()
    with app.app_context():
        work.do_one(owner, stopping=stopping)
    db.session.rollback()


def expire_leases() -> None:
    """Let every lease run out, as time would."""
    with transaction() as session:
        session.query(ImportBatch).filter(ImportBatch.lease_fence.is_not(None)).update({"lease_expires": 0.0})


def count(model) -> int:
    return db.session.scalar(select(func.count()).select_from(model))


@pytest.fixture
def small_runs(monkeypatch):
    """Ten rows and ten people in each transaction, so that a short list has several."""
    monkeypatch.setattr(importing, "ROWS_AT_ONCE", 10)
    monkeypatch.setattr(importing, "PEOPLE_AT_ONCE", 10)


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
    assert people.search(campaign, "ndeye b-00042")[0] == 1
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


@both
def test_a_worker_that_loses_its_lease_while_checking_changes_nothing(cast, small_runs):
    batch = bring(make_campaign(cast.owner), a_list(*(row(number) for number in range(35))), cast.editor)
    one_step(cast.app)
    one_step(cast.app, "A", stopping=taken_over_at(3, cast.app))

    db.session.refresh(batch)
    assert (batch.state, batch.rows_good, batch.lease_fence) == (ImportState.checked, 35, None)
    assert count(ImportRow) == 35


@both
def test_a_worker_that_loses_its_lease_while_adding_adds_nobody(cast, small_runs):
    batch = bring(make_campaign(cast.owner), a_list(*(row(number) for number in range(35))), cast.editor)
    work_to_the_end(cast.app)
    imports.confirm(batch, people=35, by=cast.editor)
    one_step(cast.app, "A", stopping=taken_over_at(2, cast.app))

    db.session.refresh(batch)
    assert (batch.state, batch.rows_new, batch.rows_same) == (ImportState.added, 35, 0)
    assert (count(Beneficiary), count(Enrolment)) == (35, 35)


def test_a_worker_that_wakes_too_late_changes_nothing(cast):
    """A claims and stalls, B takes over and finishes the step, A wakes with the old fence."""
    batch = bring(make_campaign(cast.owner), a_list(row(1)), cast.editor)
    with cast.app.app_context():
        stale = importing.claim("A")
    expire_leases()
    work_to_the_end(cast.app, "B")
    with cast.app.app_context():
        assert importing.go_on(stale, stopping=lambda: False)
    db.session.refresh(batch)
    assert (batch.state, batch.rows_good) == (ImportState.checked, 1)


@both
@pytest.mark.parametrize("looks", [1, 2, 4])
def test_a_worker_killed_while_checking_is_followed_by_another(cast, small_runs, looks):
    batch = bring(make_campaign(cast.owner), a_list(*(row(number) for number in range(35))), cast.editor)
    one_step(cast.app)
    with pytest.raises(Killed):
        one_step(cast.app, "A", stopping=killed_at(looks))
    read_by_then = db.session.get_one(ImportBatch, batch.id, populate_existing=True).rows_read
    assert work_to_the_end(cast.app, "B") == 0

    expire_leases()
    work_to_the_end(cast.app, "B")
    db.session.refresh(batch)
    assert (batch.state, batch.rows_good, batch.rows_read) == (ImportState.checked, 35, 35)
    assert count(ImportRow) == 35 and read_by_then < 35


@both
def test_a_worker_killed_while_adding_is_followed_from_where_it_was(cast, small_runs):
    batch = bring(make_campaign(cast.owner), a_list(*(row(number) for number in range(35))), cast.editor)
    work_to_the_end(cast.app)
    imports.confirm(batch, people=35, by=cast.editor)
    with pytest.raises(Killed):
        one_step(cast.app, "A", stopping=killed_at(2))
    db.session.refresh(batch)
    assert (imports.progress(batch).done, imports.progress(batch).percent) == (20, 57)

    expire_leases()
    work_to_the_end(cast.app, "B")
    db.session.refresh(batch)
    assert (batch.state, batch.rows_new, batch.rows_same) == (ImportState.added, 35, 0)
    assert count(Enrolment) == 35


def test_a_stopping_worker_hands_the_list_back_without_an_attempt(cast, small_runs):
    batch = bring(make_campaign(cast.owner), a_list(*(row(number) for number in range(35))), cast.editor)
    looks = iter([False, True, True])
    one_step(cast.app, stopping=lambda: next(looks))
    db.session.refresh(batch)
    assert (batch.state, batch.attempts, batch.lease_fence) == (ImportState.uploaded, 0, None)


def test_a_list_that_failed_five_times_is_given_up_with_a_sentence(cast, monkeypatch):
    batch = bring(make_campaign(cast.owner), a_list(row(1)), cast.editor)
    monkeypatch.setitem(importing.STEPS, ImportState.uploaded, trip)
    assert work_to_the_end(cast.app) == 6
    db.session.refresh(batch)
    assert (batch.state, batch.attempts, batch.lease_fence) == (ImportState.failed, 0, None)
    assert "tried five times" in batch.problem["template"]


def test_a_list_that_gets_on_a_little_at_each_attempt_is_not_given_up(cast, monkeypatch):
    monkeypatch.setattr(importing, "PEOPLE_AT_ONCE", 3)
    batch = bring(make_campaign(cast.owner), a_list(*(row(number) for number in range(35))), cast.editor)
    work_to_the_end(cast.app)
    imports.confirm(batch, people=35, by=cast.editor)
    for _ in range(12):
        one_step(cast.app, stopping=tripped_at(1))
    work_to_the_end(cast.app)
    db.session.refresh(batch)
    assert (batch.state, batch.rows_new) == (ImportState.added, 35)


def test_a_disk_that_is_away_is_not_the_lists_fault(cast, monkeypatch):
    batch = bring(make_campaign(cast.owner), a_list(row(1)), cast.editor)
    with monkeypatch.context() as broken:
        broken.setitem(importing.STEPS, ImportState.uploaded, no_disk)
        for _ in range(7):
            assert work_to_the_end(cast.app) == 0
    work_to_the_end(cast.app)
    db.session.refresh(batch)
    assert batch.state == ImportState.checked


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


def add(cast, batch: ImportBatch) -> ImportBatch:
    """Let the list go through all its steps, its good rows confirmed as they are."""
    work_to_the_end(cast.app)
    db.session.refresh(batch)
    imports.confirm(batch, people=batch.rows_good, by=access.Actor(batch.organisation_id, "editor"))
    work_to_the_end(cast.app)
    db.session.refresh(batch)
    return batch


def at_look(number: int, act):
    """Return a `stopping` that does something when the worker looks at it for the `number`th time, from 0."""
    looks = iter(range(1000))

    def stopping() -> bool:
        if next(looks) == number:
            act()
        return False

    return stopping


def killed_at(look: int):
    """Return a `stopping` that kills the worker."""
    return at_look(look, die)


def tripped_at(look: int):
    """Return a `stopping` that lets the worker trip over a mistake of ours."""
    return at_look(look, trip)


def taken_over_at(look: int, app):
    """Return a `stopping` that lets the lease run out and another worker do everything."""

    def take_over() -> None:
        with app.app_context():
            expire_leases()
            while work.do_one("B", stopping=lambda: False):
                pass

    return at_look(look, take_over)


def die() -> None:
    raise Killed


def trip(*_: object) -> None:
    raise ZeroDivisionError


def no_disk(*_: object) -> None:
    raise OSError("No space left on device")
