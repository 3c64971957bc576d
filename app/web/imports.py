"""Pages of imports: choosing a spreadsheet, watching it being read, matching its columns, and adding its people."""

import io
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from flask import Response, flash, request, send_file
from flask_babel import get_locale
from flask_babel import gettext as _
from openpyxl import load_workbook
from werkzeug.datastructures import FileStorage

from app import tasks
from app.database import settings
from app.domain import access, import_rows, keeping
from app.domain import imports as rooms
from app.domain.errors import Conflict, Gone, Invalid, NotFound, Refusal
from app.domain.workshop import sha256_of
from app.intake import (
    FIELDS,
    MAX_BYTES,
    MAX_ROWS,
    REQUIRED,
    CheckedRow,
    example_workbook,
    write_problems_csv,
    write_problems_xlsx,
)
from app.intake.example import header_of
from app.models import Campaign, ImportBatch, ImportState
from app.sentences import say
from app.web import forms, import_words
from app.web.accounts import Answer, words_of
from app.web.campaigns import campaign_frame, find
from app.web.door import actor, bp, go, page, signed_in
from app.web.errors import status_of
from app.web.import_words import OWN
from app.web.languages import in_words
from app.web.pager import paged

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
PROBLEM_FILES = {"csv": (write_problems_csv, "text/csv"), "xlsx": (write_problems_xlsx, XLSX)}
PROBLEMS_PER_PAGE = 50
GOOD_ROWS_SHOWN = 5
MOST_COLUMNS_SHOWN = 20
STEP_OF = {  # the number of the step, from 1, that a person stands at
    ImportState.uploaded: 2,
    ImportState.matching: 2,
    ImportState.matched: 3,
    ImportState.checked: 3,
    ImportState.confirmed: 4,
    ImportState.added: 4,
}
TEMPLATES = {ImportState.failed: "imports/failed.html", ImportState.added: "imports/added.html"}


@dataclass(frozen=True)
class Cell:
    """A cell of a refused row: its column's name, what stands there, and what is wrong with it."""

    header: str
    text: str
    error: str


@bp.get("/app/campaigns/<campaign_id>/import")
@signed_in(to="bring in people")
def import_upload(campaign_id: str) -> str:
    """Show the spreadsheet we would like, take one, and list the imports there were."""
    return _upload_page(find(campaign_id, to="bring in people"))


@bp.post("/app/campaigns/<campaign_id>/import")
@signed_in(to="bring in people")
def import_file(campaign_id: str) -> Answer:
    """Take the spreadsheet and go to its import."""
    campaign = find(campaign_id, to="bring in people")
    sent = request.files.get("file")
    if not sent or not sent.filename:
        return _upload_page(campaign, {"file": _("Choose the spreadsheet that holds your list.")}), 422
    try:
        batch = _hand_in(campaign, sent)
    except Refusal as refusal:
        field = "" if isinstance(refusal, Conflict) else "file"
        return _upload_page(campaign, {field: in_words(refusal.sentence)}), status_of(refusal)
    tasks.ring()
    return go("web.import_batch", batch_id=batch.id)


@bp.get("/app/campaigns/<campaign_id>/import/example.xlsx")
@signed_in(to="bring in people")
def import_example(campaign_id: str) -> Response:
    """Hand out the spreadsheet we would like, in the reader's language."""
    find(campaign_id, to="bring in people")
    return _download(example_workbook(str(get_locale()), in_words), XLSX, "fieldcard-example.xlsx")


@bp.get("/app/imports/<batch_id>")
@signed_in(to="bring in people")
def import_batch(batch_id: str) -> str:
    """Show the import as it stands: what a worker does, what a person has to decide, or what came of it."""
    batch = _find(batch_id)
    if batch.state in rooms.WORKING:
        progress = rooms.progress(batch)
        return _page("imports/working.html", batch, progress=progress)
    if batch.state == ImportState.matching:
        return _columns_page(batch, _chosen(batch))
    if batch.state == ImportState.checked:
        return _checked_page(batch)
    return _page(TEMPLATES[ImportState(batch.state)], batch)


