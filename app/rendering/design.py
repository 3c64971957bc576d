"""A card design: a folder of HTML, CSS, TOML and images, read once, checked, and never changed after that."""

import hashlib
import io
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from PIL import Image

from app.rendering import facts, template
from app.rendering.errors import DesignError
from app.sentences import say

FOLDER = Path(__file__).resolve().parents[2] / "templates" / "cards"
BUILT_IN = (
    "antenatal",
    "assurance",
    "cps",
    "farmercard",
    "hiv",
    "identity",
    "lab",
    "mild",
    "nutrition",
    "refugee",
    "vaccination",
)
LANGUAGES = ("fr", "en", "wo")
SIDES = ("card.html", "back.html")
TEXTS = (*SIDES, "card.css", "design.toml", "labels.toml")
IMAGES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}

MOST_FILES = 40
MOST_BYTES = 4 * 1024 * 1024
IMAGE_SIDE = range(16, 2501)  # pixels
CARD_SIDE = (30.0, 200.0)  # millimetres

FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")
COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
# What would reach outside the design, or change the page that the engine sets up.
FORBIDDEN_CSS = re.compile(r"url\s*\(|@|expression|</|\\|-pdf-", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Design:
    """A checked design. Two designs are equal when their files are: `sha256` is taken over all of them."""

    name: str
    title: Mapping[str, str]
    description: Mapping[str, str]
    size_mm: tuple[float, float]
    accent: str
    fields: Mapping[str, tuple[str, ...]]
    sample: Mapping[str, Any]
    labels: Mapping[str, Mapping[str, str]] = field(repr=False)
    front: template.Template = field(repr=False)
    back: template.Template = field(repr=False)
    css: str = field(repr=False)
    files: Mapping[str, bytes] = field(repr=False)
    sha256: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Design) and other.sha256 == self.sha256

    def __hash__(self) -> int:
        return hash(self.sha256)

    @property
    def back_is_shared(self) -> bool:
        """Tell whether the back is the same on all cards of a job."""
        return not self.back.names & facts.CARD_NAMES

    def label(self, name: str, language: str) -> str:
        """Return a label in the card's language; French, then English, where it has none."""
        for each in (language, *LANGUAGES):
            if (text := self.labels.get(each, {}).get(name)) is not None:
                return text
        raise KeyError(name)


def read(folder: Path) -> Design:
    """Return the design in `folder`; raises DesignError."""
    if not folder.is_dir():
        raise DesignError(say("There is no card design “%(name)s”.", name=folder.name))
    return from_files({path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()})


@cache
def built_in(name: str) -> Design:
    """Return one of the designs that come with Fieldcard; raises DesignError for another name."""
    if name not in BUILT_IN:
        raise DesignError(say("There is no card design “%(name)s”.", name=name))
    return read(FOLDER / name)


def from_files(files: Mapping[str, bytes]) -> Design:
    """Return the design that these files make; raises DesignError with what to change.

    The labels that all designs share become one of its files, so that a design is whole in itself.
    """
    files = dict(files)
    _check_files(files)
    if "labels.toml" not in files and (shared := FOLDER / "labels.toml").is_file():
        files["labels.toml"] = shared.read_bytes()

    settings = _toml(files, "design.toml")
    labels = _merge_labels(_toml(files, "labels.toml") if "labels.toml" in files else {}, settings.get("labels", {}))
    assets = frozenset(name for name in files if Path(name).suffix.lower() in IMAGES)
    known = frozenset().union(*(texts for texts in labels.values()))
    front, back = (template.parse(side, _text(files, side), known, assets) for side in SIDES)
    if "qr" not in front.names:
        raise DesignError(say("The front has no QR code. Add an image of {{ qr }} to card.html."))

    return Design(
        name=_string(settings, "name", "design.toml"),
        title=_by_language(settings, "title"),
        description=_by_language(settings, "description"),
        size_mm=_size(settings),
        accent=_accent(settings),
        fields=_fields(settings),
        sample=MappingProxyType(_table(settings, "sample")),
        labels=labels,
        front=front,
        back=back,
        css=_css(files),
        files=MappingProxyType(dict(sorted(files.items()))),
        sha256=_sha256(files),
    )


def _check_files(files: Mapping[str, bytes]) -> None:
    for name in ("design.toml", *SIDES, "card.css"):
        if name not in files:
            raise DesignError(say("The design has no file %(file)s.", file=name))
    if len(files) > MOST_FILES or sum(map(len, files.values())) > MOST_BYTES:
        raise DesignError(
            say("A design has at most %(files)s files and 4 MB. Use fewer or smaller images.", files=MOST_FILES)
        )
    for name, data in files.items():
        if name in TEXTS:
            continue
        form = IMAGES.get(Path(name).suffix.lower())
        if form is None or not FILE_NAME.fullmatch(name):
            raise DesignError(say("The design holds “%(file)s”. It may hold PNG and JPEG images only.", file=name[:80]))
        _check_image(name, data, form)


