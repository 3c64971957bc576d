"""The eleven card designs that come with Fieldcard: complete, readable, small, and the neutral one tells nothing."""

import hashlib
import io
import re
import tomllib
from datetime import date
from itertools import combinations

import pypdfium2 as pdfium
import pytest
import zxingcpp
from fontTools.ttLib import TTFont
from PIL import Image

from app.rendering import design as designs
from app.rendering import facts, fonts
from app.rendering.chunk import DrawnCard, draw_chunk, preview

LANGUAGES = ("fr", "en", "wo")
MM = 72 / 25.4  # points
NAMES = {
    "short": ("Awa", "Sy"),
    "accented": ("Éloïse-Agnès", "N’Diaye Épée d’Hôtel"),
    "wolof": ("Ñaŋ Soxna", "Wóor Ñuul Ndëy"),
    "pulaar": ("Ɓooyi Ɗemba", "Ƴero Baɗɗo Ɓiyiiko"),
    "very long": ("Mame Diarra Bousso Khadidiatou Aïssatou", "Ndiaye-Mbengue Diallo épouse Cissé Touré"),
}
HINTS = re.compile(
    r"\b(hiv|vih|sida|aids|arv|art|tar|antir\w*|virus|viral\w*|séropos\w*|seropos\w*|cd4|pvvih|plhiv)\b", re.IGNORECASE
)

every_design = pytest.mark.parametrize("name", designs.BUILT_IN)


@pytest.fixture
def full_card(make_card):
    """Return a function that makes a card on which every field is filled, with names as a test wants them."""

    def make(number: int = 1, **changes):
        return make_card(
            number,
            **{
                "expires_on": date(2028, 3, 9),
                "date_of_birth": date(1991, 3, 14),
                "enrollment_date": date(2026, 1, 2),
                "gender": "Féminin",
                "health_center": "Centre de santé Philippe Maguilen Senghor de Yoff",
                "org_unit": "District sanitaire de Dakar Nord",
                "zone": "Grand Yoff Arafat extension",
                "mpi_id": "SN-DKR-26-9XQ7LM2A",
                "beneficiary_id": "SN-DKR-2026-IND-000482913-A7",
                "copy": "2",
            }
            | changes,
        )

    return make


@pytest.fixture
def draw(no_stop):
    """Return a function that draws cards with a design and returns the outcomes, the ZIP's run and the PDF."""

    def draw(job, design, cards):
        pieces, pages = io.BytesIO(), io.BytesIO()
        outcomes = draw_chunk(job, design, cards, pieces, pages, no_stop)
        return outcomes, pieces.getvalue(), pdfium.PdfDocument(pages.getvalue())

    return draw


@every_design
def test_it_works(name, make_job, full_card):
    card = full_card(first_name="Aminata", last_name="Ndiaye")

    sides = [Image.open(io.BytesIO(png)) for png in preview(make_job(), designs.built_in(name), card, 300)]

    assert [side.size for side in sides] == [(1011, 638), (1011, 638)]
    (code,) = zxingcpp.read_barcodes(sides[0], formats=zxingcpp.BarcodeFormat.QRCode)
    assert code.text == card.address
    assert not zxingcpp.read_barcodes(sides[1], formats=zxingcpp.BarcodeFormat.QRCode)


def test_there_are_eleven_and_no_folder_beside_them():
    assert sorted(path.name for path in designs.FOLDER.iterdir() if path.is_dir()) == sorted(designs.BUILT_IN)
    assert len(designs.BUILT_IN) == 11


@every_design
def test_it_says_everything_in_three_languages(name):
    design = designs.built_in(name)
    labels = {each.removeprefix("label.") for each in design.front.names | design.back.names if "label." in each}

    for language in LANGUAGES:
        assert labels <= design.labels[language].keys()
        assert design.title[language] and design.description[language]
    assert len({design.labels[language]["purpose"] for language in LANGUAGES}) == 3


@every_design
def test_it_lists_the_fields_that_it_shows(name):
    design = designs.built_in(name)

    for side, template in (("front", design.front), ("back", design.back)):
        assert sorted(design.fields[side]) == sorted(template.names & (facts.CARD_NAMES | facts.JOB_NAMES))
    assert {"last_name", "first_name", "beneficiary_id", "code", "issued_on", "qr"} <= set(design.fields["front"])


@every_design
def test_it_carries_no_picture_that_it_does_not_show(name):
    design = designs.built_in(name)
    shown = {each.removeprefix("asset.") for each in design.front.names | design.back.names if "asset." in each}

    assert shown == {file for file in design.files if file.endswith(".png")}


@every_design
def test_the_back_is_the_same_on_all_cards(name):
    design = designs.built_in(name)

    assert design.back_is_shared
    assert "verify_address" in design.back.names


