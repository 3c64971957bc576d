"""Downloads of a job's files: whole, in parts, unchanged, not yet, never."""

import errno
import hashlib
import io
import json
import zipfile

import pytest
from flask import Flask
from sqlalchemy import select

from app.database import db, spell
from app.domain import jobs, keeping, packaging
from app.domain.orders import StartOrder
from app.files import FolderStore
from app.models import AuditEntry, Job
from tests.cast import make_campaign, work_to_the_end


@pytest.fixture
def finished(cast) -> Job:
    """A job of one card with its four files, in a campaign with the prefix DKR-VAC."""
    job = jobs.start(make_campaign(cast.owner, people=1, prefix="DKR-VAC"), StartOrder(), by=cast.editor)
    work_to_the_end(cast.app)
    return db.session.get(Job, job.id)


def read_whole(job: Job, kind: str) -> bytes:
    """Return the whole file, piece by piece."""
    with packaging.open_artifact(packaging.artifact_of(job, kind)) as file:
        return b"".join(iter(lambda: file.read(1 << 16), b""))


def test_it_works(client, cast, finished):
    client.sign_in(cast.viewer)
    expected = {
        "pdf": ("application/pdf", "cards.pdf"),
        "zip": ("application/zip", "cards.zip"),
        "portal": ("application/zip", "verification-portal.zip"),
        "manifest": ("application/json", "manifest.json"),
    }
    for kind, (content_type, ending) in expected.items():
        answer = client.get(f"/app/jobs/{finished.id}/files/{kind}")
        assert answer.status == 200
        assert answer.headers["Content-Type"].split(";")[0] == content_type
        assert answer.headers["Content-Disposition"] == (
            f"attachment; filename=DKR-VAC-{finished.issued_on:%Y-%m-%d}-{spell('job', finished.id)[-4:]}-{ending}"
        )
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Accept-Ranges"] == "bytes"
        assert answer.headers["ETag"] == f'"{hashlib.sha256(answer.body).hexdigest()}"'
        assert answer.body == read_whole(finished, kind)
    with zipfile.ZipFile(io.BytesIO(client.get(f"/app/jobs/{finished.id}/files/zip").body)) as archive:
        assert archive.testzip() is None
    json.loads(client.get(f"/app/jobs/{finished.id}/files/manifest").body)


def test_a_file_store_that_is_away_is_said_before_the_download_begins(client, cast, finished, monkeypatch):
    def is_away(*_args: object) -> None:
        raise OSError(errno.EREMOTEIO, "The file store does not answer.")

    monkeypatch.setattr(FolderStore, "open", is_away)
    answer = client.sign_in(cast.viewer).get(f"/app/jobs/{finished.id}/files/zip")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "30") and "files cannot be reached" in answer.text


def test_a_broken_download_goes_on_where_it_stopped(client, cast, finished):
    client.sign_in(cast.viewer)
    whole = read_whole(finished, "pdf")
    middle = len(whole) // 2
    etag = packaging.artifact_of(finished, "pdf").sha256

    rest = ask(client, finished, Range=f"bytes={middle}-", **{"If-Range": f'"{etag}"'})
    assert (rest.status, rest.body) == (206, whole[middle:])
    assert rest.headers["Content-Range"] == f"bytes {middle}-{len(whole) - 1}/{len(whole)}"
    assert rest.headers["Content-Length"] == str(len(whole) - middle)


@pytest.mark.parametrize(
    ("asked", "first", "end"),
    [("bytes=0-0", 0, 1), ("bytes=10-19", 10, 20), ("bytes=-5", -5, None), ("bytes=3-99999999", 3, None)],
)
def test_one_range_is_answered_to_the_byte(client, cast, finished, asked, first, end):
    client.sign_in(cast.viewer)
    part = ask(client, finished, Range=asked)
    assert (part.status, part.body) == (206, read_whole(finished, "pdf")[first:end])


@pytest.mark.parametrize("asked", ["bytes=5-2", "bytes=0-1,5-6", "lines=1-2", "nonsense", "bytes=a-b", "bytes=--1", ""])
def test_a_range_that_says_nothing_gets_the_whole_file(client, cast, finished, asked):
    client.sign_in(cast.viewer)
    answer = ask(client, finished, Range=asked)
    assert (answer.status, answer.body) == (200, read_whole(finished, "pdf"))


