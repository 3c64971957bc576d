"""Designs that are read, and designs that are refused with what to change."""

import io

import pytest
from PIL import Image

from app.rendering import design as designs
from app.rendering.chunk import preview
from app.rendering.errors import DesignError


@pytest.fixture
def refuse(design_files):
    """Return a function that reads the plain design with other files and returns the refusal's sentence."""

    def refuse(**changed: str) -> str:
        for stem, text in changed.items():
            name = next(name for name in design_files if name.startswith(stem))
            design_files[name] = text.encode()
        with pytest.raises(DesignError) as refusal:
            designs.from_files(design_files)
        return str(refusal.value.sentence)

    return refuse


def test_it_works(design):
    assert design.name == "plain"
    assert design.title["en"] == "Plain"
    assert design.size_mm == (85.60, 53.98)
    assert design.accent == "#006272"
    assert design.fields["back"] == ("verify_address",)
    assert design.back_is_shared
    assert len(design.sha256) == 64


def test_a_folder_is_its_files(design, design_files, tmp_path):
    for name, data in design_files.items():
        (tmp_path / name).write_bytes(data)
    assert designs.read(tmp_path) == design


def test_a_folder_that_is_not_there_is_a_sentence(tmp_path):
    with pytest.raises(DesignError, match="no card design “nothing”"):
        designs.read(tmp_path / "nothing")
    with pytest.raises(DesignError, match="no card design"):
        designs.built_in("../cards/hiv")


def test_the_hash_changes_with_any_file_and_with_nothing_else(design, design_files):
    assert designs.from_files(dict(reversed(design_files.items()))).sha256 == design.sha256
    design_files["card.css"] += b" "
    assert designs.from_files(design_files).sha256 != design.sha256


def test_a_design_read_again_from_its_own_files_is_the_same(design):
    assert designs.from_files(design.files).sha256 == design.sha256


def test_nothing_in_a_design_can_be_changed(design):
    with pytest.raises(TypeError):
        design.files["card.css"] = b""
    with pytest.raises(AttributeError):
        design.name = "other"


def test_labels_fall_back_to_french_where_a_language_has_none(design):
    assert design.label("zone", "en") == "Area"
    assert design.label("plain_hint", "wo") == "Carte trouvée ?"


def test_a_design_may_bring_its_labels_in_a_file(design_files):
    design_files["labels.toml"] = b'[labels.fr]\nheading = "Titre"\n'
    design_files["back.html"] = b"<div>{{ label.heading }}</div>"
    assert designs.from_files(design_files).label("heading", "wo") == "Titre"


def test_a_back_with_a_personal_fact_is_not_shared(design_files):
    design_files["back.html"] = b"<div>{{ code }}</div>"
    assert not designs.from_files(design_files).back_is_shared


@pytest.mark.parametrize(
    ("html", "says"),
    [
        ("{{ phone }}", "uses {{ phone }}, which cards do not have"),
        ("{{ label.unknown }}", "label.unknown"),
        ("{{ asset.none.png }}", "asset.none.png"),
        ("{{ code", "not written as {{ name }}"),
        ("{{ 7*7 }}", "not written as {{ name }}"),
        ("{{#zone}}", "“zone” does not open and close once"),
        ("{{/zone}}", "“zone” does not open and close once"),
        ("{{#zone}}{{#zone}}{{/zone}}{{/zone}}", "“zone” does not open and close once"),
        ('<img src="{{ logo }}">', "outside {{#logo}}"),
        ("<div>{{ qr }}</div>", "it is an image"),
        ('<img src="/etc/passwd">', "must be {{ qr }}"),
        ('<img src="https://example.org/a.png">', "must be {{ qr }}"),
        ('<img src="{{ code }}">', "must be {{ qr }}"),
        ('<div class="{{ code }}">', "placeholder inside a tag"),
        ('<div onclick="a()">', "attribute onclick"),
        ('<div style="background: url(a.png)">', "attribute style"),
        ("<script>", "may not use <script>"),
        ('<link href="a.css">', "may not use <link>"),
        ("<pdf:nextpage/>", "may not use <pdf:nextpage>"),
        ("<!DOCTYPE html>", "may not use <!DOCTYPE html>"),
        ("<?xml ?>", "may not use <?xml"),
    ],
)
def test_a_side_says_what_it_may_not_use(refuse, html, says):
    assert says in refuse(back=html)


