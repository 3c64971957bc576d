"""Forms that keep what was typed and go once, tables to take away, and pages of long lists."""

from dataclasses import dataclass

import pytest

from app.web import exports, forms
from app.web.pager import paged


@dataclass(frozen=True)
class Answers:
    """A form of every kind of field."""

    name: str = "nobody"
    sizes: tuple[str, ...] = ()
    sure: bool = False


@pytest.fixture
def posted(app):
    """Return a function that reads a posted form."""

    def read(**data):
        with app.test_request_context(method="POST", data=data):
            return forms.read(Answers)

    return read


def test_it_works(posted):
    assert posted(name=" Awa ", sizes=["s", "m"], sure="yes") == Answers("Awa", ("s", "m"), True)


def test_what_was_not_posted_keeps_its_default(posted):
    assert posted() == Answers()


def test_line_ends_are_single(posted):
    assert posted(name="one\r\ntwo").name == "one\ntwo"


def test_the_same_form_twice_is_the_same_request_and_a_fresh_one_is_not(app):
    def sent(nonce: str, asked):
        with app.test_request_context(method="POST", data={"nonce": nonce}):
            return forms.repeat(asked)

    first, other = forms.nonce(), forms.nonce()

    assert sent(first, Answers("Awa")) == sent(first, Answers("Awa"))
    assert sent(first, Answers("Awa")) != sent(other, Answers("Awa"))
    assert sent(first, Answers("Awa")).body_sha256 != sent(first, Answers("Binta")).body_sha256


@pytest.mark.parametrize("nonce", ["", "forged", "x.y"])
def test_a_nonce_that_is_not_ours_counts_for_nothing(app, nonce):
    with app.test_request_context(method="POST", data={"nonce": nonce}):
        assert forms.repeat({"name": "Awa"}) is None


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@x", "\tx", "\rx"])
def test_a_cell_that_would_act_is_made_harmless(cell):
    assert exports.harmless(cell) == "'" + cell


@pytest.mark.parametrize("cell", ["plain", "a=b", -1, 2.5])
def test_other_cells_stay_as_they_are(cell):
    assert exports.harmless(cell) == cell


@pytest.mark.parametrize(
    ("asked", "page", "first", "last"),
    [("", 1, 1, 10), ("2", 2, 11, 20), ("3", 3, 21, 25), ("4", 3, 21, 25), ("-1", 1, 1, 10), ("x", 1, 1, 10)],
)
def test_a_page_is_the_one_asked_for_or_the_nearest_there_is(app, asked, page, first, last):
    rows = range(1, 26)
    with app.test_request_context(f"/?page={asked}"):
        pager = paged(lambda limit, offset: (len(rows), rows[offset : offset + limit]), per_page=10)

    assert (pager.page, pager.first, pager.last, pager.pages) == (page, first, last, 3)
    assert list(pager.items) == list(range(first, last + 1))


def test_an_empty_list_has_no_first_row(app):
    with app.test_request_context("/"):
        pager = paged(lambda limit, offset: (0, []), per_page=10)

    assert (pager.page, pager.pages, pager.first, pager.last) == (1, 0, 0, 0)


@pytest.mark.parametrize(
    ("typed", "number"),
    [("300", 300), ("0", 0), ("", 0), ("-1", 0), ("1e3", 0), ("٣", 0), ("²", 0), pytest.param("9" * 5_000, 0, id="9s")],
)
def test_a_number_is_what_was_typed_or_nothing(typed, number):
    assert forms.whole_number(typed) == number