@every_design
def test_any_name_can_be_drawn(name, make_job, full_card, draw):
    cards = [
        full_card(number, first_name=first, last_name=last)
        for number, (first, last) in enumerate(NAMES.values(), start=1)
    ]

    outcomes, _, pages = draw(make_job(test=True, language="wo"), designs.built_in(name), cards)

    assert [outcome for outcome in outcomes if not isinstance(outcome, DrawnCard)] == []
    for index, (first, last) in enumerate(NAMES.values()):
        text = _words(pages[2 * index])
        assert _squeezed(first) in text and _squeezed(last) in text


@every_design
@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_overlaps_or_comes_near_the_edge(name, language, make_job, full_card, draw):
    long = dict(zip(("first_name", "last_name"), NAMES["very long"], strict=True))
    job = make_job(test=True, language=language, campaign_name="Campagne intégrée de supplémentation Dakar–Thiès 2026")

    outcomes, _, pages = draw(job, designs.built_in(name), [full_card(**long)])

    assert isinstance(outcomes[0], DrawnCard)
    for page in pages:
        letters = _letters(page)
        width, height = page.get_size()
        assert min(left for left, _, _, _ in letters) >= 3 * MM
        assert max(right for _, _, right, _ in letters) <= width - 3 * MM
        assert min(bottom for _, bottom, _, _ in letters) >= 3 * MM
        assert max(top for _, _, _, top in letters) <= height - 3 * MM
        assert not any(_overlap(one, other) for one, other in combinations(letters, 2))


@every_design
def test_the_longest_campaign_name_can_be_drawn(name, make_job, make_card, draw):
    sentence = "Campagne intégrée de vaccination et de supplémentation en vitamine A, deuxième passage, "
    campaign_name = (3 * sentence)[:200]
    programme = "Ministère de la Santé et de l’Action sociale, Direction générale de la santé publique, Prévention"
    job = make_job(campaign_name=campaign_name, programme=programme)

    outcomes, _, _ = draw(job, designs.built_in(name), [make_card()])

    assert isinstance(outcomes[0], DrawnCard)


@every_design
def test_what_is_absent_takes_its_label_along(name, make_job, make_card, draw):
    design = designs.built_in(name)

    outcomes, _, pages = draw(make_job(programme="", campaign_name=""), design, [make_card()])

    assert isinstance(outcomes[0], DrawnCard)
    text = _words(pages[0])
    for field in ("date_of_birth", "health_center", "mpi_id", "expires_on", "copy"):
        assert _squeezed(design.label(field, "fr")) not in text
    assert _squeezed(design.label("beneficiary_id", "fr")) in text


@every_design
def test_a_logo_of_any_shape_keeps_its_place(name, make_job, full_card):
    for size in ((1200, 200), (200, 900), (20, 20)):
        job = make_job(logo=_png(Image.new("RGB", size, "#00853f")))

        front, _ = preview(job, designs.built_in(name), full_card(), 150)

        found = _box_of(Image.open(io.BytesIO(front)), (0x00, 0x85, 0x3F))
        if "logo" not in designs.built_in(name).front.names:
            assert found is None
            continue
        wide, high = found[2] - found[0], found[3] - found[1]
        assert wide <= 17 / 25.4 * 150 and high <= 10.2 / 25.4 * 150
        assert wide / high == pytest.approx(size[0] / size[1], rel=0.2)


@every_design
def test_the_code_has_its_quiet_zone_on_white(name, make_job, full_card):
    card = full_card(address="HTTPS://CARDS.EXAMPLE.ORG/V/" + "A2B3C4D" * 18 + "Z")

    front, _ = preview(make_job(test=True), designs.built_in(name), card, 300)

    picture = Image.open(io.BytesIO(front)).convert("RGB")
    (code,) = zxingcpp.read_barcodes(picture, formats=zxingcpp.BarcodeFormat.QRCode)
    left, top = code.position.top_left.x, code.position.top_left.y
    right, bottom = code.position.bottom_right.x, code.position.bottom_right.y
    quiet = 14  # pixels: nearly four modules, as the corners that are found may be a pixel off
    assert right - left >= 16.4 / 25.4 * 300
    for box in (
        (left - quiet, top - quiet, right + quiet, top - 3),
        (left - quiet, bottom + 3, right + quiet, bottom + quiet),
        (left - quiet, top, left - 3, bottom),
        (right + 3, top, right + quiet, bottom),
    ):
        assert picture.crop(box).getcolors() == [((box[2] - box[0]) * (box[3] - box[1]), (255, 255, 255))]


