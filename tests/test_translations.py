"""Every sentence stands in every language, and no template says a word that could not be translated."""

import ast
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from babel.messages.pofile import read_po
from flask_babel import force_locale
from jinja2 import Environment, nodes

from app.factory import LANGUAGES
from app.sentences import Sentence, say, say_n
from app.settings import ROOT
from app.translations import catalogues
from app.web.languages import in_words

TEMPLATES = ROOT / "templates"
PAGES = [path for path in sorted(TEMPLATES.rglob("*.html")) if "cards" not in path.relative_to(TEMPLATES).parts[:1]]
JINJA = Environment(autoescape=True, extensions=["jinja2.ext.i18n"])
TRANSLATES = {"_", "gettext", "ngettext", "pgettext", "npgettext"}
MARKS = TRANSLATES | {"say", "say_n", "N_", "lazy_gettext", "lazy_ngettext"}
READ_ALOUD = {"title", "alt", "placeholder", "aria-label", "aria-description", "aria-roledescription", "label"}
# Names and units that are the same in every language.
UNTRANSLATABLE = {
    "Fieldcard",
    "CSV",
    "XLSX",
    "ODS",
    "PDF",
    "ZIP",
    "PNG",
    "JSON",
    "QR",
    "API",
    "UTC",
    "UTF",
    "kB",
    "MB",
    "GB",
    "SHA",
}
WORD = re.compile(r"[^\W\d_]+")
ATTRIBUTES = re.compile(r"[\w:-]+=\"[^\"]*\"")  # those that a macro adds to a tag elsewhere


