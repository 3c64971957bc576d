"""Answers that several doors give alike: a finished file of a job, and what is away for a while."""

import errno
from dataclasses import dataclass

from flask import Response, request
from sqlalchemy.exc import DBAPIError, OperationalError, PendingRollbackError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.http import parse_range_header
from werkzeug.wsgi import FileWrapper

from app.domain import packaging
from app.models import Artifact, ArtifactKind
from app.sentences import Sentence, say

TYPES = {
    ArtifactKind.pdf: "application/pdf",
    ArtifactKind.zip: "application/zip",
    ArtifactKind.portal: "application/zip",
    ArtifactKind.manifest: "application/json",
}
READ_AT_ONCE = 1 << 18  # bytes
DISK_FULL = {errno.ENOSPC, errno.EDQUOT}
# What a file store says that is away: a share that was unmounted or a bucket out of reach, not a mistake of ours.
STORE_AWAY = {errno.EIO, errno.EREMOTEIO, errno.ESTALE, errno.EROFS, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.ENOTCONN}
READ_ONLY = "25006"  # PostgreSQL: a standby, while another server takes over


@dataclass(frozen=True)
class Outage:
    """What is away, in a sentence, and after how many seconds to ask again; the answer to it is 503."""

    sentence: Sentence
    retry_after: int


BUSY = Outage(
    say(
        "The portal is busy or is being renewed. If you just sent a form, it was not saved: send it once more. "
        "Work that is under way goes on."
    ),
    5,
)
FULL = Outage(say("The server's disk is full. Nothing is lost; ask your administrator to make room."), 60)
FILES_AWAY = Outage(say("The files cannot be reached just now. Nothing is lost; try again in a minute."), 30)


def outage(error: Exception) -> Outage | None:
    """Return what is away when a database, a disk or a file store fails; None when it is a mistake of ours."""
    if isinstance(error, OSError):
        return FULL if error.errno in DISK_FULL else FILES_AWAY if error.errno in STORE_AWAY else None
    if isinstance(error, OperationalError) and _is_full(error):
        return FULL
    if isinstance(error, OperationalError | PoolTimeout | PendingRollbackError):
        return BUSY
    cut_off = isinstance(error, DBAPIError) and (error.connection_invalidated or _state(error) == READ_ONLY)
    return BUSY if cut_off else None


def _is_full(error: OperationalError) -> bool:
    """Return whether SQLite (SQLITE_FULL) or PostgreSQL (53100, disk_full) has no room."""
    return "disk is full" in str(error.orig) or _state(error) == "53100"


def _state(error: DBAPIError) -> str:
    return getattr(error.orig, "sqlstate", None) or ""


def send_artifact(artifact: Artifact, name: str) -> Response:
    """Return the file as a download called `name` that can be resumed: 200, 206 for one range, 304 when unchanged.

    The entity tag is the file's SHA-256 (RFC 9110). Nothing is held in memory but the bytes on their way. Raises
    RequestedRangeNotSatisfiable, which knows the length, for a range beyond the end.
    """
    # Werkzeug's own wrapper, not the server's: it can seek, so that a range in the middle is not read up to.
    body = FileWrapper(packaging.open_artifact(artifact), READ_AT_ONCE)  # type: ignore[arg-type]
    answer = Response(body, mimetype=TYPES[ArtifactKind(artifact.kind)], direct_passthrough=True)
    answer.headers.set("Content-Disposition", "attachment", filename=name)
    answer.content_length = artifact.length
    answer.last_modified = artifact.created_at
    answer.set_etag(artifact.sha256)
    return answer.make_conditional(request, accept_ranges=True, complete_length=_length_if_in_part(artifact))


def _length_if_in_part(artifact: Artifact) -> int | None:
    """Return the length when one range in bytes is asked for; anything else is answered with the whole file.

    A server may ignore ranges that it does not understand or that are many (RFC 9110, section 14.2).
    """
    asked = parse_range_header(request.headers.get("Range"))
    return artifact.length if asked and asked.units == "bytes" and len(asked.ranges) == 1 else None
