"""Downloads: the files of a job, for people in a browser. How a file is answered is in `app/answers.py`."""

from flask import Response
from werkzeug.exceptions import RequestedRangeNotSatisfiable

from app import answers
from app.domain import access, packaging, watching
from app.domain.errors import Conflict, NotFound
from app.models import ArtifactKind, Job
from app.sentences import say
from app.web.door import actor, bp, signed_in


@bp.get("/app/jobs/<job_id>/files/<kind>")
@signed_in()
def job_file(job_id: str, kind: str) -> Response:
    """Send a finished file, whole or the part that is still missing; the audit log says who took it."""
    job = access.find(Job, actor(), job_id, to="see")
    if kind not in set(ArtifactKind):
        raise NotFound()
    packaging.refuse_removed(job, kind)
    artifact = packaging.artifact_of(job, kind)
    if artifact is None and not job.finished:
        raise Conflict(say("This file is still being made. Come back when the job has finished."))
    if artifact is None:
        raise NotFound(say("This job has no such file, because none of its cards was made."))
    watching.note_download(job, by=actor())
    try:
        return answers.send_artifact(artifact, watching.file_name(job, kind))
    except RequestedRangeNotSatisfiable as beyond:
        return beyond.get_response()  # type: ignore[return-value]