@bp.get("/app/imports/<batch_id>/progress")
@signed_in(to="bring in people")
def import_progress(batch_id: str) -> Answer:
    """Hand out the part of the page that changes while a worker is busy; then lead to the next step."""
    batch = _find(batch_id)
    progress = rooms.progress(batch)
    if not progress.working or not request.htmx:  # type: ignore[attr-defined]
        return go("web.import_batch", batch_id=batch.id)
    return page("imports/_progress.html", batch=batch, progress=progress, say=import_words)


@bp.get("/app/imports/<batch_id>/columns")
@signed_in(to="bring in people")
def import_columns(batch_id: str) -> Answer:
    """Ask what the columns hold, also after the rows were checked."""
    batch = _find(batch_id)
    if batch.state not in rooms.WAITING:
        return go("web.import_batch", batch_id=batch.id)
    return _columns_page(batch, _chosen(batch))


@bp.post("/app/imports/<batch_id>/columns")
@signed_in(to="bring in people")
def choose_import_columns(batch_id: str) -> Answer:
    """Take what the columns hold, and let the rows be checked."""
    batch = _find(batch_id)
    if batch.state not in rooms.WAITING:
        return go("web.import_batch", batch_id=batch.id)
    typed = {index: request.form.get(f"column-{index}", OWN) for index in range(len(batch.look["columns"]))}
    columns = {index: None if value == OWN else value for index, value in typed.items()}
    try:
        rooms.choose_columns(batch, columns, by=actor())
    except Invalid as refusal:
        return _columns_page(batch, typed, _at_columns(refusal)), 422
    except Conflict as refusal:
        flash(in_words(refusal.sentence), "info")
    else:
        tasks.ring()
    return go("web.import_batch", batch_id=batch_id)


@bp.post("/app/imports/<batch_id>/confirm")
@signed_in(to="bring in people")
def confirm_import(batch_id: str) -> Answer:
    """Let the good rows be added."""
    batch = _find(batch_id)
    try:
        rooms.confirm(batch, people=request.form.get("people", 0, type=int), by=actor())
    except Conflict as refusal:
        flash(in_words(refusal.sentence), "info")
    else:
        tasks.ring()
    return go("web.import_batch", batch_id=batch_id)


@bp.post("/app/imports/<batch_id>/discard")
@signed_in(to="bring in people")
def discard_import(batch_id: str) -> Answer:
    """Throw away a list that was never confirmed; nothing of it stays."""
    batch = _find(batch_id)
    campaign_id = batch.campaign_id
    try:
        keeping.discard(batch, by=actor())
    except Conflict as refusal:
        flash(in_words(refusal.sentence), "info")
        return go("web.import_batch", batch_id=batch_id)
    flash(_("The list was discarded. Nothing of it stays, and nobody was added."), "good")
    return go("web.import_upload", campaign_id=campaign_id)


@bp.get("/app/imports/<batch_id>/problems.<kind>")
@signed_in(to="bring in people")
def import_problems(batch_id: str, kind: str) -> Response:
    """Hand out the refused rows with the reasons, for mending; the audit log says who took them."""
    batch = _find(batch_id)
    if kind not in PROBLEM_FILES or batch.state not in (ImportState.checked, ImportState.confirmed, ImportState.added):
        raise NotFound()
    if keeping.is_emptied(batch):
        raise Gone(say("The rows of this list are not kept any more. Its people stay in the campaign."))
    rooms.note_download(batch, by=actor())
    write, mimetype = PROBLEM_FILES[kind]
    out = io.BytesIO()
    write(import_rows.refused(batch), batch.look["columns"], out, in_words)
    return _download(out.getvalue(), mimetype, f"{Path(batch.file_name).stem}-fieldcard.{kind}")


def _find(batch_id: str) -> ImportBatch:
    return access.find(ImportBatch, actor(), batch_id, to="bring in people")


def _hand_in(campaign: Campaign, sent: FileStorage) -> ImportBatch:
    """Put what was sent into a file of the data folder, from where the room takes it; its name is only ever shown."""
    home = settings().home / "work"
    home.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home) as folder:
        path = Path(folder) / "upload"
        sent.save(path)
        once = forms.repeat({"campaign": str(campaign.id), "file": sha256_of(path)})
        return rooms.upload(campaign, sent.filename or "", path, by=actor(), repeat=once)