def _check_image(name: str, data: bytes, form: str) -> None:
    try:
        with Image.open(io.BytesIO(data), formats=[form]) as image:
            size = image.size
            image.verify()
    except Exception:  # Pillow raises many kinds for a damaged file, and they all mean the same here
        raise DesignError(say("The image %(file)s cannot be read. Save it again.", file=name)) from None
    if not all(side in IMAGE_SIDE for side in size):
        raise DesignError(
            say(
                "The image %(file)s must be between %(least)s and %(most)s pixels wide and high.",
                file=name,
                least=IMAGE_SIDE[0],
                most=IMAGE_SIDE[-1],
            )
        )


def _text(files: Mapping[str, bytes], name: str) -> str:
    try:
        return files[name].decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DesignError(say("The file %(file)s is not UTF-8 text. Save it as UTF-8.", file=name)) from None


def _toml(files: Mapping[str, bytes], name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(_text(files, name))
    except tomllib.TOMLDecodeError as error:
        raise DesignError(say("The file %(file)s is not valid TOML: %(why)s.", file=name, why=str(error))) from None


def _css(files: Mapping[str, bytes]) -> str:
    css = re.sub(r"/\*.*?\*/", "", _text(files, "card.css"), flags=re.DOTALL)
    if found := FORBIDDEN_CSS.search(css):
        raise DesignError(
            say(
                "card.css may not use “%(found)s”. Show images with <img>, and leave pages and fonts to Fieldcard.",
                found=found.group(),
            )
        )
    return css


def _merge_labels(*tables: Any) -> Mapping[str, Mapping[str, str]]:
    """Return language -> name -> text; later tables win."""
    merged: dict[str, dict[str, str]] = {}
    for table in tables:
        # labels.toml holds its tables as [labels.fr], design.toml's are already taken out.
        table = table.get("labels", table) if isinstance(table, dict) else {}
        for language, texts in table.items():
            if isinstance(texts, dict):
                merged.setdefault(language, {}).update({name: str(text) for name, text in texts.items()})
    return MappingProxyType({language: MappingProxyType(texts) for language, texts in merged.items()})


def _string(settings: Mapping[str, Any], name: str, file: str) -> str:
    value = settings.get(name)
    if not isinstance(value, str) or not value.strip():
        raise DesignError(say("%(file)s has no text “%(name)s”.", file=file, name=name))
    return value.strip()


def _table(settings: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = settings.get(name, {})
    if not isinstance(value, dict):
        raise DesignError(say("“%(name)s” in design.toml must be a table.", name=name))
    return value


def _by_language(settings: Mapping[str, Any], name: str) -> Mapping[str, str]:
    table = _table(settings, name)
    return MappingProxyType({language: _string(table, language, f"[{name}]") for language in LANGUAGES})


def _size(settings: Mapping[str, Any]) -> tuple[float, float]:
    size = settings.get("size_mm", [85.60, 53.98])
    least, most = CARD_SIDE
    if (
        not isinstance(size, list)
        or len(size) != 2
        or not all(isinstance(side, int | float) and least <= side <= most for side in size)
    ):
        raise DesignError(
            say("“size_mm” in design.toml must be width and height in millimetres, such as [85.60, 53.98].")
        )
    return float(size[0]), float(size[1])


def _accent(settings: Mapping[str, Any]) -> str:
    accent = settings.get("accent", "#000000")
    if not isinstance(accent, str) or not COLOUR.fullmatch(accent):
        raise DesignError(say("“accent” in design.toml must be a colour such as #006272."))
    return accent.lower()


def _fields(settings: Mapping[str, Any]) -> Mapping[str, tuple[str, ...]]:
    table = _table(settings, "fields")
    fields = {side: tuple(map(str, table.get(side, ()))) for side in ("front", "back")}
    for name in (*fields["front"], *fields["back"]):
        if name not in facts.CARD_NAMES | facts.JOB_NAMES:
            raise DesignError(say("design.toml lists the field “%(name)s”, which cards do not have.", name=name))
    return MappingProxyType(fields)


def _sha256(files: Mapping[str, bytes]) -> str:
    """Return the hash of all files: name, length and bytes of each, by name."""
    digest = hashlib.sha256()
    for name, data in sorted(files.items()):
        digest.update(f"{name}\0{len(data)}\0".encode())
        digest.update(data)
    return digest.hexdigest()
