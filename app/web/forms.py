"""Forms: what was posted as a frozen dataclass that keeps what was typed, and the proof that a form goes once.

    @dataclass(frozen=True)
    class Answers:
        name: str = ""
        sizes: tuple[str, ...] = ()
        sure: bool = False

    answers = forms.read(Answers)                                     # nothing typed is changed, but for outer spaces
    campaigns.create(wanted, by=actor(), repeat=forms.repeat(wanted))   # two clicks make one campaign

The form carries `<input type="hidden" name="nonce" value="{{ nonce() }}">`.
"""

import secrets
from dataclasses import asdict, fields, replace
from typing import Any, TypeVar, get_origin, get_type_hints

from flask import Flask, Response, current_app, g, request
from itsdangerous import BadSignature, URLSafeSerializer

from app.domain.repeats import Repeat

Answers = TypeVar("Answers")
NONCE_BYTES = 16
MOST_DIGITS = 9


def init_app(app: Flask) -> None:
    """Let templates write a nonce into their forms, and mark the answer to a form that came twice."""
    app.jinja_env.globals["nonce"] = nonce
    app.after_request(_mark_replayed)


def read(kind: type[Answers]) -> Answers:
    """Return the posted values of `kind`'s fields: text without outer spaces, a tuple of all values, or a tick.

    A field that was not posted keeps its default. Line ends become single, as they were typed.
    """
    hints = get_type_hints(kind)
    found = {field.name: _value(field.name, hints[field.name]) for field in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in found.items() if value is not None})


def whole_number(text: str) -> int:
    """Return the number that was typed; 0, which the rooms refuse, for anything else and for one beyond reason."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS else 0


def nonce() -> str:
    """Return a fresh signed nonce for a form that must not go twice."""
    return _signer().dumps(secrets.token_urlsafe(NONCE_BYTES))


def repeat(asked: Any) -> Repeat | None:
    """Return what makes this post the same as an earlier one: its nonce, and `asked` (a dataclass or JSON values).

    Whoever goes back and changes the form asks for something else, and gets it. None when the form carries no nonce of
    ours, so that nothing is ever refused for it.
    """
    try:
        key = _signer().loads(request.form.get("nonce", ""))
    except BadSignature:
        return None
    once = Repeat.of(key, asdict(asked) if hasattr(asked, "__dataclass_fields__") else asked)
    g.repeat = replace(once, key_sha256=Repeat.of(once.key_sha256 + once.body_sha256, None).key_sha256)
    return g.repeat


def _mark_replayed(answer: Response) -> Response:
    if "repeat" in g and g.repeat.again:
        answer.headers["Idempotent-Replayed"] = "true"
    return answer


def _value(name: str, hint: Any) -> Any:
    if hint is bool:
        return name in request.form
    if name not in request.form:
        return None
    if get_origin(hint) is tuple:
        return tuple(_plain(text) for text in request.form.getlist(name))
    return _plain(request.form[name])


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n").strip()


def _signer() -> URLSafeSerializer:
    return URLSafeSerializer(current_app.config["SECRET_KEY"], salt="nonce")
