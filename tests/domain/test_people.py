"""People of a campaign: brought in, corrected, found again."""

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from app.database import db, transaction
from app.domain import people, rosters
from app.domain.access import Actor
from app.domain.errors import Invalid, InvalidPeople, NotAllowed
from app.domain.people_checks import check_people, check_person
from app.intake import FIELDS, PersonRow
from app.models import AuditEntry, Beneficiary, Campaign, Enrolment
from tests.cast import make_campaign

AWA = PersonRow("Awa", "Ndiaye", "P-1", phone_number="+221771234567", zone="Plateau", custom={"village": "Mbour"})
COUMBA = PersonRow("Coumba", "Sène", "P-2", date_of_birth=date(1990, 12, 31), gender="F")


def enrol(campaign: Campaign, rows: list[PersonRow], by: Actor) -> people.Enrolled:
    with transaction():
        return people.enrol(campaign, rows, by=by)


def person(beneficiary_id: str) -> Beneficiary:
    return db.session.scalars(select(Beneficiary).where(Beneficiary.beneficiary_id == beneficiary_id)).one()


@pytest.mark.both
def test_it_works(cast):
    campaign = make_campaign(cast.owner)

    first = enrol(campaign, [COUMBA, AWA], by=cast.editor)
    assert (first.new, first.updated, first.same) == (2, 0, 0)
    again = enrol(campaign, [AWA, replace(COUMBA, zone="Yoff")], by=cast.editor)
    assert (again.new, again.updated, again.same) == (0, 1, 1)

    assert again.ids == (person("P-1").id, person("P-2").id) == first.ids[::-1]
    assert (person("P-2").zone, person("P-2").date_of_birth, person("P-2").gender) == (
        "Yoff",
        date(1990, 12, 31),
        "F",
    )
    assert db.session.query(Enrolment).count() == 2


def test_what_a_row_leaves_out_stays(cast):
    campaign = make_campaign(cast.owner)
    enrol(campaign, [AWA], by=cast.owner)
    outcome = enrol(campaign, [PersonRow("Awa", "Ndiaye", "P-1", custom={"children": "2"})], by=cast.owner)

    assert outcome.updated == 1
    awa = person("P-1")
    assert (awa.phone_number, awa.zone, awa.custom_fields) == (
        "+221771234567", "Plateau", {"village": "Mbour", "children": "2"},
    )  # fmt: skip


def test_a_person_is_one_in_all_campaigns_of_an_organisation_and_unknown_elsewhere(cast):
    enrol(make_campaign(cast.owner), [AWA], by=cast.owner)
    second = enrol(make_campaign(cast.owner), [AWA], by=cast.owner)
    abroad = enrol(make_campaign(cast.stranger), [AWA], by=cast.stranger)

    assert (second.new, second.same, abroad.new) == (0, 1, 1)
    assert db.session.query(Enrolment).count() == 3
    assert db.session.query(Beneficiary).count() == 2


def test_the_campaign_keeps_people_as_they_came(cast):
    rows = [PersonRow("Awa", "Ndiaye", f"P-{number:04d}") for number in range(1_200)]
    outcome = enrol(make_campaign(cast.owner), rows, by=cast.owner)

    assert list(db.session.scalars(select(Enrolment.person_id).order_by(Enrolment.id))) == list(outcome.ids)


def test_one_person_twice_is_refused_before_anything_is_written(cast):
    campaign = make_campaign(cast.owner)
    with pytest.raises(InvalidPeople) as refusal:
        enrol(campaign, [AWA, COUMBA, AWA], by=cast.owner)

    assert refusal.value.problems[0][:2] == (2, "beneficiary_id")
    assert db.session.query(Beneficiary).count() == 0


def test_a_viewer_brings_in_nobody(cast):
    campaign = make_campaign(cast.owner)
    with pytest.raises(NotAllowed):
        enrol(campaign, [AWA], by=cast.viewer)


