"""A dossier holds every cell that a list told about somebody."""

from sqlalchemy import select

from app.database import db
from app.domain import dossiers
from app.models import Beneficiary
from tests.cast import make_campaign
from tests.domain.lists import a_list, add, bring


def test_no_cell_is_lost_where_columns_have_the_same_name(cast):
    header = "Prénom(s);Nom;N° bénéficiaire;Remarque;Remarque"
    add(
        cast,
        bring(make_campaign(cast.owner), a_list("Awa;Sarr;A-1;parle wolof;vient mardi", header=header), cast.editor),
    )

    [line] = dossiers.hand_out(db.session.scalar(select(Beneficiary)), by=cast.owner).rows
    assert list(line.cells.values()) == ["Awa", "Sarr", "A-1", "parle wolof", "vient mardi"]


def test_columns_of_one_name_or_none_are_numbered():
    named = dossiers._by_column(["Nom", "Nom", "", "Vu"], ["a", "b", "c", "d", "e"])
    assert named == {"Nom": "a", "Nom (2)": "b", "": "c", "Vu": "d", "(2)": "e"}
