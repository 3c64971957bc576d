"""What the frames of the pages (base.html, public.html) expect: navigation, quota, version, and where help is."""

import tomllib
from functools import cache
from typing import Any

from flask import Flask, current_app, request, url_for
from flask_babel import gettext
from flask_login import current_user

from app.database import settings
from app.domain.standings import Standing, standing_of
from app.sentences import N_
from app.settings import ROOT
from app.web import quota_words
from app.web.door import actor

# endpoint, text, icon; a page stands here for those whose role lets them open it.
NAVIGATION = (
    ("home", N_("Home"), "home"),
    ("campaigns", N_("Campaigns"), "campaigns"),
    ("usage", N_("Usage"), "usage"),
    ("team", N_("Team"), "people"),
    ("settings", N_("Settings"), "settings"),
    ("health", N_("Health"), "health"),
)
# Pages that belong to an entry of the navigation without beginning with its address.
BELONGS = {
    "/app/cards": "campaigns",
    "/app/imports/": "campaigns",
    "/app/jobs": "campaigns",
    "/app/people/": "campaigns",
}


def init_app(app: Flask) -> None:
    """Give every template what the frames show."""
    app.context_processor(_frame)


def _frame() -> dict[str, Any]:
    always = {"version": version(), "help_url": url_for("web.help"), "test_cards": settings().makes_test_cards}
    if not current_user or not current_user.is_authenticated:
        return always
    quota = quota_left()
    advice = quota_words.advice(quota) if quota else ""
    return always | {"navigation": _navigation(), "quota": quota, "quota_advice": advice, "may": actor().may}


def quota_left() -> Standing | None:
    """Return where the organisation's quota stands; None where there is no limit."""
    found = standing_of(current_user.organisation_id)
    return None if found.unlimited else found


@cache
def version() -> str:
    """Return the version of this software, as its pyproject.toml says."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]


def _navigation() -> list[dict[str, Any]]:
    here = _entry_of(request.path)
    return [
        {"text": gettext(text), "url": url_for(f"web.{name}"), "icon": icon, "current": name == here}
        for name, text, icon in NAVIGATION
        if actor().may(current_app.view_functions[f"web.{name}"].policy)  # type: ignore[attr-defined]
    ]


def _entry_of(path: str) -> str:
    for start, name in BELONGS.items():
        if path.startswith(start):
            return name
    if path in ("/app/", "/app/welcome"):
        return "home"
    return next((name for name, _text, _icon in NAVIGATION if path.startswith(f"/app/{name}")), "")