def _upload_page(campaign: Campaign, errors: dict[str, str] | None = None) -> str:
    language = str(get_locale())
    return page(
        "imports/upload.html",
        tab="people",
        wanted_columns=[header_of(name, language) for name in FIELDS],
        needed=[header_of(name, language) for name in REQUIRED],
        example=_example_rows(language),
        most_rows=MAX_ROWS,
        most_megabytes=MAX_BYTES >> 20,
        earlier=rooms.of_campaign(campaign),
        say=import_words,
        errors=errors or {},
        **campaign_frame(campaign),
    )


@cache
def _example_rows(language: str) -> list[list[str]]:
    """Return the rows of the example that can be downloaded, so that the page shows the very same."""
    sheet = load_workbook(io.BytesIO(example_workbook(language)), read_only=True).worksheets[0]
    rows = [list(row) for row in sheet.iter_rows(min_row=2, max_row=4, max_col=len(FIELDS), values_only=True)]
    return [[str(value) for value in row] for row in rows]


def _page(template: str, batch: ImportBatch, **values: Any) -> str:
    campaign = find(str(batch.campaign_id), to="bring in people")
    step = STEP_OF.get(ImportState(batch.state), 1)
    values |= {"emptied": keeping.is_emptied(batch), "may_discard": batch.state in keeping.UNCONFIRMED}
    values["import_days"] = settings().import_days
    return page(template, tab="people", batch=batch, step=step, say=import_words, **campaign_frame(campaign), **values)


def _columns_page(batch: ImportBatch, typed: dict[int, str], errors: dict[str, str] | None = None) -> str:
    columns = batch.look["columns"]
    holders = {field: columns[index] for index, field in typed.items()}
    if full_name := holders.get("full_name"):
        holders |= {"first_name": full_name, "last_name": full_name}
    needed = [(field, import_words.field_name(field), holders.get(field)) for field in REQUIRED]
    return _page("imports/columns.html", batch, typed=typed, needed=needed, errors=errors or {})


def _chosen(batch: ImportBatch) -> dict[int, str]:
    return {index: batch.columns.get(str(index)) or OWN for index in range(len(batch.look["columns"]))}


def _at_columns(refusal: Invalid) -> dict[str, str]:
    """Return the refusal's sentences at the fields of the form; what no column holds, in the list above them."""
    errors: dict[str, str] = {}
    for name, sentence in words_of(refusal).items():
        if name.isdigit():
            errors[f"column-{name}"] = sentence
        else:
            errors[name] = f"{import_words.field_name(name)}: {sentence}" if name in REQUIRED else sentence
    return errors


def _checked_page(batch: ImportBatch) -> str:
    pager = paged(
        lambda **window: (batch.rows_refused, list(import_rows.refused(batch, **window))), per_page=PROBLEMS_PER_PAGE
    )
    shown = _columns_shown(batch, pager.items)
    return _page(
        "imports/checked.html",
        batch,
        pager=pager,
        heads=[batch.look["columns"][index] for index in shown],
        lines=[(row.number, _cells(row, batch.look["columns"], shown)) for row in pager.items],
        to_mend=import_words.to_mend(batch.look["groups"]),
        good=import_rows.good(batch, limit=GOOD_ROWS_SHOWN),
        added_before=rooms.added_before(batch),
        recognised=batch.look["recognised"],
    )


def _columns_shown(batch: ImportBatch, rows: Sequence[CheckedRow]) -> list[int]:
    """Return which columns the table of refused rows shows: those with something wrong, and who the person is."""
    wrong = {problem.index for row in rows for problem in row.problems}
    who = {int(index) for index, field in batch.columns.items() if field in (*REQUIRED, "full_name")}
    return sorted(sorted(wrong | who, key=lambda index: index not in wrong)[:MOST_COLUMNS_SHOWN])


def _cells(row: CheckedRow, columns: Sequence[str], shown: Sequence[int]) -> list[Cell]:
    errors: dict[int, list[str]] = {}
    for problem in row.problems:
        errors.setdefault(problem.index, []).append(in_words(problem.sentence))
    return [Cell(columns[index], row.original[index], " ".join(errors.get(index, []))) for index in shown]


def _download(content: bytes, mimetype: str, name: str) -> Response:
    answer = send_file(io.BytesIO(content), mimetype, as_attachment=True, download_name=name)
    answer.headers["Cache-Control"] = "no-store"  # send_file would let the browser keep people's names
    return answer
