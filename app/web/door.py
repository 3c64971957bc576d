"""The portal's door: its blueprint, who is let in, and how a page or a fragment is answered."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from flask import Blueprint, Response, g, redirect, render_template, request, url_for
from flask_login import current_user

from app.domain import access
from app.domain.access import Actor

P = ParamSpec("P")
R = TypeVar("R")

bp = Blueprint("web", __name__)


def public(view: Callable[P, R]) -> Callable[P, R]:
    """Mark a page that anybody may open, signed in or not."""
    view.policy = "public"  # type: ignore[attr-defined]
    return view


def signed_in(to: str = "see") -> Callable[[Callable[P, Any]], Callable[P, Any]]:
    """Let in people who are signed in and whose role includes `to`; send the others to sign in, or refuse."""

    def let_in(view: Callable[P, Any]) -> Callable[P, Any]:
        @wraps(view)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> Any:
            if not current_user.is_authenticated:
                return _to_sign_in()
            access.require(actor(), to)
            return view(*args, **kwargs)

        guarded.policy = to  # type: ignore[attr-defined]
        return guarded

    return let_in


def actor() -> Actor:
    """Return the person who sent this request, as the rooms know them; sees one organisation only."""
    if "actor" not in g:
        user = current_user
        g.actor = Actor(user.organisation_id, user.role, user.id, user.email)
        access.confine(user.organisation_id)
    return g.actor


def page(template: str, fragment: str | None = None, **values: Any) -> str:
    """Return the page, or to htmx only its `fragment`, drawn from the same values."""
    wanted = fragment if fragment and request.htmx else template  # type: ignore[attr-defined]
    return render_template(wanted, **values)


def go(endpoint: str, **values: Any) -> Response:
    """Send the browser to another page, with htmx or without."""
    target = url_for(endpoint, **values)
    if request.htmx:  # type: ignore[attr-defined]
        return Response(status=204, headers={"HX-Redirect": target})
    return redirect(target, code=303)  # type: ignore[return-value]


def _to_sign_in() -> Response:
    if request.htmx:  # type: ignore[attr-defined]
        return Response(status=401, headers={"HX-Redirect": url_for("web.signin")})
    wanted = request.full_path.rstrip("?") if request.method == "GET" else None
    return redirect(url_for("web.signin", next=wanted), code=303)  # type: ignore[return-value]
