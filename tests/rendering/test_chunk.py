"""A chunk drawn: what is in its pieces, and what becomes of cards that cannot be drawn."""

import errno
import hashlib
import io
import itertools
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pikepdf
import pypdfium2
import pytest
import zxingcpp
from PIL import Image
from xhtml2pdf.config import resources

from app.rendering import design as designs
from app.rendering import layout
from app.rendering.chunk import DrawnCard, FailedCard, draw_chunk, preview
from app.rendering.errors import CannotDraw


class Stopped(Exception):
    pass


@pytest.fixture
def draw(design, make_job, no_stop):
    """Return a function that draws cards and returns (outcomes, ZIP run, PDF)."""

    def draw(cards, design=design, checkpoint=no_stop, **changes):
        zip_out, pages_out = io.BytesIO(), io.BytesIO()
        outcomes = draw_chunk(make_job(**changes), design, cards, zip_out, pages_out, checkpoint)
        return outcomes, zip_out.getvalue(), pages_out.getvalue()

    return draw


def test_it_works(draw, make_card):
    outcomes, run, pages = draw([make_card(1), make_card(2)])
    assert [type(each) for each in outcomes] == [DrawnCard, DrawnCard]
    assert [member.name for each in outcomes for member in each.members] == [
        "DKR-VAC-00000001-front.png",
        "DKR-VAC-00000001-back.png",
        "DKR-VAC-00000002-front.png",
        "DKR-VAC-00000002-back.png",
    ]
    assert len(pikepdf.open(io.BytesIO(pages)).pages) == 4
    assert run.startswith(b"PK\x03\x04")


def test_each_member_is_where_it_says_with_the_hash_it_says(draw, make_card):
    outcomes, run, _ = draw([make_card(1), make_card(2)])
    for member in [member for each in outcomes for member in each.members]:
        start = member.offset + 30 + len(member.name)
        data = run[start : start + member.length]
        assert data.startswith(b"\x89PNG")
        assert hashlib.sha256(data).hexdigest() == member.sha256


@pytest.mark.parametrize(("dpi", "size"), [(300, (1011, 638)), (450, (1517, 957)), (600, (2022, 1276))])
def test_pictures_have_the_promised_size_and_a_code_that_holds_the_address(draw, make_card, dpi, size):
    card = make_card(7)
    outcomes, run, _ = draw([card], dpi=dpi)
    front, back = (Image.open(io.BytesIO(_bytes(run, member))) for member in outcomes[0].members)
    assert front.size == back.size == size
    assert front.info["dpi"] == pytest.approx((dpi, dpi), abs=0.02)
    assert [code.text for code in zxingcpp.read_barcodes(front)] == [card.address]
    assert zxingcpp.read_barcodes(back) == []


def test_names_can_be_selected_and_searched_in_the_pdf(draw, make_card):
    _, _, pages = draw([make_card(zone="Guédiawaye", last_name="Sëŋ Ñuul")])
    document = pypdfium2.PdfDocument(pages)
    front, back = (page.get_textpage().get_text_range() for page in document)
    for text in ("Sëŋ Ñuul", "Aïssatou Ñaŋ", "DKR-VAC-00000001", "Zone Guédiawaye", "Vaccination Dakar"):
        assert text in front
    assert "Carte trouvée ? https://cards.example.org/verify" in " ".join(back.split())


def test_a_loose_accent_is_the_same_letter(draw, make_card):
    _, _, pages = draw([make_card(last_name="Se\u0308n")])
    assert "Sën" in pypdfium2.PdfDocument(pages)[0].get_textpage().get_text_range()


def test_markup_in_a_name_is_only_text(draw, make_card):
    outcomes, _, pages = draw([make_card(last_name='<img src="/etc/passwd"> & Co')])
    assert isinstance(outcomes[0], DrawnCard)
    assert '<img src="/etc/passwd"> & Co' in pypdfium2.PdfDocument(pages)[0].get_textpage().get_text_range()


def test_an_absent_fact_leaves_its_section_out(draw, make_card):
    _, _, pages = draw([make_card(zone="")])
    assert "Zone" not in pypdfium2.PdfDocument(pages)[0].get_textpage().get_text_range()


