"""Pages of settings: the organisation's name, place, time, language and logo."""

import hashlib

from flask import Response, flash, request
from flask_babel import get_locale
from flask_babel import gettext as _
from flask_login import current_user

from app.domain import organisations
from app.domain.errors import Invalid, NotFound
from app.domain.logos import LARGEST_BYTES
from app.domain.organisations import OrganisationSettings
from app.factory import LANGUAGES
from app.web.accounts import Answer, words_of
from app.web.door import actor, bp, go, page, signed_in


@bp.get("/app/settings")
@signed_in(to="change settings")
def settings() -> Answer:
    """Show the organisation's settings."""
    return _settings_page(_as_saved())


@bp.post("/app/settings")
@signed_in(to="change settings")
def save_settings() -> Answer:
    """Keep the organisation's settings."""
    typed = OrganisationSettings(
        **{name: request.form.get(name, "") for name in ("name", "country", "region", "time_zone", "language")}
    )
    try:
        organisations.save_settings(typed, by=actor())
    except Invalid as refusal:
        return _settings_page(typed, words_of(refusal)), 422
    flash(_("The settings are saved."), "good")
    return go("web.settings")


@bp.get("/app/logo")
@signed_in()
def logo() -> Answer:
    """Return the organisation's logo; the browser asks each time whether it changed."""
    png = organisations.logo(actor())
    if png is None:
        raise NotFound()
    answer = Response(png, mimetype="image/png", headers={"Cache-Control": "private, no-cache"})
    answer.set_etag(hashlib.sha256(png).hexdigest())
    return answer.make_conditional(request)


@bp.post("/app/settings/logo")
@signed_in(to="change settings")
def save_logo() -> Answer:
    """Keep an uploaded picture as the organisation's logo."""
    sent = request.files.get("logo")
    try:
        organisations.save_logo(sent.read(LARGEST_BYTES + 1) if sent else b"", by=actor())
    except Invalid as refusal:
        return _settings_page(_as_saved(), words_of(refusal)), 422
    flash(_("The logo is saved. New cards carry it."), "good")
    return go("web.settings")


@bp.post("/app/settings/logo/remove")
@signed_in(to="change settings")
def remove_logo() -> Answer:
    """Go without a logo from now on."""
    organisations.remove_logo(by=actor())
    flash(_("The logo is removed. Cards that were made keep it."), "good")
    return go("web.settings")


@bp.app_context_processor
def _for_the_masthead() -> dict[str, object]:
    """Let the frame of the pages ask whether there is a logo to show."""
    return {"has_logo": lambda: organisations.has_logo(actor())}


def _as_saved() -> OrganisationSettings:
    kept = current_user.organisation
    return OrganisationSettings(kept.name, kept.country, kept.region, kept.time_zone, kept.language)


def _settings_page(shown: OrganisationSettings, errors: dict[str, str] | None = None) -> str:
    names = get_locale().territories
    countries = [(code, names.get(code, code)) for code in organisations.countries()]
    return page(
        "settings/settings.html",
        settings=shown,
        countries=sorted(countries, key=lambda country: country[1]),
        time_zones=[(zone, zone.replace("_", " ")) for zone in organisations.time_zones()],
        language_options=list(LANGUAGES.items()),
        logo=organisations.has_logo(actor()),
        errors=errors or {},
    )
