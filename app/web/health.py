"""Whether this web process can serve: for load balancers and monitors, not for people."""

from flask import Response, jsonify

from app.domain import health
from app.web.door import bp, public


@bp.get("/healthz")
@public
def healthz() -> tuple[Response, int]:
    """Answer 200 when the database answers, otherwise 503 with the kind of what went wrong."""
    if reason := health.problem():
        return jsonify(status="unavailable", reason=reason), 503
    return jsonify(status="ok"), 200