@pytest.mark.parametrize(
    "css", ["@import 'a.css';", "@page { size: A4 }", "a { background: url(x) }", "</style>", r"a { b: \75rl(x) }"]
)
def test_a_stylesheet_may_not_reach_outside(refuse, css):
    assert "card.css may not use" in refuse(**{"card.css": css})


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ("name = ", "not valid TOML"),
        ("", "no text “name”"),
        ('name = "a"', "no text “fr”"),
        ('name = "a"\ntitle = 3', "“title” in design.toml must be a table"),
    ],
)
def test_the_settings_say_what_is_missing(refuse, toml, says):
    assert says in refuse(design=toml, back="<div></div>")


@pytest.mark.parametrize(
    ("line", "instead", "says"),
    [
        ("size_mm = [85.60, 53.98]", "size_mm = [1, 2]", "width and height in millimetres"),
        ("size_mm = [85.60, 53.98]", 'size_mm = "A4"', "width and height in millimetres"),
        ('accent = "#006272"', 'accent = "blue"', "must be a colour"),
        ('back = ["verify_address"]', 'back = ["phone"]', "“phone”"),
    ],
)
def test_a_wrong_setting_is_named(refuse, design_files, line, instead, says):
    assert says in refuse(design=design_files["design.toml"].decode().replace(line, instead))


@pytest.mark.parametrize("name", ["card.html", "back.html", "card.css", "design.toml"])
def test_a_missing_file_is_named(refuse, design_files, name):
    del design_files[name]
    assert name in refuse()


def test_a_front_without_a_code_is_refused(refuse):
    assert "no QR code" in refuse(**{"card.html": "<div>{{ code }}</div>"})


def test_text_that_is_not_utf8_is_refused(refuse, design_files):
    design_files["back.html"] = "<div>é</div>".encode("latin-1")
    assert "not UTF-8" in refuse()


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.svg", b"<svg/>", "PNG and JPEG images only"),
        ("../a.png", b"", "PNG and JPEG images only"),
        ("a.png", b"\x89PNG no", "cannot be read"),
    ],
)
def test_other_files_are_refused(refuse, design_files, name, data, says):
    design_files[name] = data
    assert says in refuse()


def test_an_image_has_a_sensible_size(refuse, design_files):
    design_files["a.png"] = _png((8, 8))
    assert "between 16 and 2500 pixels" in refuse()


def test_a_jpeg_that_calls_itself_png_is_refused(refuse, design_files):
    design_files["a.png"] = _png((20, 20), form="JPEG")
    assert "cannot be read" in refuse()


def test_a_heap_of_files_is_refused(refuse, design_files):
    design_files |= {f"a{number}.png": b"" for number in range(50)}
    assert "at most 40 files" in refuse()


def test_an_image_of_the_design_and_the_logo_are_drawn(design_files, make_job, make_card):
    design_files["green.png"] = _png((64, 64), "#00ff00")
    design_files["back.html"] = (
        b'<div style="left: 0mm; top: 0mm; width: 20mm; height: 20mm">'
        b'<img src="{{ asset.green.png }}" style="width: 20mm; height: 20mm"></div>'
        b'{{#logo}}<div style="left: 40mm; top: 0mm; width: 20mm; height: 20mm">'
        b'<img src="{{ logo }}" style="width: 20mm; height: 20mm"></div>{{/logo}}'
    )
    design = designs.from_files(design_files)
    logo = _png((32, 32), "#0000ff")
    assert _colours(preview(make_job(logo=logo), design, make_card())[1]) == [(0, 255, 0), (0, 0, 255)]
    assert _colours(preview(make_job(), design, make_card())[1]) == [(0, 255, 0), (255, 255, 255)]
    secret = preview(make_job(logo=logo, sensitive=True), design, make_card())
    assert _colours(secret[1]) == [(0, 255, 0), (255, 255, 255)]


def _png(size: tuple[int, int], colour: str = "#000000", form: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, form)
    return file.getvalue()


def _colours(png: bytes) -> list[tuple[int, int, int]]:
    """Return the colours in the middles of the two images, at 150 dpi."""
    picture = Image.open(io.BytesIO(png))
    return [picture.getpixel((round(x / 25.4 * 150), 50)) for x in (10, 50)]
