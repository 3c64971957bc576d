"""The APIs' door: the blueprint of their routes, who is let in, and how a request is read and described.

How refusals are answered is in `errors.py`.
"""

import re
import secrets
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from flask import Blueprint, Response, g, request
from pydantic import BaseModel, ValidationError
from spectree import Response as Answers
from spectree import SecurityScheme, SpecTree
from spectree.models import SecureType, SecuritySchemeData
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

from app.api.schemas import Refused, Unprocessable
from app.domain import access, accounts, bearer
from app.domain.access import Actor
from app.domain.errors import NotSignedIn
from app.domain.repeats import Repeat
from app.sentences import say

LONGEST_KEY = 200  # characters of an Idempotency-Key
VISIBLE = re.compile(f"[!-~]{{1,{LONGEST_KEY}}}")
BEARER = "bearer "

P = ParamSpec("P")
R = TypeVar("R")
View = Callable[P, Any]


class Unusable(Exception):
    """A request whose values cannot be taken; each problem is (where, what, kind), as it is answered."""

    code = "invalid"

    def __init__(self, problems: list[tuple[list[str | int], str, str]], total: int | None = None) -> None:
        super().__init__(problems[0][1])
        self.problems = problems
        self.total = len(problems) if total is None else total


class Routes(Blueprint):
    """A blueprint whose addresses mean the same with a slash at the end and without."""

    def add_url_rule(self, rule: str, *args: Any, **options: Any) -> None:
        super().add_url_rule(rule, *args, **{"strict_slashes": False} | options)


bp = Routes("api", __name__)


def public(view: Callable[P, R]) -> Callable[P, R]:
    """Mark a route that needs no token."""
    view.policy = "public"  # type: ignore[attr-defined]
    return view


def signed_in(to: str) -> Callable[[View[P]], View[P]]:
    """Let in who shows a token (`Authorization: Bearer …`, never a cookie) and whose role includes `to`."""

    def let_in(view: View[P]) -> View[P]:
        @wraps(view)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> Any:
            access.require(actor(), to)
            return view(*args, **kwargs)

        guarded.policy = to  # type: ignore[attr-defined]
        return guarded

    return let_in


def actor() -> Actor:
    """Return the person whose token came with this request; sees one organisation only."""
    if "api_actor" not in g:
        user = bearer.holder(_token())
        g.api_actor = accounts.acting(user)
        access.confine(user.organisation_id)
    return g.api_actor


def takes(
    *,
    json: type[BaseModel] | None = None,
    query: type[BaseModel] | None = None,
    answers: Mapping[int, type[BaseModel] | None],
    open_to_all: bool = False,
) -> Callable[[View[P]], View[P]]:
    """Read the request into `json` or `query` for the view; write its answer by the model of its status."""

    def read(view: View[P]) -> View[P]:
        facts = _described(answers, open_to_all)
        validated = spec.validate(json=json, query=query, **facts)(view)

        @wraps(validated)
        def strict(*args: P.args, **kwargs: P.kwargs) -> Any:
            if json:
                _refuse_what_is_no_object()
            return validated(*args, **kwargs)

        return strict

    return read


def described(*, answers: Mapping[int, type[BaseModel] | None]) -> Callable[[View[P]], View[P]]:
    """Describe a view that streams: spectree may look at it, but would read its answer into memory."""

    def describe(view: View[P]) -> View[P]:
        documented = spec.validate(**_described(answers))(view)

        @wraps(view)
        def untouched(*args: P.args, **kwargs: P.kwargs) -> Any:
            return view(*args, **kwargs)

        untouched.__wrapped__ = documented  # type: ignore[attr-defined]
        return untouched

    return describe


def repeat_of(body: Any) -> Repeat | None:
    """Return what makes this request the same as another; None when it came without Idempotency-Key."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not VISIBLE.fullmatch(key):
        sentence = f"An Idempotency-Key has 1 to {LONGEST_KEY} visible ASCII characters, without spaces."
        raise Unusable([(["header", "Idempotency-Key"], sentence, "value_error")])
    return Repeat.of(key, body)


def replayed(before: bool) -> dict[str, str]:
    """Return the header that says that this answer was given before."""
    return {"Idempotent-Replayed": "true"} if before else {}


def request_id() -> str:
    """Return the name of this request, under which its answer and the log can be brought together."""
    if "request_id" not in g:
        g.request_id = secrets.token_hex(8)
    return g.request_id


@bp.after_request
def _name_the_request(answer: Response) -> Response:
    answer.headers["X-Request-Id"] = request_id()
    return answer


def _token() -> str:
    header = request.headers.get("Authorization", "")
    if not header.lower().startswith(BEARER):
        raise NotSignedIn(say("Sign in at /auth/login and send its token as “Authorization: Bearer …”."))
    return header[len(BEARER) :].strip()


def _refuse_what_is_no_object() -> None:
    """Raise what spectree would overlook: a body of another type, not in JSON, or no object."""
    if not request.is_json:
        raise UnsupportedMediaType
    try:
        body = request.get_json()
    except (BadRequest, RecursionError):
        raise Unusable([(["body"], "This is not JSON that can be read.", "json_invalid")]) from None
    if not isinstance(body, dict):
        raise Unusable([(["body"], "Send a JSON object.", "dict_type")])


def _refuse_invalid(_request: Any, _answer: Any, error: ValidationError | None, *_: Any) -> None:
    if error is not None:
        place = "query" if request.method in ("GET", "HEAD") else "body"
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        raise Unusable(
            [
                ([place, *problem["loc"]], problem["msg"].removeprefix("Value error, "), problem["type"])
                for problem in problems
            ]
        )


def _refuse_wrong_answer(_request: Any, _answer: Any, error: ValidationError | None, *_: Any) -> None:
    if error is not None:
        raise error


def _described(models: Mapping[int, type[BaseModel] | None], open_to_all: bool = False) -> dict[str, Any]:
    """Return what spectree writes down: the answers by status, and whether a token is needed."""
    if not open_to_all:
        models = {**models, 401: Refused, 403: Refused}
    answers = Answers(**{f"HTTP_{status}": model for status, model in models.items()})
    return {"resp": answers, "security": {} if open_to_all else {"bearer": []}}


spec = SpecTree(
    "flask",
    mode="strict",
    title="Fieldcard",
    description="Campaigns, jobs that make their cards, and the quota they are made from.",
    naming_strategy=lambda model: model.__name__,
    nested_naming_strategy=lambda _parent, child: child,
    validation_error_model=Unprocessable,
    before=_refuse_invalid,
    after=_refuse_wrong_answer,
    security_schemes=[SecurityScheme("bearer", SecuritySchemeData(SecureType.HTTP, scheme="bearer"))],
)
