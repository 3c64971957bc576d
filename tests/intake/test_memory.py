"""What was read in cells is remembered while a list is read, and by nobody afterwards."""

from datetime import date

import pytest
from sqlalchemy import select

from app.database import db
from app.domain import people_checks, traces
from app.domain.errors import Invalid
from app.intake import forget, memory
from app.intake.phones import read_phone
from app.intake.values import read_name
from app.models import Beneficiary
from tests.cast import make_campaign
from tests.domain.lists import ALIKE, a_list, add, bring, one_step, row


def remembered() -> int:
    """How many answers are kept in this process."""
    return sum(clear.__self__.cache_info().currsize for clear in memory._forgetting)


@pytest.fixture(autouse=True)
def empty():
    forget()


def test_it_works():
    assert read_phone("77 123 45 67", "SN") == "+221771234567"
    assert read_name(" Awa ") == "Awa"
    assert remembered() == 2
    forget()
    assert remembered() == 0


def test_after_a_list_nothing_is_kept(cast):
    add(cast, bring(make_campaign(cast.owner), a_list(row(1), row(2)), cast.editor))
    assert remembered() == 0


def test_after_a_form_nothing_is_kept():
    typed = {"first_name": "Awa", "last_name": "Ndiaye", "beneficiary_id": "A-1", "phone_number": "77 123 45 67"}
    assert people_checks.check_person(typed, today=date(2026, 1, 1), country="SN").phone_number == "+221771234567"
    with pytest.raises(Invalid):
        people_checks.check_person(typed | {"last_name": "1"}, today=date(2026, 1, 1), country="SN")
    assert remembered() == 0


def test_after_somebody_is_searched_in_a_file_nothing_is_kept(cast):
    bring(make_campaign(cast.owner, people=1), a_list("Awa;Sarr;M-1", header=ALIKE), cast.editor)
    one_step(cast.app)
    traces.in_lists(db.session.scalar(select(Beneficiary)))
    assert remembered() == 0