class Words(HTMLParser):
    """Collects what a reader would see or hear of a template without its expressions."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.silent = 0

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.silent += tag in ("script", "style")
        self.found += [value for name, value in attributes if name in READ_ALOUD and value]
        kind = dict(attributes)
        if tag == "input" and kind.get("type") in ("submit", "button"):
            self.found.append(kind.get("value") or "")

    def handle_endtag(self, tag: str) -> None:
        self.silent -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.found.append(data)


def name_of(page: Path) -> str:
    return str(page.relative_to(TEMPLATES))


def bare(page: Path) -> str:
    """Return the template without its comments, blocks and expressions, lines kept."""
    tokens = JINJA.lex(page.read_text("utf-8"))
    return "".join(text if kind == "data" else "\n" * text.count("\n") for _line, kind, text in tokens)


def translatable(text: str) -> list[str]:
    return [word for word in WORD.findall(ATTRIBUTES.sub("", text)) if word not in UNTRANSLATABLE]


def calls(tree: ast.AST, names: set[str]) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
            yield node


def marked_constants(trees: dict[Path, ast.Module]) -> set[str]:
    """Return the names that modules give to texts marked for translation."""
    names: set[str] = set()
    for tree in trees.values():
        for node in tree.body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            if isinstance(node, ast.Assign | ast.AnnAssign) and any(calls(node, {"N_"})):
                names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


def test_it_works(app) -> None:
    with app.test_request_context(headers={"Accept-Language": "en"}):
        assert in_words(say("The file is empty. Choose the spreadsheet that holds your list.")).startswith("The file")
        with force_locale("fr"):
            assert in_words(say("First name")) == next(
                message.string for message in catalogues.read("fr") if message.id == "First name"
            )


@pytest.mark.parametrize(
    ("count", "sentence"), [(1, "1 value cannot be used."), (1200, "1,200 values cannot be used.")]
)
def test_a_sentence_that_counts_is_said_with_its_number(app, count: int, sentence: str) -> None:
    counting = say_n("%(n)s value cannot be used.", "%(n)s values cannot be used.", count)

    with app.test_request_context(), force_locale("en"):
        assert in_words(counting) == sentence
        assert in_words(counting.to_json()) == sentence


@pytest.mark.parametrize("name", ["num", "n", "string", "singular", "plural", "self"])
def test_a_fact_may_have_any_name(app, name: str) -> None:
    with app.test_request_context(), force_locale("fr"):
        assert in_words(Sentence(f"%({name})s!", {name: "100 %"})) == "100 %!"
        assert in_words(Sentence(f"%({name})s!", {name: "100 %"}, f"%({name})s!", 2)) == "100 %!"


def test_a_sentence_without_facts_may_hold_a_per_cent_sign(app) -> None:
    with app.test_request_context():
        assert in_words(say("100 % of it")) == "100 % of it"


def test_the_portal_speaks_the_languages_of_the_catalogues() -> None:
    assert set(catalogues.LANGUAGES) == set(LANGUAGES)


@pytest.mark.parametrize("language", ["fr", "wo"])
def test_every_sentence_is_translated(language: str) -> None:
    missing = list(catalogues.untranslated(language))

    assert not missing, f"{len(missing)} of {language}:\n" + "\n".join(missing[:40])


def test_english_says_what_the_sources_say() -> None:
    for message in catalogues.read("en"):
        assert not message.id or message.string == message.id


def test_the_catalogues_hold_the_sentences_of_the_sources_and_no_others() -> None:
    assert list(catalogues.outdated()) == []


@pytest.mark.parametrize("language", catalogues.LANGUAGES)
def test_the_compiled_catalogue_is_that_of_the_translators(language: str) -> None:
    assert catalogues.compiled_path(language).read_bytes() == catalogues.compiled(language)


@pytest.mark.parametrize("language", catalogues.LANGUAGES)
def test_two_forms_are_enough_to_count(language: str) -> None:
    catalogue = catalogues.read(language)

    assert catalogue.num_plurals == 2
    assert catalogue.plural_expr == ("(n > 1)" if language == "fr" else "(n != 1)")


def test_a_lost_fact_and_an_empty_translation_would_be_found(tmp_path, monkeypatch) -> None:
    folder = tmp_path / "fr" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    (folder / "messages.po").write_text(
        'msgid ""\nmsgstr "Plural-Forms: nplurals=2; plural=(n > 1);\\n"\n\n'
        'msgid "Hello %(name)s"\nmsgstr "Bonjour"\n\n'
        'msgid "Empty"\nmsgstr ""\n\n'
        '#, fuzzy\nmsgid "Doubtful"\nmsgstr "Douteux"\n\n'
        'msgid "%(n)s card"\nmsgid_plural "%(n)s cards"\nmsgstr[0] "%(n)s carte"\nmsgstr[1] ""\n\n'
        'msgid "Half of %(n)s"\nmsgstr "50 % de %(n)s"\n\n'
        'msgid "Good %(name)s"\nmsgstr "Bien %(name)s"\n',
        "utf-8",
    )
    monkeypatch.setattr(catalogues, "HERE", tmp_path)

    assert [problem.split(":")[0] for problem in catalogues.untranslated("fr")] == [
        "the facts differ",
        "not translated",
        "marked as doubtful (fuzzy)",
        "not translated",
        "a % of its own must be written %%",
    ]


def test_no_catalogue_remembers_a_day_or_a_line() -> None:
    with catalogues.TEMPLATE.open("rb") as lines:
        assert all(line is None for message in read_po(lines) for _file, line in message.locations)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_template_says_nothing_that_cannot_be_translated(page: Path) -> None:
    words = Words()
    words.feed(bare(page))
    words.close()

    said = [text.strip() for text in words.found if translatable(text)]
    assert not said, f"{name_of(page)} says outside of _(): {said}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_template_hands_no_english_to_its_parts(page: Path) -> None:
    """A text within an expression that looks like words for a reader must be inside `_()` too."""
    tree = JINJA.parse(page.read_text("utf-8"))
    translated = {
        id(text)
        for call in tree.find_all(nodes.Call)
        if isinstance(call.node, nodes.Name) and call.node.name in TRANSLATES
        for text in call.find_all(nodes.Const)
    }
    english = [
        text.value
        for text in tree.find_all(nodes.Const)
        if isinstance(text.value, str) and id(text) not in translated
        if re.match(r"[A-Z][a-z]+\b", text.value) and translatable(text.value)
    ]

    assert not english, f"{name_of(page)} says outside of _(): {english}"


def test_a_text_outside_of_gettext_would_be_found() -> None:
    words = Words()
    words.feed('<p title="Hello">Fieldcard – <b>now</b></p><script>let x</script><input type="submit" value="Go">')
    words.close()

    assert [text for text in words.found if translatable(text)] == ["Hello", "now", "Go"]


def test_what_is_marked_for_translation_can_be_extracted() -> None:
    """Only plain texts and constants made with N_ are: an f-string or a variable would reach no translator."""
    trees = {path: ast.parse(path.read_text("utf-8")) for path in sorted((ROOT / "app").rglob("*.py"))}
    constants = marked_constants(trees)
    lost = []
    for path, tree in trees.items():
        for call in calls(tree, MARKS):
            for text in call.args[: 2 if call.func.id in ("say_n", "ngettext", "lazy_ngettext") else 1]:
                variables = [node.id for node in ast.walk(text) if isinstance(node, ast.Name) and node.id.isupper()]
                composed = isinstance(text, ast.JoinedStr | ast.BinOp)
                if composed or any(name not in constants for name in variables):
                    lost.append(f"{path.relative_to(ROOT)}:{call.lineno} {ast.unparse(text)}")

    assert not lost, "Extraction does not see:\n" + "\n".join(lost)


def test_no_sentence_is_empty() -> None:
    """gettext answers an empty text with the head of the catalogue."""
    assert "" not in {message.id for message in list(catalogues.extract())[1:]}
