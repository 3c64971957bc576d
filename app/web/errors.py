"""What people see when something is refused or goes wrong: a page, or to htmx a notice. APIs answer for themselves."""

import logging
import secrets
import time
from typing import Any

from flask import Flask, Response, current_app, make_response, render_template, request, session
from flask_babel import force_locale
from flask_wtf.csrf import CSRFError
from sqlalchemy.exc import DBAPIError, PendingRollbackError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException, TooManyRequests

from app.answers import outage
from app.database import db
from app.domain.errors import (
    Conflict,
    Gone,
    Invalid,
    NoRoom,
    NotAllowed,
    NotFound,
    NotSignedIn,
    QuotaExceeded,
    Refusal,
    TooLarge,
)
from app.factory import LANGUAGES, limiter
from app.sentences import Sentence
from app.web import people_in
from app.web.languages import in_words

log = logging.getLogger(__name__)

API_PATHS = frozenset({"api", "auth", "billing", "campaigns", "cards", "jobs", "mpi"})
API_ANSWERS = "fieldcard-api-errors"  # in app.extensions: what answers an exception on an API's path
STATUSES: tuple[tuple[type[Refusal], int], ...] = (
    (NotFound, 404),
    (NotAllowed, 403),
    (NotSignedIn, 401),
    (Conflict, 409),
    (Gone, 410),
    (Invalid, 422),
    (QuotaExceeded, 402),
    (TooLarge, 413),
    (NoRoom, 507),
)
OWN_PAGES = frozenset({400, 401, 403, 404, 405, 413, 429, 500, 503})
SECRET_WORDS = ("password", "current", "csrf_token")


def init_app(app: Flask) -> None:
    """Answer refusals, HTTP errors and whatever is away; on API paths leave it to `app.extensions`."""
    app.register_error_handler(Refusal, _unless_api(_refused))
    app.register_error_handler(HTTPException, _unless_api(_went_wrong))
    app.register_error_handler(CSRFError, _unless_api(_stale_form))
    for kind in (DBAPIError, PoolTimeout, PendingRollbackError, OSError):
        app.register_error_handler(kind, _unless_api(_away))


def is_api_path(path: str) -> bool:
    """Return whether the address belongs to a JSON API; all others are the portal's."""
    return path.removeprefix("/").split("/", 1)[0] in API_PATHS


def status_of(refusal: Refusal) -> int:
    """Return the HTTP status that says what kind of refusal this is; 400 for kinds without one of their own."""
    return next((status for kind, status in STATUSES if isinstance(refusal, kind)), 400)


def _unless_api(answer: Any) -> Any:
    def handle(error: Exception) -> Any:
        if not is_api_path(request.path):
            return answer(error)
        if api_answer := current_app.extensions.get(API_ANSWERS):
            return api_answer(error)
        if isinstance(error, HTTPException):
            return error
        raise error

    return handle


def _refused(refusal: Refusal) -> Response:
    status = status_of(refusal)
    template = f"errors/{status}.html" if status in (401, 403, 404) else "errors/refused.html"
    return _answer(template, status, in_words(refusal.sentence))


def _went_wrong(error: HTTPException) -> Response:
    status = error.code or 500
    if status >= 500:
        return _our_fault(status)
    facts: dict[str, Any] = {}
    if isinstance(error, TooManyRequests):
        facts["retry_after"] = _seconds_to_wait()
    if status == 413 and (request.content_length or 0) > current_app.config["MAX_CONTENT_LENGTH"]:
        facts["limit"] = f"{current_app.config['MAX_CONTENT_LENGTH'] >> 20} MB"
    answer = _answer(f"errors/{status if status in OWN_PAGES else 400}.html", status, **facts)
    if allowed := error.get_response().headers.get("Allow"):
        answer.headers["Allow"] = allowed
    return answer


def _stale_form(error: CSRFError) -> Response:
    """Offer to send the form once more when it came from a page of ours that was open for too long.

    The browser itself says where it came from (Sec-Fetch-Site); a form of another site is never offered again.
    """
    ours = request.headers.get("Sec-Fetch-Site") == "same-origin"
    if not ours or request.files or request.htmx:  # type: ignore[attr-defined]
        return _answer("errors/400.html", 400)
    fields = [
        (name, value)
        for name, value in request.form.items(multi=True)
        if not any(word in name for word in SECRET_WORDS)
    ]
    return _answer("errors/stale_form.html", 400, fields=fields, action=request.full_path.rstrip("?"))


def _away(error: Exception) -> Response:
    """Answer 503 when the database, the disk or the file store is locked, full or restarting; it passes."""
    if not (away := outage(error)):
        raise error
    log.error("%s", away.sentence, exc_info=error)
    db.session.rollback()
    answer = _calmly("errors/503.html", 503, away.sentence, retry_after=away.retry_after)
    answer.headers["Retry-After"] = str(away.retry_after)
    return answer


def _our_fault(status: int) -> Response:
    """Answer with a number that also stands in the log, beside what happened, and nowhere in the page."""
    error_id = secrets.token_hex(4)
    log.error("The error above was shown as %s.", error_id)
    return _calmly("errors/503.html" if status == 503 else "errors/500.html", status, error_id=error_id)


def _calmly(template: str, status: int, reason: Sentence | None = None, **facts: Any) -> Response:
    """Answer without the database: it may be what failed."""
    people_in.ask_nobody()
    language = session.get("language") or request.accept_languages.best_match(list(LANGUAGES)) or "fr"
    with force_locale(language):
        return _answer(template, status, in_words(reason) if reason else "", **facts)


def _answer(template: str, status: int, reason: str = "", **facts: Any) -> Response:
    if request.htmx:  # type: ignore[attr-defined]
        facts |= {"page": template}
        template = "errors/_notice.html"
    return make_response(render_template(template, reason=reason, **facts), status)


def _seconds_to_wait() -> int:
    limit = limiter.current_limit
    return max(1, int(limit.reset_at - time.time())) if limit else 60