def test_somebody_is_added_once(cast):
    campaign = make_campaign(cast.owner)
    added = people.add_person(campaign, AWA, by=cast.editor)

    assert added == person("P-1").id
    with pytest.raises(Invalid) as refusal:
        people.add_person(campaign, replace(AWA, first_name="Fatou"), by=cast.editor)
    assert list(refusal.value.fields) == ["beneficiary_id"]
    assert person("P-1").first_name == "Awa"


@pytest.mark.both
def test_a_correction_says_everything_anew(cast):
    campaign = make_campaign(cast.owner)
    people.add_person(campaign, AWA, by=cast.editor)
    people.correct_person(person("P-1"), replace(AWA, last_name="Fall", zone=None, phone_number=None), by=cast.editor)

    awa = person("P-1")
    assert (awa.last_name, awa.zone, awa.phone_number, awa.search_text) == ("Fall", "", None, "awa fall p-1 ")
    noted = db.session.scalars(select(AuditEntry).where(AuditEntry.action == "person.corrected")).one()
    assert noted.facts == {"fields": ["last_name", "phone_number", "zone"]}


def test_a_correction_cannot_take_the_id_of_another(cast):
    campaign = make_campaign(cast.owner)
    enrol(campaign, [AWA, COUMBA], by=cast.owner)
    with pytest.raises(Invalid):
        people.correct_person(person("P-1"), replace(AWA, beneficiary_id="P-2"), by=cast.owner)
    people.correct_person(person("P-1"), replace(AWA, beneficiary_id="P-3"), by=cast.owner)

    assert person("P-3").first_name == "Awa"


def test_the_log_holds_no_name(cast):
    enrol(make_campaign(cast.owner), [AWA], by=cast.owner)

    noted = db.session.scalars(select(AuditEntry).where(AuditEntry.action == "people.enrolled")).one()
    assert noted.facts == {"new": 1, "updated": 0, "same": 0}


@pytest.mark.both
def test_people_are_found_whatever_the_case_and_the_accents(cast):
    campaign = make_campaign(cast.owner)
    enrol(campaign, [AWA, COUMBA], by=cast.owner)
    enrol(make_campaign(cast.owner), [PersonRow("Awa", "Sene", "P-3")], by=cast.owner)

    def found(words: str) -> set[str]:
        total, page = rosters.look(campaign, words, by=cast.owner)
        assert total == len(page)
        return {line.person.beneficiary_id for line in page}

    assert found("") == {"P-1", "P-2"}
    assert found("sene") == found("SÈNE coum") == {"P-2"}
    assert found("p-1") == found("77 123") == found("\x00awa") == {"P-1"}
    for words in ("ndiaye coumba", "%", "_", "\\", "' or 1=1 --"):
        assert found(words) == set()


def test_a_page_is_the_newest_first(cast):
    campaign = make_campaign(cast.owner)
    enrol(campaign, [PersonRow("Awa", "Ndiaye", f"P-{number}") for number in range(5)], by=cast.owner)

    total, page = rosters.look(campaign, "awa", by=cast.owner, limit=2, offset=1)
    assert (total, [line.person.beneficiary_id for line in page]) == (5, ["P-3", "P-2"])


def test_a_form_may_leave_the_country_code_out():
    today = date(2026, 11, 22)
    awa = {"first_name": "Awa", "last_name": "Fall", "beneficiary_id": "7", "phone_number": "77 123 45 67"}
    row = check_person(awa, today=today, country="SN")
    assert row.phone_number == "+221771234567"

    unborn = awa | {"first_name": "", "last_name": None, "date_of_birth": "2026-11-23"}
    with pytest.raises(Invalid) as refusal:
        check_person(unborn, today=today, country="SN")
    assert list(refusal.value.fields) == ["first_name", "last_name", "date_of_birth"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.lists(st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=5), JSON, max_size=6) | JSON, max_size=4))
def test_nothing_sent_is_an_error_of_ours(items):
    try:
        rows = check_people(items, today=date(2026, 11, 22))
    except InvalidPeople as refusal:
        assert refusal.total >= len(refusal.problems) > 0
    else:
        assert [type(row) for row in rows] == [PersonRow] * len(items)
