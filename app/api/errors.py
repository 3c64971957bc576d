"""How the APIs say no: `{"detail", "code", "request_id"}`, and a list that names each bad value."""

import logging
from functools import singledispatch
from typing import Any

from flask import Response, jsonify, request
from werkzeug.exceptions import HTTPException

from app.answers import Outage, outage
from app.api.door import Unusable, bp, request_id
from app.domain import errors
from app.domain.campaigns import PrefixTaken
from app.domain.errors import Invalid, InvalidPeople, NotSignedIn, Refusal
from app.domain.repeats import KeyReused

log = logging.getLogger(__name__)

MOST_LISTED = 100
STATUS: dict[type[Refusal], int] = {
    NotSignedIn: 401,
    errors.QuotaExceeded: 402,
    errors.NotAllowed: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.Gone: 410,
    errors.TooLarge: 413,
    errors.NoRoom: 507,
    PrefixTaken: 400,
}
SAID = {
    404: "There is nothing at this address.",
    405: "This address does not answer this method.",
    413: "This request is too large: 32 MB are taken at once.",
    415: "Send JSON, with the header Content-Type: application/json.",
    416: "The file has no such range of bytes.",
    429: "Too many attempts. Wait a minute and try again.",
    500: "Something went wrong here. It was noted under the request id of this answer.",
    503: "Too much is going on just now. Try again in a few seconds.",
}


@singledispatch
def answer(error: Exception) -> Response:
    """Return the answer to a request that was refused or went wrong; what nobody expected is logged."""
    if away := outage(error):
        return _away(away)
    log.exception("Request %s to %s failed.", request_id(), request.url_rule)
    return _answer(500, SAID[500], "internal_server_error")


@answer.register
def _refusal(refusal: Refusal) -> Response:
    status = next((STATUS[kind] for kind in type(refusal).__mro__ if kind in STATUS), 400)
    made = _answer(status, str(refusal.sentence), refusal.code)
    if status == 401:
        said = ', error="invalid_token"' if "Authorization" in request.headers else ""
        made.headers["WWW-Authenticate"] = f'Bearer realm="Fieldcard"{said}'
    return made


@answer.register
def _invalid(refusal: Invalid) -> Response:
    problems = [(["body", name], str(sentence), "value_error") for name, sentence in refusal.fields.items()]
    return _unusable(Unusable(problems))


@answer.register
def _invalid_people(refusal: InvalidPeople) -> Response:
    problems = [
        (["body", "beneficiaries", index, *([name] if name else [])], str(sentence), "value_error")
        for index, name, sentence in refusal.problems
    ]
    return _unusable(Unusable(problems, refusal.total))


@answer.register
def _key_reused(refusal: KeyReused) -> Response:
    return _unusable(Unusable([(["header", "Idempotency-Key"], str(refusal.sentence), refusal.code)]))


@answer.register
def _unusable(error: Unusable) -> Response:
    detail = [{"loc": where, "msg": what, "type": kind} for where, what, kind in error.problems[:MOST_LISTED]]
    return _answer(422, detail, error.code, total=error.total)


@answer.register
def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    made = _answer(status, SAID.get(status, error.description), error.name.lower().replace(" ", "_"))
    for name, value in error.get_headers():
        if name.lower() != "content-type":
            made.headers[name] = value
    return made


def _away(away: Outage) -> Response:
    log.warning("Request %s to %s: %s", request_id(), request.url_rule, away.sentence, exc_info=True)
    made = _answer(503, str(away.sentence), "busy")
    made.headers["Retry-After"] = str(away.retry_after)
    return made


def _answer(status: int, detail: Any, code: str, **more: Any) -> Response:
    made = jsonify({"detail": detail, **more, "code": code, "request_id": request_id()})
    made.status_code = status
    made.headers["X-Request-Id"] = request_id()
    return made


bp.register_error_handler(Exception, answer)