def test_a_bad_card_names_its_letter_and_leaves_its_neighbours(draw, make_card):
    outcomes, run, pages = draw([make_card(1), make_card(2, first_name="Awa 😀"), make_card(3)])
    assert [type(each) for each in outcomes] == [DrawnCard, FailedCard, DrawnCard]
    assert "“😀” (GRINNING FACE)" in str(outcomes[1].reason)
    assert len(pikepdf.open(io.BytesIO(pages)).pages) == 4
    assert b"00000002" not in run


def test_nko_is_refused_because_its_letters_would_not_join(draw, make_card):
    outcomes, _, _ = draw([make_card(first_name="ߊߡߊ")])
    assert "NKO LETTER A" in str(outcomes[0].reason)


@pytest.mark.parametrize("name", ["\x00", "A\x1bB", "\ud83d", "\u202e"])
def test_hostile_characters_are_a_sentence(draw, make_card, name):
    outcomes, _, _ = draw([make_card(last_name=name)])
    assert isinstance(outcomes[0], FailedCard)
    assert str(outcomes[0].reason).isprintable()


def test_a_library_that_breaks_costs_one_card(draw, make_card, monkeypatch):
    lay_out = layout.lay_out

    def break_on_awa(body, *rest):
        if "Awa" in body:
            raise RuntimeError("secret")
        return lay_out(body, *rest)

    monkeypatch.setattr(layout, "lay_out", break_on_awa)
    outcomes, _, _ = draw([make_card(1, first_name="Awa"), make_card(2)])
    assert [type(each) for each in outcomes] == [FailedCard, DrawnCard]
    assert "secret" not in str(outcomes[0].reason)


@pytest.mark.parametrize("lack", [OSError(errno.ENOSPC, "No space left on device"), MemoryError()])
def test_what_the_machine_lacks_costs_no_card(draw, make_card, monkeypatch, lack):
    def lay_out(*_):
        raise lack

    monkeypatch.setattr(layout, "lay_out", lay_out)
    with pytest.raises(type(lack)):
        draw([make_card(1)])


def test_a_machine_that_stood_still_costs_no_card(draw, make_card, monkeypatch):
    minutes = itertools.count(0.0, 60.0)
    monkeypatch.setattr(resources, "time", SimpleNamespace(monotonic=lambda: next(minutes)))
    outcomes, _, _ = draw([make_card(1)])
    assert isinstance(outcomes[0], DrawnCard)


def test_a_code_that_cannot_be_read_is_no_card(draw, design_files, make_card):
    design_files["card.css"] += b".qr img { width: 4mm; height: 4mm; }"
    outcomes, _, _ = draw([make_card()], design=designs.from_files(design_files))
    assert "cannot be read" in str(outcomes[0].reason)


def test_a_code_with_something_over_it_is_no_card(draw, design_files, make_card):
    design_files["card.html"] = design_files["card.html"].replace(b"<img", b'<img style="width: 21mm; height: 1mm"', 1)
    outcomes, _, _ = draw([make_card()], design=designs.from_files(design_files))
    assert isinstance(outcomes[0], FailedCard)


def test_a_card_too_large_for_its_sheet_is_a_sentence(draw, design_files, make_card):
    design_files["design.toml"] = design_files["design.toml"].replace(b"[85.60, 53.98]", b"[105, 74]")
    outcomes, _, _ = draw([make_card()], design=designs.from_files(design_files), sheet="a4")
    assert "do not fit on an A4 sheet" in str(outcomes[0].reason)


def test_a_checkpoint_that_raises_stops_before_the_next_card(draw, make_card):
    seen = []

    def stop_at_second():
        seen.append(1)
        if len(seen) == 2:
            raise Stopped

    with pytest.raises(Stopped):
        draw([make_card(1), make_card(2)], checkpoint=stop_at_second)
    assert len(seen) == 2


def test_twice_the_same_bytes(draw, make_card):
    cards = [make_card(1), make_card(2, last_name="محمد")]
    assert draw(cards) == draw(cards)