@every_design
def test_a_picture_stays_small_and_flat(name, make_job, full_card):
    for png in preview(make_job(), designs.built_in(name), full_card(first_name="Aminata", last_name="Ndiaye"), 300):
        picture = Image.open(io.BytesIO(png)).convert("RGB")
        counts = sorted((count for count, _ in picture.getcolors(1 << 20)), reverse=True)

        assert sum(counts[:8]) >= 0.9 * 1011 * 638  # the rest is the soft edge of letters
        assert len(png) <= 125_000  # as it is, without loss
        assert len(_png(picture.quantize(256, dither=Image.Dither.NONE))) <= 60_000  # in 256 colours
    for file, data in designs.built_in(name).files.items():
        assert not file.endswith(".png") or len(data) <= 10_000


@every_design
def test_text_can_be_read_against_its_ground(name):
    css = designs.built_in(name).css
    grounds = {"#ffffff"} | {
        colour
        for rule in re.findall(r"\{[^}]*\}", css)
        for colour in re.findall(r"background-color: (#\w{6})", rule)
        if float(re.search(r"height: ([\d.]+)mm", rule)[1]) >= 3  # lower ones are rules, with nothing on them
    }
    inks = set(re.findall(r"[^-]color: (#\w{6})", css))
    dark = {ground for ground in grounds if _light(ground) < 0.5}

    assert all(_contrast("#ffffff", ground) >= 4.5 for ground in dark)
    assert all(_contrast(ink, ground) >= 4.5 for ink in inks - {"#ffffff"} for ground in grounds - dark)


@every_design
def test_letters_are_large_enough(name):
    sizes = [float(size) for size in re.findall(r"font-size: ([\d.]+)pt", designs.built_in(name).css)]

    assert min(sizes) >= 5.5
    assert float(re.search(r"\.fact \.value \{[^}]*font-size: ([\d.]+)pt", designs.built_in(name).css)[1]) >= 7


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_neutral_card_tells_nothing(language, make_job, full_card, draw):
    design = designs.built_in("hiv")
    job = make_job(language=language, programme="Programme de lutte", campaign_name="File active", campaign_type="hiv")

    _, _, pages = draw(job, design, [full_card(first_name="Aminata", last_name="Ndiaye")])

    text = " ".join(page.get_textpage().get_text_range() for page in pages)
    assert not HINTS.search(text)
    assert "Programme" not in text and "File active" not in text
    assert not {"programme", "campaign_name", "logo"} & (design.front.names | design.back.names)
    said = [design.title[language], design.description[language], *design.labels[language].values()]
    assert not any(HINTS.search(each) for each in said)


def test_the_faces_are_the_ones_recorded():
    records = tomllib.loads((fonts.FOLDER / "FONTS.toml").read_text("utf-8"))["file"]

    assert {record["name"] for record in records} == {path.name for path in fonts.FOLDER.glob("*.ttf")}
    for record in records:
        assert hashlib.sha256((fonts.FOLDER / record["name"]).read_bytes()).hexdigest() == record["sha256"]
    assert "SIL OPEN FONT LICENSE" in (fonts.FOLDER / "OFL.txt").read_text("utf-8")


@pytest.mark.parametrize("weight", ["Regular", "Bold"])
def test_the_faces_have_the_letters_of_the_country(weight):
    letters = TTFont(fonts.FOLDER / f"NotoSans-{weight}.ttf", lazy=True).getBestCmap()

    assert [letter for letter in "ŋñëóàéŊÑËÓÀÉɓɗƴɲƁƊƳƝçœŒ’–…" if ord(letter) not in letters] == []


def _words(page: pdfium.PdfPage) -> str:
    return _squeezed(page.get_textpage().get_text_range())


def _squeezed(text: str) -> str:
    """Return the text without white space and hyphens: lines may be broken anywhere there."""
    return re.sub(r"[\s\u00ad\ufffe-]", "", text)


def _letters(page: pdfium.PdfPage) -> list[tuple[float, float, float, float]]:
    """Return left, bottom, right and top of each letter's ink, in points."""
    text = page.get_textpage()
    boxes = (text.get_charbox(index) for index in range(text.count_chars()))
    return [box for box in boxes if box[2] - box[0] > 0.1 and box[3] - box[1] > 0.1]


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Tell whether two letters cover each other by more than a quarter of a millimetre both ways."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    return wide > 0.25 * MM and high > 0.25 * MM


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def _box_of(picture: Image.Image, colour: tuple[int, int, int]) -> tuple[int, int, int, int] | None:
    """Return the box of all pixels that are nearly of a colour."""
    bands = [
        band.point(lambda value, wanted=wanted: 255 if abs(value - wanted) < 24 else 0)
        for band, wanted in zip(picture.convert("RGB").split(), colour, strict=True)
    ]
    merged = Image.merge("RGB", bands).convert("L").point(lambda value: 255 if value == 255 else 0)
    return merged.getbbox()


def _light(colour: str) -> float:
    """Return the relative luminance as WCAG 2.2 defines it."""
    parts = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    lighter, darker = sorted((_light(one), _light(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)
