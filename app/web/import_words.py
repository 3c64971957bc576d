"""Imports in the words of the person who brings in a list: where it stands, how it was read, what to mend."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from flask_babel import format_decimal, gettext, ngettext

from app.domain.imports import Progress
from app.intake import FIELDS, FULL_NAME, LEFT_OUT
from app.intake.check import MISSING
from app.models import ImportBatch, ImportState
from app.sentences import N_, Sentence, say_n
from app.web.languages import in_words

OWN = "own"  # what a form says for a column that is kept under its own name
FIELD_NAMES = {
    "first_name": N_("First name"),
    "last_name": N_("Last name"),
    "beneficiary_id": N_("Beneficiary ID"),
    "date_of_birth": N_("Date of birth"),
    "phone_number": N_("Phone number"),
    "gender": N_("Gender"),
    "health_center": N_("Health centre"),
    "org_unit": N_("Organisation unit"),
    "zone": N_("Zone"),
    "enrollment_date": N_("Enrolment date"),
    FULL_NAME: N_("First and last name"),
}
PILLS = {
    ImportState.uploaded: (N_("Being read"), "running"),
    ImportState.matching: (N_("Columns to match"), "warn"),
    ImportState.matched: (N_("Being checked"), "running"),
    ImportState.checked: (N_("Rows to check"), "warn"),
    ImportState.confirmed: (N_("Being added"), "running"),
    ImportState.added: (N_("Added"), "good"),
    ImportState.failed: (N_("Could not be read"), "bad"),
}
DELIMITERS = {
    ",": N_("Comma"),
    ";": N_("Semicolon"),
    "\t": N_("Tab"),
    "|": N_("Vertical bar"),
}
TO_FIX = {
    "first_name": say_n("Fix %(n)s first name", "Fix %(n)s first names", 0),
    "last_name": say_n("Fix %(n)s last name", "Fix %(n)s last names", 0),
    "beneficiary_id": say_n("Fix %(n)s beneficiary ID", "Fix %(n)s beneficiary IDs", 0),
    "date_of_birth": say_n("Fix %(n)s date of birth", "Fix %(n)s dates of birth", 0),
    "phone_number": say_n("Fix %(n)s phone number", "Fix %(n)s phone numbers", 0),
    "gender": say_n("Fix the gender of %(n)s person", "Fix the gender of %(n)s people", 0),
    "health_center": say_n("Fix %(n)s health centre", "Fix %(n)s health centres", 0),
    "org_unit": say_n("Fix %(n)s organisation unit", "Fix %(n)s organisation units", 0),
    "zone": say_n("Fix %(n)s zone", "Fix %(n)s zones", 0),
    "enrollment_date": say_n("Fix %(n)s enrolment date", "Fix %(n)s enrolment dates", 0),
    FULL_NAME: say_n("Fix %(n)s name", "Fix %(n)s names", 0),
}
TO_FILL_IN = {
    "first_name": say_n("%(n)s row has no first name", "%(n)s rows have no first name", 0),
    "last_name": say_n("%(n)s row has no last name", "%(n)s rows have no last name", 0),
    "beneficiary_id": say_n("%(n)s row has no beneficiary ID", "%(n)s rows have no beneficiary ID", 0),
    FULL_NAME: say_n("%(n)s row has no name", "%(n)s rows have no name", 0),
}
TO_FIX_ELSEWHERE = say_n("Fix %(n)s cell of “%(column)s”", "Fix %(n)s cells of “%(column)s”", 0)


@dataclass(frozen=True)
class ToMend:
    """One thing to do in the spreadsheet, counted, and the sentences that say what is wrong there."""

    text: str
    reasons: tuple[str, ...]


def pill(batch: ImportBatch) -> tuple[str, str]:
    """Return the import's state in a word or two, and the kind of pill it stands in."""
    text, kind = PILLS[ImportState(batch.state)]
    return gettext(text), kind


