"""The rows of an import between the file and the people: kept as plain values, counted, and read back.

Who may keep them, and when, is in `importing`; nothing here begins or ends a transaction.
"""

import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import date
from typing import Any

from sqlalchemy import delete, func, insert, select

from app.database import db
from app.domain.bulk import batches
from app.intake import CheckedRow, PersonRow, Problem
from app.models import Beneficiary, ImportBatch, ImportRow
from app.sentences import Sentence

ROWS_AT_ONCE = 1_000
MOST_GROUPS = 50
DATES = ("date_of_birth", "enrollment_date")


def keep(batch: ImportBatch, rows: Sequence[CheckedRow]) -> None:
    """Put checked rows beside their import, each with its person or its problems."""
    whose = {"organisation_id": batch.organisation_id, "batch_id": batch.id}
    db.session.execute(insert(ImportRow), [whose | _to_plain(row) for row in rows])


def forget(batch: ImportBatch) -> None:
    """Remove all rows of the import."""
    db.session.execute(delete(ImportRow).where(ImportRow.batch_id == batch.id))


def refused(batch: ImportBatch, *, limit: int | None = None, offset: int = 0) -> Iterator[CheckedRow]:
    """Yield the refused rows in the file's order, with all that is wrong with each."""
    wanted = (
        select(ImportRow)
        .where(ImportRow.batch_id == batch.id, ImportRow.refused)
        .order_by(ImportRow.number)
        .limit(limit)
        .offset(offset)
        .execution_options(yield_per=ROWS_AT_ONCE)
    )
    for row in db.session.scalars(wanted):
        yield CheckedRow(row.number, tuple(row.original), None, tuple(_problem(plain) for plain in row.problems))


def good(batch: ImportBatch, *, after: int = 0, limit: int) -> list[tuple[int, PersonRow]]:
    """Return the next good rows below row `after`: their number in the spreadsheet, and the person."""
    wanted = select(ImportRow).where(ImportRow.batch_id == batch.id, ~ImportRow.refused, ImportRow.number > after)
    rows = db.session.scalars(wanted.order_by(ImportRow.number).limit(limit))
    return [(row.number, _person_from_plain(row.person)) for row in rows if row.person]


def count_known(organisation_id: uuid.UUID, rows: Sequence[CheckedRow]) -> int:
    """Return how many of the rows' people the organisation knows already."""
    known = 0
    for some in batches(row.person.beneficiary_id for row in rows if row.person):
        theirs = (Beneficiary.organisation_id == organisation_id, Beneficiary.beneficiary_id.in_(some))
        known += db.session.scalar(select(func.count()).select_from(Beneficiary).where(*theirs)) or 0
    return known


class Tally:
    """Counts rows as they are checked, and the kinds of problems in them."""

    def __init__(self) -> None:
        self.read = self.good = self.known = 0
        self._counts: Counter[tuple[str, str]] = Counter()
        self._firsts: dict[tuple[str, str], dict[str, Any]] = {}

    def count(self, rows: Sequence[CheckedRow], known: int) -> None:
        """Take in the next rows, and how many of their people were known before."""
        self.read += len(rows)
        self.good += sum(row.person is not None for row in rows)
        self.known += known
        for row in rows:
            for problem in row.problems:
                kind = (problem.header, problem.sentence.template)
                self._counts[kind] += 1
                self._firsts.setdefault(kind, {"row": row.number} | _problem_to_plain(problem))

    def totals(self) -> dict[str, int]:
        """Return the counts under the names of the import's columns."""
        return {
            "rows_total": self.read,
            "rows_read": self.read,
            "rows_good": self.good,
            "rows_refused": self.read - self.good,
            "rows_new": self.good - self.known,
            "rows_updated": self.known,
        }

    def groups(self) -> list[dict[str, Any]]:
        """Return the kinds of problems, the most frequent first, each with its count and its first cell."""
        return [self._firsts[kind] | {"count": count} for kind, count in self._counts.most_common(MOST_GROUPS)]


def _to_plain(row: CheckedRow) -> dict[str, Any]:
    return {
        "number": row.number,
        "refused": row.person is None,
        "original": list(row.original),
        "person": _person_to_plain(row.person) if row.person else None,
        "problems": [_problem_to_plain(problem) for problem in row.problems],
    }


def _person_to_plain(person: PersonRow) -> dict[str, Any]:
    plain = asdict(person)
    return plain | {name: plain[name] and plain[name].isoformat() for name in DATES}


def _person_from_plain(plain: dict[str, Any]) -> PersonRow:
    return PersonRow(**plain | {name: plain[name] and date.fromisoformat(plain[name]) for name in DATES})


def _problem_to_plain(problem: Problem) -> dict[str, Any]:
    return {
        "index": problem.index,
        "header": problem.header,
        "field": problem.field,
        "sentence": problem.sentence.to_json(),
    }


def _problem(plain: dict[str, Any]) -> Problem:
    return Problem(plain["index"], plain["header"], plain["field"], Sentence.from_json(plain["sentence"]))
