"""Catalogues: the sentences of the sources (messages.pot), and for each language a .po to translate and its .mo.

Sentences are found as babel.cfg and KEYWORDS say. No file here holds a date or a line number, so a catalogue changes
only when words change.
"""

import io
import re
from collections.abc import Iterator
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.frontend import parse_keywords, parse_mapping_cfg
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
TEMPLATE = HERE / "messages.pot"
SOURCE_LANGUAGE = "en"
LANGUAGES = ("en", "fr", "wo")  # Babel gives Wolof two forms, cut as in English (n != 1)
KEYWORDS = DEFAULT_KEYWORDS | parse_keywords(["say", "say_n:1,2", "N_", "lazy_gettext", "lazy_ngettext:1,2"])
ALWAYS = datetime(2026, 1, 1, tzinfo=UTC)
FACT = re.compile(r"%\((\w+)\)[sd]")


def update() -> None:
    """Bring the sentences of the sources into every catalogue; new ones are empty but in English."""
    template = extract()
    _write(template, TEMPLATE)
    for language in LANGUAGES:
        catalogue = read(language) if _po(language).exists() else _new(language)
        catalogue.update(deepcopy(template), no_fuzzy_matching=True)  # it takes the messages over as its own
        if language == SOURCE_LANGUAGE:
            _fill_in(catalogue)
        _write(catalogue, _po(language))
    compile_all()


def compile_all() -> None:
    """Write each language's messages.mo from its messages.po."""
    for language in LANGUAGES:
        compiled_path(language).write_bytes(compiled(language))


def problems() -> list[str]:
    """Return in sentences what keeps the catalogues from being complete."""
    found = list(outdated())
    for language in LANGUAGES:
        found += [f"{language}: {problem}" for problem in untranslated(language)]
        if compiled_path(language).read_bytes() != compiled(language):
            found.append(
                f"{language}: messages.mo is older than messages.po: run `python -m app.translations compile`."
            )
    return found


def outdated() -> Iterator[str]:
    """Yield what tells the catalogues from the sources; where a sentence stands is not compared."""
    in_sources = {message.id for message in extract()}
    with TEMPLATE.open("rb") as lines:
        written = {message.id for message in read_po(lines)}
    how = "run `python -m app.translations update`."
    for identifier in sorted(in_sources ^ written, key=str):
        which = "new in the sources" if identifier in in_sources else "gone from the sources"
        yield f"{which}: {_forms_of(identifier)[0]!r}: {how}"
    for language in LANGUAGES:
        if {message.id for message in read(language)} != written:
            yield f"{language}: messages.po and messages.pot have different sentences: {how}"


def untranslated(language: str) -> Iterator[str]:
    """Yield, for each sentence whose translation is missing, doubtful or lacks a fact, what is wrong with it."""
    for message in read(language):
        if not message.id:
            continue
        singular, plural = _forms_of(message.id)
        said = message.string if isinstance(message.string, tuple) else (message.string,)
        if message.fuzzy:
            yield f"marked as doubtful (fuzzy): {singular!r}"
        if not all(said):
            yield f"not translated: {singular!r}"
            continue
        for number, text in enumerate(said):
            if _facts(text) not in ([_facts(singular), _facts(plural)] if number == 0 else [_facts(plural)]):
                yield f"the facts differ: {singular!r} became {text!r}"
            elif _can_be_filled(singular) and not _can_be_filled(text):
                yield f"a % of its own must be written %%: {text!r}"


def extract() -> Catalog:
    """Return every sentence of the sources, with the files it stands in."""
    with (ROOT / "babel.cfg").open("rb") as lines:
        methods, options = parse_mapping_cfg(io.TextIOWrapper(lines, "utf-8"), "babel.cfg")
    template = Catalog(**_header())
    found = extract_from_dir(ROOT, methods, options, KEYWORDS, directory_filter=lambda folder: _is_source(Path(folder)))
    for file_name, _line, text, comments, context in found:
        template.add(text, None, [(file_name, None)], auto_comments=comments, context=context)
    return template


def read(language: str) -> Catalog:
    """Return the catalogue as its messages.po has it."""
    with _po(language).open("rb") as lines:
        return read_po(lines, locale=language)


def compiled(language: str) -> bytes:
    """Return what messages.mo must hold."""
    out = io.BytesIO()
    write_mo(out, _timeless(read(language)))
    return out.getvalue()


def compiled_path(language: str) -> Path:
    """Return where the compiled catalogue stands."""
    return _po(language).with_suffix(".mo")


def as_text(catalogue: Catalog) -> str:
    """Return the catalogue as its file has it."""
    out = io.BytesIO()
    write_po(out, _timeless(catalogue), width=110, sort_output=True, include_lineno=False, ignore_obsolete=True)
    return out.getvalue().decode("utf-8")


def _is_source(folder: Path) -> bool:
    """Look into app and templates only, so that tests, data and libraries are not even walked through."""
    inside = folder.resolve().relative_to(ROOT).parts
    return not inside or inside[0] in ("app", "templates")


def _new(language: str) -> Catalog:
    return Catalog(locale=language, **_header())


def _header() -> dict[str, object]:
    return {
        "project": "Fieldcard",
        "version": "portal",
        "header_comment": "# The sentences of Fieldcard; see `python -m app.translations`.",
        "msgid_bugs_address": "Fieldcard",
        "last_translator": "Fieldcard",
        "language_team": "Fieldcard",
        "fuzzy": False,
    }


def _fill_in(catalogue: Catalog) -> None:
    """Say in the source language what the sources say."""
    for message in catalogue:
        if message.id:
            message.string = tuple(message.id) if isinstance(message.id, (tuple, list)) else message.id


def _write(catalogue: Catalog, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(as_text(catalogue), "utf-8")


def _timeless(catalogue: Catalog) -> Catalog:
    catalogue.creation_date = catalogue.revision_date = ALWAYS
    return catalogue


def _po(language: str) -> Path:
    return HERE / language / "LC_MESSAGES" / "messages.po"


def _forms_of(identifier: str | tuple[str, ...]) -> tuple[str, str]:
    return (identifier, identifier) if isinstance(identifier, str) else (identifier[0], identifier[1])


def _facts(text: str) -> set[str]:
    return set(FACT.findall(text))


def _can_be_filled(text: str) -> bool:
    try:
        text % dict.fromkeys(_facts(text), 1)
    except (ValueError, TypeError, KeyError):
        return False
    return True
