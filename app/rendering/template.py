"""The HTML of one side: an allow-list of placeholders, sections and tags; nothing is computed or fetched."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from html.parser import HTMLParser

from app.rendering import facts
from app.rendering.errors import DesignError
from app.sentences import say

TOKEN = re.compile(r"\{\{\s*([#/]?)\s*([A-Za-z_][A-Za-z0-9_.-]*)\s*\}\}")
TAGS = frozenset(
    {"b", "br", "div", "em", "h1", "h2", "h3", "hr", "i", "img", "li", "ol", "p", "span", "strong"}
    | {"table", "tbody", "td", "th", "thead", "tr", "u", "ul"}
)
ATTRIBUTES = frozenset({"class", "id", "src", "alt", "style", "width", "height", "colspan", "rowspan", "lang"})

Part = str | tuple[str, str]  # text, or the mark "", "#" or "/" and a name


@dataclass(frozen=True)
class Template:
    """One side of a design: `names` are the placeholders it uses."""

    parts: tuple[Part, ...]
    names: frozenset[str]

    def fill(self, texts: Mapping[str, str], images: Mapping[str, str]) -> str:
        """Return the HTML with each placeholder's text, escaped, or image source; empty sections left out."""
        filled: list[str] = []
        skipped = None
        for part in self.parts:
            if isinstance(part, str):
                if skipped is None:
                    filled.append(part)
                continue
            mark, name = part
            if skipped is not None:
                skipped = None if part == ("/", skipped) else skipped
            elif mark == "#" and not (texts.get(name) or images.get(name)):
                skipped = name
            elif not mark:
                filled.append(images[name] if name in images else escape(texts[name]))
        return "".join(filled)


def parse(file: str, html: str, labels: frozenset[str], assets: frozenset[str]) -> Template:
    """Return the template in `html`; raises DesignError for anything outside the allow-lists."""
    pieces = TOKEN.split(html)
    parts: list[Part] = []
    for index in range(0, len(pieces), 3):
        if "{{" in pieces[index] or "}}" in pieces[index]:
            raise DesignError(say("%(file)s has a placeholder that is not written as {{ name }}.", file=file))
        parts.append(pieces[index])
        if index + 2 < len(pieces):
            parts.append((pieces[index + 1], pieces[index + 2]))

    _check_names(file, parts, labels, assets)
    _check_sections(file, parts)
    _Checker(file).check(html)
    names = frozenset(part[1] for part in parts if isinstance(part, tuple))
    return Template(tuple(part for part in parts if part), names)


def _check_names(file: str, parts: list[Part], labels: frozenset[str], assets: frozenset[str]) -> None:
    known = facts.CARD_NAMES | facts.JOB_NAMES
    for part in parts:
        if isinstance(part, str):
            continue
        mark, name = part
        kind, _, rest = name.partition(".")
        named = (kind == "label" and rest in labels) or (kind == "asset" and rest in assets)
        if name not in known and (mark or not named):
            raise DesignError(say("%(file)s uses {{ %(name)s }}, which cards do not have.", file=file, name=name))


def _check_sections(file: str, parts: list[Part]) -> None:
    opened: list[str] = []
    for part in parts:
        if isinstance(part, str):
            continue
        mark, name = part
        if mark == "#" and name not in opened:
            opened.append(name)
        elif mark == "/" and opened and opened[-1] == name:
            opened.pop()
        elif mark:
            raise DesignError(
                say("In %(file)s the section “%(name)s” does not open and close once.", file=file, name=name)
            )
        elif name == "logo" and "logo" not in opened:
            raise DesignError(
                say("%(file)s shows the logo outside {{#logo}} … {{/logo}}; not every card has one.", file=file)
            )
    if opened:
        raise DesignError(
            say("In %(file)s the section “%(name)s” does not open and close once.", file=file, name=opened[-1])
        )


class _Checker(HTMLParser):
    """Refuses tags, attributes and image sources that a card has no use for."""

    def __init__(self, file: str) -> None:
        super().__init__()
        self.file = file

    def check(self, html: str) -> None:
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag not in TAGS:
            raise DesignError(say("%(file)s may not use <%(tag)s>.", file=self.file, tag=tag))
        for name, value in attributes:
            if name not in ATTRIBUTES or (name == "style" and _reaches_out(value or "")):
                raise DesignError(say("%(file)s may not use the attribute %(name)s.", file=self.file, name=name))
            if "{{" in (value or "") and name != "src":
                raise DesignError(
                    say("%(file)s has a placeholder inside a tag; only src may have one.", file=self.file)
                )
            if name == "src" and not _is_image(value or ""):
                raise DesignError(
                    say("An image in %(file)s must be {{ qr }}, {{ logo }} or {{ asset.FILE }}.", file=self.file)
                )

    def handle_data(self, data: str) -> None:
        for mark, name in TOKEN.findall(data):
            if not mark and (name in facts.IMAGE_NAMES or name.startswith("asset.")):
                raise DesignError(
                    say("%(file)s uses {{ %(name)s }} as text; it is an image.", file=self.file, name=name)
                )

    def handle_decl(self, decl: str) -> None:
        raise DesignError(say("%(file)s may not use <!%(what)s>.", file=self.file, what=decl[:20]))

    def handle_pi(self, data: str) -> None:
        raise DesignError(say("%(file)s may not use <?%(what)s>.", file=self.file, what=data[:20]))


def _reaches_out(style: str) -> bool:
    return bool(re.search(r"url\s*\(|@|\\|-pdf-", style, re.IGNORECASE))


def _is_image(source: str) -> bool:
    found = TOKEN.fullmatch(source.strip())
    return bool(found and not found[1] and (found[2] in facts.IMAGE_NAMES or found[2].startswith("asset.")))