def headline(progress: Progress) -> str:
    """Return how far the worker is: "Checked 42,000 of 100,000 rows"."""
    if not progress.taken_up:
        return gettext("Waiting for its turn")
    facts = {"done": format_decimal(progress.done), "total": format_decimal(progress.total)}
    if progress.state == ImportState.confirmed:
        return gettext("Added %(done)s of %(total)s people", **facts)
    if progress.state == ImportState.matched:
        return gettext("Checked %(done)s of %(total)s rows", **facts)
    return gettext("Reading the file")


def explanation(progress: Progress) -> str:
    """Return what happens at this moment, and what comes next."""
    if progress.state == ImportState.confirmed:
        return gettext("You can close this page; the people go on being added.")
    if progress.state == ImportState.matched:
        return gettext("Every cell is looked at before anybody is added. You see the result here in a moment.")
    return gettext("We look for the sheet, the column names and the first rows. Nothing is added yet.")


def title(progress: Progress, batch: ImportBatch) -> str:
    """Return what the browser's tab says: "65 % – liste.csv"."""
    how_far = f"{progress.percent} %" if progress.total and progress.taken_up else headline(progress)
    return f"{how_far} – {batch.file_name}"


def to_mend(groups: Iterable[Mapping[str, Any]]) -> list[ToMend]:
    """Return what to do about the problems found: one counted item for each column, and for what is missing there."""
    items: dict[tuple[str, bool], list[Mapping[str, Any]]] = {}
    for group in groups:
        items.setdefault((group["header"], _is_missing(group)), []).append(group)
    return [
        ToMend(_in_short(missing, kinds), () if missing else tuple(map(_reason, kinds)))
        for (_, missing), kinds in items.items()
    ]


def how_it_was_read(batch: ImportBatch) -> Iterator[tuple[str, str]]:
    """Yield what a person can compare with their spreadsheet: terms, and what was found."""
    look = batch.look
    yield gettext("File"), batch.file_name
    if look["sheet"]:
        yield gettext("Sheet"), look["sheet"]
    if look["encoding"]:
        yield gettext("Encoding of the letters"), look["encoding"]
    if look["delimiter"]:
        yield gettext("Between two columns"), gettext(DELIMITERS.get(look["delimiter"], look["delimiter"]))
    yield gettext("Column names"), gettext("in row %(row)s", row=format_decimal(look["header_row"]))
    rows = batch.rows_total
    yield gettext("Rows below"), ngettext("%(n)s row", "%(n)s rows", rows, n=format_decimal(rows))


def choices() -> list[tuple[str, str]]:
    """Return what a column may be chosen to hold: value and text, in the order of the list."""
    fields = [(name, gettext(FIELD_NAMES[name])) for name in (*FIELDS, FULL_NAME)]
    return [*fields, (OWN, gettext("Keep it under its own name")), (LEFT_OUT, gettext("Leave it out"))]


def field_name(field: str) -> str:
    """Return what a field of a person is called."""
    return gettext(FIELD_NAMES[field])


def _is_missing(group: Mapping[str, Any]) -> bool:
    return group["sentence"]["template"] == MISSING.get(group["field"])


def _in_short(missing: bool, kinds: list[Mapping[str, Any]]) -> str:
    field, count = kinds[0]["field"], sum(kind["count"] for kind in kinds)
    sentence: Sentence = TO_FILL_IN[field] if missing else TO_FIX.get(field, TO_FIX_ELSEWHERE)
    return in_words(replace(sentence, n=count, facts={"n": count, "column": kinds[0]["header"]}))


def _reason(kind: Mapping[str, Any]) -> str:
    sentence, row, others = in_words(kind["sentence"]), format_decimal(kind["row"]), kind["count"] - 1
    if not others:
        return gettext("Row %(row)s: %(sentence)s", row=row, sentence=sentence)
    return ngettext(
        "Row %(row)s and %(n)s more like it: %(sentence)s",
        "Row %(row)s and %(n)s more like it: %(sentence)s",
        others,
        row=row,
        n=format_decimal(others),
        sentence=sentence,
    )
