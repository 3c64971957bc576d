"""The downloads of a job, as those who open them find them."""

import hashlib
import io
import json
import zipfile
from datetime import date

import pikepdf
import pypdfium2
import pytest

from app.rendering import design as designs
from app.rendering import package as packaging
from app.rendering.chunk import DrawnCard, draw_chunk
from app.rendering.package import PackedCard, PackedChunk, package


class Stopped(Exception):
    pass


@pytest.fixture(autouse=True)
def portal(monkeypatch):
    """The portal has its own tests; here it is a file that counts its cards."""
    monkeypatch.setattr(
        packaging.portal,
        "write_portal",
        lambda job, cards, out: out.write(f"portal of {len(list(cards))}".encode()),
    )


@pytest.fixture
def pack(design, make_job, make_card, no_stop, tmp_path):
    """Return a function that draws chunks of cards, packs them and returns {kind: (artifact, bytes)}."""

    def pack(*chunks, design=design, checkpoint=no_stop, **changes):
        job = make_job(**changes)
        stored: dict[str, bytes] = {}
        packed = []
        for index, cards in enumerate(chunks):
            zip_out, pages_out = io.BytesIO(), io.BytesIO()
            drawn = draw_chunk(job, design, cards, zip_out, pages_out, no_stop)
            stored |= {f"zip-{index}": zip_out.getvalue(), f"pages-{index}": pages_out.getvalue()}
            packed.append(
                PackedChunk(
                    f"zip-{index}",
                    len(zip_out.getvalue()),
                    f"pages-{index}",
                    tuple(_packed(card, each) for card, each in zip(cards, drawn, strict=True)),
                )
            )
        pack.stored, pack.packed = stored, packed
        folder = tmp_path / "made"
        folder.mkdir(exist_ok=True)
        made = package(job, design, packed, lambda key: io.BytesIO(stored[key]), folder, checkpoint)
        return {
            each.kind: (
                each,
                b"".join(stored[key] if isinstance(key, str) else key.read_bytes() for key in each.pieces),
            )
            for each in made
        }

    return pack


def test_it_works(pack, make_card):
    made = pack([make_card(1), make_card(2)], [make_card(3)])
    assert list(made) == ["pdf", "zip", "portal", "manifest"]
    for artifact, data in made.values():
        assert len(data) == artifact.length
        assert hashlib.sha256(data).hexdigest() == artifact.sha256
    assert made["portal"][1] == b"portal of 3"


def test_the_zip_opens_with_every_picture_in_card_order(pack, make_card):
    _, data = pack([make_card(1), make_card(2, first_name="😀")], [make_card(3)])["zip"]
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [
            f"DKR-VAC-0000000{number}-{side}.png" for number in (1, 3) for side in ("front", "back")
        ]
        entry = archive.infolist()[0]
        assert entry.date_time == (2026, 3, 9, 10, 30, 42)
        assert entry.compress_type == zipfile.ZIP_STORED


def test_the_pieces_of_the_zip_are_not_copied(pack, make_card):
    artifact, _ = pack([make_card(1)], [make_card(2)])["zip"]
    assert artifact.pieces[:2] == ("zip-0", "zip-1")
    assert artifact.pieces[2].stat().st_size < 1000


def test_the_pdf_is_front_and_back_in_card_order(pack, make_card):
    _, data = pack([make_card(1)], [make_card(2), make_card(3)])["pdf"]
    texts = [page.get_textpage().get_text_range() for page in pypdfium2.PdfDocument(data)]
    assert len(texts) == 6
    for index in range(3):
        assert f"DKR-VAC-0000000{index + 1}" in texts[2 * index]
        assert "Carte trouvée" in texts[2 * index + 1]


def test_many_chunks_are_bound_in_order(pack, make_card, monkeypatch):
    monkeypatch.setattr(packaging, "GATHERED", 2)
    _, data = pack(*[[make_card(number)] for number in range(1, 6)])["pdf"]
    texts = [page.get_textpage().get_text_range() for page in pypdfium2.PdfDocument(data)]
    assert [f"DKR-VAC-0000000{number}" in texts[2 * number - 2] for number in range(1, 6)] == [True] * 5


def test_the_pdf_says_what_and_when_it_is_and_runs_nothing(pack, make_card):
    _, data = pack([make_card(1)])["pdf"]
    with pikepdf.open(io.BytesIO(data)) as pdf:
        assert pdf.check_pdf_syntax() == []
        assert str(pdf.docinfo.Title) == "Vaccination Dakar"
        assert str(pdf.docinfo.CreationDate) == "D:20260309103042Z"
        assert str(pdf.Root.Lang) == "fr"
        assert pdf.Root.ViewerPreferences.PrintScaling == "/None"
        assert "/OpenAction" not in pdf.Root
        assert "/Names" not in pdf.Root
        assert [round(float(side), 1) for side in pdf.pages[0].MediaBox] == [0, 0, 242.6, 153.0]


