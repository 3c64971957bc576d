"""Answers that several doors give alike: a finished file of a job, whole, in part, or unchanged."""

from flask import Response, request
from werkzeug.http import parse_range_header
from werkzeug.wsgi import FileWrapper

from app.domain import packaging
from app.models import Artifact, ArtifactKind

TYPES = {
    ArtifactKind.pdf: "application/pdf",
    ArtifactKind.zip: "application/zip",
    ArtifactKind.portal: "application/zip",
    ArtifactKind.manifest: "application/json",
}
READ_AT_ONCE = 1 << 18  # bytes


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