def test_a_range_beyond_the_end_is_refused_with_the_length(client, cast, finished):
    answer = ask(client.sign_in(cast.viewer), finished, Range="bytes=99999999-")
    assert answer.status == 416
    assert answer.headers["Content-Range"] == f"bytes */{packaging.artifact_of(finished, 'pdf').length}"


def test_a_part_of_another_version_is_never_glued_on(client, cast, finished):
    answer = ask(client.sign_in(cast.viewer), finished, Range="bytes=10-", **{"If-Range": '"another"'})
    assert (answer.status, answer.body) == (200, read_whole(finished, "pdf"))


def test_a_file_one_has_already_is_not_sent_again(client, cast, finished):
    etag = packaging.artifact_of(finished, "pdf").sha256
    answer = ask(client.sign_in(cast.viewer), finished, **{"If-None-Match": f'W/"x", "{etag}"'})
    assert (answer.status, answer.body) == (304, b"")


def test_the_length_can_be_asked_for_alone(client, cast, finished):
    answer = client.sign_in(cast.viewer).send("HEAD", f"/app/jobs/{finished.id}/files/pdf")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["Content-Length"] == str(packaging.artifact_of(finished, "pdf").length)


def test_a_file_that_does_not_exist_is_not_found(client, cast, finished):
    assert client.sign_in(cast.viewer).get(f"/app/jobs/{finished.id}/files/doc").status == 404


def test_a_file_that_is_still_being_made_is_a_conflict(client, cast):
    job = jobs.start(make_campaign(cast.owner, people=1), StartOrder(), by=cast.editor)
    page = client.sign_in(cast.viewer).get(f"/app/jobs/{job.id}/files/pdf")
    assert page.status == 409
    assert "still being made" in page.text


def test_a_job_that_was_cancelled_at_once_has_no_files(client, cast):
    job = jobs.start(make_campaign(cast.owner, people=1), StartOrder(), by=cast.editor)
    jobs.cancel(job, by=cast.editor)
    assert client.sign_in(cast.viewer).get(f"/app/jobs/{job.id}/files/pdf").status == 404


def test_a_stranger_gets_nothing(client, cast, finished):
    assert client.sign_in(cast.stranger).get(f"/app/jobs/{finished.id}/files/pdf").status == 404


def test_a_visitor_is_sent_to_sign_in(client, finished):
    assert "/signin" in client.get(f"/app/jobs/{finished.id}/files/pdf").location


def test_the_audit_log_names_who_took_the_files_once_in_ten_minutes(client, cast, finished):
    client.sign_in(cast.viewer)
    for kind in ("pdf", "zip", "pdf"):
        client.get(f"/app/jobs/{finished.id}/files/{kind}")
    taken = db.session.scalars(select(AuditEntry).where(AuditEntry.action == "job.downloaded")).all()
    assert [(entry.actor_id, entry.subject_id) for entry in taken] == [(cast.viewer.user_id, str(finished.id))]


def test_no_piece_is_left_open(client, cast, app: Flask, finished, monkeypatch):
    opened = []
    open_piece = app.extensions["fieldcard-files"].open
    monkeypatch.setattr(
        app.extensions["fieldcard-files"], "open", lambda *piece: opened.append(open_piece(*piece)) or opened[-1]
    )
    client.sign_in(cast.viewer)
    ask(client, finished, Range="bytes=100-2000")
    ask(client, finished)
    assert opened and all(piece.closed for piece in opened)


def ask(client, job: Job, **headers: str):
    """Ask for the PDF with these headers."""
    return client.get(f"/app/jobs/{job.id}/files/pdf", headers=headers)


def test_files_say_until_when_they_are_kept_and_then_how_to_make_them_again(client, cast, finished):
    page = client.sign_in(cast.editor).get(f"/app/jobs/{finished.id}")
    assert page.text.count("kept until ") == 4
    link = page.soup.select_one(".file a")["href"]

    keeping.remove_files(finished.id)
    refused = client.get(link)
    assert refused.status == 410
    assert "This file is not kept any more." in refused.text

    gone = client.get(page.path)
    assert "These files were removed on" in gone.text
    again = gone.submit("#files-again")
    assert "The files are made again. It costs nothing." in again.text
    assert "nothing: these cards were printed before" in again.text