@pytest.mark.parametrize("sheet", [None, "a4"])
def test_a_shared_back_is_stored_once(pack, make_card, sheet):
    chunks = [make_card(1), make_card(2)], [make_card(3)]
    _, data = pack(*chunks, sheet=sheet)["pdf"]
    with pikepdf.open(io.BytesIO(data)) as pdf:
        streams = [each for each in pdf.objects if isinstance(each, pikepdf.Stream)]
        # The text of a back is drawn with other glyphs than a front's, so its stream is known by its size.
        fonts = [each for each in streams if "/Length1" in each]
    assert len(fonts) == 3 * 2 + 2


def test_ten_cards_share_a_sheet_and_their_backs_are_mirrored(pack, make_card, design_files):
    design_files["back.html"] += b'<div class="code">{{ beneficiary_id }}</div>'
    design = designs.from_files(design_files)
    _, data = pack([make_card(1), make_card(2), make_card(3)], design=design, sheet="a4")["pdf"]
    document = pypdfium2.PdfDocument(data)
    assert len(document) == 2
    assert document[0].get_size() == pytest.approx((595.276, 841.89), abs=0.001)
    fronts = [_millimetres(document[0], f"DKR-VAC-0000000{number}") for number in (1, 2, 3)]
    backs = [_millimetres(document[1], f"IND-{number}") for number in (1, 2, 3)]
    # Columns are 85.60 + 3 mm apart, rows 53.98 + 3 mm.
    assert fronts[1][0] - fronts[0][0] == pytest.approx(88.6, abs=0.05)
    assert fronts[0][1] - fronts[2][1] == pytest.approx(56.98, abs=0.05)
    assert backs[0][0] - backs[1][0] == pytest.approx(88.6, abs=0.6)
    assert backs[2][0] == pytest.approx(backs[0][0], abs=0.6)


def test_the_manifest_lists_each_card_and_the_hashes_of_the_files(pack, make_card):
    made = pack([make_card(1), make_card(2, last_name="😀")])
    manifest = json.loads(made["manifest"][1])
    assert manifest["campaign"] == {
        "id": "camp_1",
        "name": "Vaccination Dakar",
        "campaign_type": "vaccination",
        "prefix": "DKR-VAC",
        "language": "fr",
    }
    assert manifest["job"] == {
        "id": "job_1",
        "dpi": 300,
        "sheet": None,
        "generated_at": "2026-03-09T10:30:42Z",
        "total_cards": 2,
        "cards_generated": 1,
    }
    assert [(card["code"], card["state"], len(card["files"])) for card in manifest["cards"]] == [
        ("DKR-VAC-00000001", "valid", 2),
        ("DKR-VAC-00000002", "void", 0),
    ]
    assert manifest["artifacts"] == {kind: made[kind][0].sha256 for kind in ("pdf", "zip", "portal")}
    with zipfile.ZipFile(io.BytesIO(made["zip"][1])) as archive:
        for file in manifest["cards"][0]["files"]:
            assert hashlib.sha256(archive.read(file["name"])).hexdigest() == file["sha256"]


def test_twice_the_same_bytes(pack, make_card):
    assert [data for _, data in pack([make_card(1)]).values()] == [data for _, data in pack([make_card(1)]).values()]


def test_a_piece_that_is_not_what_the_chunk_says_is_noticed(pack, make_card, make_job, design, no_stop, tmp_path):
    pack([make_card(1)])
    pack.stored["zip-0"] = pack.stored["zip-0"][:-1]
    with pytest.raises(ValueError, match="pieces of the ZIP"):
        package(make_job(), design, pack.packed, lambda key: io.BytesIO(pack.stored[key]), tmp_path, no_stop)


def test_a_checkpoint_that_raises_stops_and_leaves_no_part(pack, make_card, tmp_path):
    def stop():
        raise Stopped

    with pytest.raises(Stopped):
        pack([make_card(1)], checkpoint=stop)
    assert list((tmp_path / "made").iterdir()) == []


def test_a_job_whose_cards_all_failed_has_empty_files(pack, make_card):
    made = pack([make_card(1, last_name="😀")])
    assert zipfile.ZipFile(io.BytesIO(made["zip"][1])).namelist() == []
    assert len(pikepdf.open(io.BytesIO(made["pdf"][1])).pages) == 0


def _packed(card, outcome) -> PackedCard:
    drawn = isinstance(outcome, DrawnCard)
    return PackedCard(
        card.code,
        card.beneficiary_id,
        card.mpi_id,
        "valid" if drawn else "void",
        card.token,
        date(2026, 3, 9),
        outcome.members if drawn else (),
    )


def _millimetres(page, text: str) -> tuple[float, float]:
    """Return left and bottom of a text on the page."""
    textpage = page.get_textpage()
    index, _ = textpage.search(text).get_next()
    left, bottom, _, _ = textpage.get_charbox(index)
    return left / 72 * 25.4, bottom / 72 * 25.4
