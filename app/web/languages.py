"""Languages: which one a page speaks, how sentences are put into it, and how dates and numbers look."""

from flask import Flask, current_app, redirect, request, session
from flask_babel import Babel, format_date, format_datetime, format_decimal, get_locale, get_translations, gettext
from flask_login import current_user
from jinja2 import Environment

from app.domain import accounts
from app.sentences import Sentence
from app.web.door import actor, bp, public


def init_app(app: Flask, babel: Babel) -> None:
    """Let babel ask us for the language and zone of each request, and give the templates their filters."""
    babel.init_app(app, locale_selector=_language, timezone_selector=_zone)
    _teach(app.jinja_env, app.config["LANGUAGES"])


def in_words(sentence: Sentence | dict) -> str:
    """Return the sentence in the language of the request, its facts filled in."""
    if isinstance(sentence, dict):
        sentence = Sentence.from_json(sentence)
    facts = {name: format_decimal(value) if isinstance(value, int) else value for name, value in sentence.facts.items()}
    if sentence.plural is None:
        text = gettext(sentence.template)
    else:
        # flask_babel's ngettext would fill in its own %(num)s at once, before our facts are there.
        text = get_translations().ungettext(sentence.template, sentence.plural, sentence.n)
    return text % facts if facts else text


@bp.post("/language")
@public
def language():
    """Remember the chosen language: in the session, and with the person when signed in."""
    from app.web.accounts import local_path  # accounts needs our words to be imported

    chosen = request.form.get("language", "")
    if chosen in current_app.config["LANGUAGES"]:
        session["language"] = chosen
        if current_user.is_authenticated:
            accounts.choose_language(chosen, by=actor())
    return redirect(local_path(request.form.get("next", "")) or "/", code=303)


def _teach(templates: Environment, languages: dict[str, str]) -> None:
    """Let the templates say sentences, numbers, days and moments, and know the languages there are."""
    templates.filters.update(
        sentence=in_words,
        number=format_decimal,
        day=format_date,
        moment=lambda moment: format_datetime(moment, "d MMM yyyy, HH:mm"),
    )
    templates.globals.update(languages=languages, current_language=lambda: str(get_locale()))


def _language() -> str:
    known = current_app.config["LANGUAGES"]
    if session.get("language") in known:
        return session["language"]
    if current_user and current_user.is_authenticated and current_user.language in known:
        return current_user.language
    return request.accept_languages.best_match(list(known)) or "fr"


def _zone() -> str:
    if current_user and current_user.is_authenticated:
        return current_user.organisation.time_zone
    return "UTC"
