"""Pages of verification: public, without sign-in, without a cookie, the same for everybody."""

import base64
import ipaddress
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import wraps
from typing import Any

from flask import Response, jsonify, make_response, redirect, request, url_for
from flask_babel import force_locale
from flask_login import current_user
from limits import parse_many
from limits.errors import StorageError
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter, RateLimiter
from werkzeug.exceptions import RequestEntityTooLarge

from app.domain import photos, verification
from app.domain.errors import Invalid
from app.domain.verification import Answer, Outcome
from app.factory import LANGUAGES, csrf, limiter
from app.sentences import Sentence, say
from app.web.door import bp, page, public
from app.web.languages import in_words

VISITORS_PACE = "10 per minute; 200 per day"  # typed codes from one address; signed tokens are never limited
STAFF_PACE = "120 per minute"
PHOTOS_PACE = "30 per minute"
UPLOAD_BYTES = photos.LARGEST_BYTES + 64_000  # the photo and what a form writes around it
IPV6_NETWORK = 64  # bits: one household or one server
SPARE = FixedWindowRateLimiter(MemoryStorage())  # counts in this process while the shared count is away
KEYS_LAST = 3600  # seconds that a verifier may keep the list of keys

WITHDRAWN = frozenset({Outcome.revoked, Outcome.replaced, Outcome.suspended, Outcome.expired})


def in_chosen_language(view: Callable[..., Any]) -> Callable[..., Any]:
    """Speak the language that the address names, so that visitors choose one without a cookie."""

    @wraps(view)
    def speaking(*args: Any, **kwargs: Any) -> Any:
        chosen = request.args.get("language")
        with force_locale(chosen) if chosen in LANGUAGES else nullcontext():
            return view(*args, **kwargs)

    return speaking


@bp.get("/verify")
@public
@in_chosen_language
def verify() -> Response:
    """Ask for a code, or answer the one in the address, a pasted address, or the documented `p` and `s`."""
    code = request.args.get("code", "").strip()
    if "p" in request.args and "s" in request.args:
        return _answered(verification.check_token(verification.joined(request.args["p"], request.args["s"])))
    if token := verification.token_in(code):
        return _answered(verification.check_token(token))
    if not code:
        asked = "code" in request.args
        return _page(errors={"code": say("Type the code printed on the card.")} if asked else {})
    if wait := _seconds_to_wait(STAFF_PACE if current_user.is_authenticated else VISITORS_PACE, "typed codes"):
        sentence = say(
            "Too many codes from your connection. Wait %(minutes)s min, or scan the QR code: that always works.",
            minutes=-(-wait // 60),
        )
        return _too_many("code", sentence, wait, code=code)
    return _answered(verification.check_code(code), code=code)


@bp.get("/V/<token>")
@public
@in_chosen_language
def verify_token(token: str) -> Response:
    """Answer the address that stands in a card's QR code."""
    return _answered(verification.check_token(token))


@bp.get("/v/<path:_lower>")
@public
@in_chosen_language
def verify_lower(_lower: str) -> tuple[Response, int]:
    """Say what went wrong with an address that something wrote in small letters: it is none that we print."""
    sentence = say("This address was changed on the way: a card's is in capital letters. Scan the QR code again.")
    return _page(errors={"": sentence}), 404


@bp.post("/verify")
@csrf.exempt  # it changes nothing and knows nobody, and a proof of origin would need a cookie
@public
@in_chosen_language
def verify_photo() -> Response | tuple[Response, int]:
    """Read the QR code in a photo and go to its answer, so that the answer can be reloaded and passed on."""
    if wait := _seconds_to_wait(PHOTOS_PACE, "photos"):
        return _too_many("photo", say("Too many photos from your connection. Wait a minute, then try again."), wait)
    try:
        text = photos.read_qr(_photo())
    except Invalid as refusal:
        return _page(errors=refusal.fields), 422
    token = verification.token_in(text)
    if not token:
        return _page(errors={"photo": say("The QR code in the photo is not one of a card.")}), 422
    return redirect(url_for("web.verify_token", token=token, language=request.args.get("language")), 303)  # type: ignore


@bp.get("/mpi/verify/<token>")
@public
def mpi_verify(token: str) -> tuple[Response, int]:
    """Answer a program: whether the card counts, and nothing about the person."""
    answer = verification.check_token(token)
    verified_at = answer.checked_at.isoformat(timespec="seconds").replace("+00:00", "Z")
    if answer.outcome == Outcome.valid:
        return jsonify(status="valid", programme_count=1, verified_at=verified_at), 200
    if answer.outcome in WITHDRAWN:
        return jsonify(status="revoked", verified_at=verified_at), 200
    return jsonify(status="not_found", message="No card was issued with this token."), 404


@bp.get("/.well-known/fieldcard-keys.json")
@public
def public_keys() -> Response:
    """Publish the keys that verify cards, as docs/token-format.md describes them."""
    answer = jsonify(
        keys=[
            {
                "kid": known.key.key_id,
                "alg": "Ed25519",
                "public_key": base64.urlsafe_b64encode(known.key.public_key).decode().rstrip("="),
                "issuer": known.key.issuer,
                "not_before": known.not_before.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "status": known.status,
            }
            for known in verification.published_keys()
        ]
    )
    answer.headers["Cache-Control"] = f"public, max-age={KEYS_LAST}"
    answer.headers["Access-Control-Allow-Origin"] = "*"  # verifiers are anybody's pages
    return answer


def _answered(answer: Answer, code: str = "") -> Response:
    return _page(answer=answer, code=code)


def _page(*, errors: dict[str, Sentence] | None = None, **values: Any) -> Response:
    words = {name: in_words(sentence) for name, sentence in (errors or {}).items()}
    return make_response(page("verification/verify.html", errors=words, chosen=request.args.get("language"), **values))


def _too_many(field: str, sentence: Sentence, wait: int, **typed: str) -> Response:
    """Answer 429 on the same page, where what was typed stays."""
    answer = _page(errors={field: sentence}, **typed)
    answer.status_code = 429
    answer.headers["Retry-After"] = str(wait)
    return answer


def _photo() -> bytes:
    request.max_content_length = UPLOAD_BYTES
    try:
        sent = request.files.get("photo")
    except RequestEntityTooLarge:
        raise photos.too_large() from None
    return sent.read() if sent else b""


def _seconds_to_wait(pace: str, what: str) -> int:
    """Count one more of `what` from where the request comes; return 0, or how long to wait when it is too much."""
    try:
        return _counted(limiter.limiter, pace, what)
    except StorageError:
        return _counted(SPARE, pace, what)


def _counted(counter: RateLimiter, pace: str, what: str) -> int:
    where = _where()
    for limit in parse_many(pace):
        if not counter.hit(limit, what, where):
            return max(1, int(counter.get_window_stats(limit, what, where).reset_time - time.time()))
    return 0


def _where() -> str:
    """Return who asks: the person who is signed in, else the address, of IPv6 the network."""
    if current_user.is_authenticated:
        return str(current_user.id)
    address = ipaddress.ip_address(request.remote_addr or "0.0.0.0")  # noqa: S104 - nobody listens on it
    if address.version == 6 and address.ipv4_mapped:
        address = address.ipv4_mapped
    return str(address) if address.version == 4 else str(ipaddress.ip_network((address, IPV6_NETWORK), strict=False))