def test_another_process_makes_the_same_bytes():
    """Sets and dictionaries are in another order there."""
    script = (
        "import hashlib, io; from app.rendering import chunk, design; from app.rendering.facts import *;"
        "from datetime import *;"
        "job = JobFacts('j', 'c', 'Essai', 'lab', 'AAA', 'P', 'fr', 300, None, datetime(2026, 1, 1, tzinfo=UTC), 'x');"
        "card = CardFacts('AAA-1', 'Awa', 'محمد Ñaŋ', 'B', 'HTTPS://A.ORG/V/ABC', date(2026, 1, 1));"
        "files = {"
        "'card.html': b'<div>{{ last_name }} {{ first_name }}</div><div style=\"position: absolute; left: 50mm; "
        'top: 9mm; width: 21mm; height: 21mm"><img src="{{ qr }}" style="width: 21mm; height: 21mm"></div>\','
        "'back.html': b'<p>b</p>', 'card.css': b'', 'design.toml': b'name = \"a\"\\n"
        'title = {fr="a",en="a",wo="a"}\\ndescription = {fr="a",en="a",wo="a"}\'};'
        "z, p = io.BytesIO(), io.BytesIO();"
        "out = chunk.draw_chunk(job, design.from_files(files), [card], z, p, lambda: None);"
        "assert isinstance(out[0], chunk.DrawnCard), out;"
        "print(hashlib.sha256(z.getvalue() + p.getvalue()).hexdigest())"
    )
    root = Path(__file__).parents[2]
    hashes = {
        subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | {"PYTHONHASHSEED": seed},
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(hashes) == 1


def test_a_back_without_personal_facts_is_drawn_once(draw, make_card, monkeypatch):
    drawn = []
    lay_out = layout.lay_out
    monkeypatch.setattr(layout, "lay_out", lambda *given: drawn.append(1) or lay_out(*given))
    draw([make_card(number) for number in range(3)], job_id="job_counted")
    assert len(drawn) == 4


def test_a_back_with_personal_facts_is_drawn_for_each_card(draw, design_files, make_card):
    design_files["back.html"] += b'<div class="code">{{ beneficiary_id }}</div>'
    _, _, pages = draw([make_card(1), make_card(2)], design=designs.from_files(design_files))
    texts = [page.get_textpage().get_text_range() for page in pypdfium2.PdfDocument(pages)]
    assert "IND-1" in texts[1]
    assert "IND-2" in texts[3]


def test_no_cards_make_an_empty_chunk(draw):
    outcomes, run, pages = draw([])
    assert (outcomes, run) == ([], b"")
    assert len(pikepdf.open(io.BytesIO(pages)).pages) == 0


def test_a_sensitive_campaign_leaves_no_name_in_any_file(draw, make_card):
    _, _, pages = draw([make_card()], sensitive=True, campaign_name="VIH Dakar", programme="Programme VIH")
    with pikepdf.open(io.BytesIO(pages)) as pdf:
        assert "VIH" not in str(pdf.docinfo.Title)
    for page in pypdfium2.PdfDocument(pages):
        assert "VIH" not in page.get_textpage().get_text_range()


def test_outcomes_survive_storing(draw, make_card):
    outcomes, _, _ = draw([make_card(1), make_card(2, first_name="😀")])
    assert DrawnCard.from_json(outcomes[0].to_json()) == outcomes[0]
    assert FailedCard.from_json(outcomes[1].to_json()) == outcomes[1]


def test_a_preview_is_two_pictures_from_any_thread(design, make_job, make_card):
    with ThreadPoolExecutor(4) as threads:
        pairs = list(threads.map(lambda n: preview(make_job(), design, make_card(n)), range(6)))
    assert {Image.open(io.BytesIO(png)).size for pair in pairs for png in pair} == {(506, 319)}
    assert len({front for front, _ in pairs}) == 6


def test_a_preview_says_what_does_not_fit(design, make_job, make_card):
    with pytest.raises(CannotDraw, match="too long for its place"):
        preview(make_job(), design, make_card(last_name="W" * 60))


def _bytes(run: bytes, member) -> bytes:
    start = member.offset + 30 + len(member.name)
    return run[start : start + member.length]
