"""An organisation's settings and its logo."""

import io
import struct
import zlib

import pytest
from PIL import Image
from sqlalchemy import select

from app.database import db
from app.domain import organisations
from app.domain.errors import Invalid, NotAllowed
from app.domain.logos import LogoTooLarge, as_png
from app.domain.organisations import OrganisationSettings
from app.models import AuditEntry, Organisation

KEPT = OrganisationSettings("District sanitaire", "SN", "DKR", "Africa/Dakar", "fr")


@pytest.mark.both
def test_it_works(cast):
    wanted = OrganisationSettings(" Programme  élargi\u202e", "ML", "bko ", "Africa/Bamako", "en")
    organisations.save_settings(wanted, by=cast.owner)

    organisation = db.session.get(Organisation, cast.organisation.id)
    assert (organisation.name, organisation.country, organisation.region) == ("Programme élargi", "ML", "BKO")
    assert (organisation.time_zone, organisation.language) == ("Africa/Bamako", "en")
    assert db.session.get(Organisation, cast.abroad.id).country == "SN"
    assert "organisation.settings_saved" in set(db.session.scalars(select(AuditEntry.action)))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "x"),
        ("name", "x" * 201),
        ("name", "Another programme"),
        ("country", "XX"),
        ("country", "sn"),
        ("region", "DAKR"),
        ("region", "D1R"),
        ("time_zone", "Mars/Olympus"),
        ("time_zone", "../../etc/passwd"),
        ("language", "de"),
    ],
)
def test_what_cannot_be_used_is_refused_at_its_field(cast, field, value):
    with pytest.raises(Invalid) as refusal:
        organisations.save_settings(OrganisationSettings(**vars(KEPT) | {field: value}), by=cast.owner)
    assert list(refusal.value.fields) == [field]


def test_all_problems_come_at_once(cast):
    with pytest.raises(Invalid) as refusal:
        organisations.save_settings(OrganisationSettings("", "", "", "", ""), by=cast.owner)
    assert list(refusal.value.fields) == ["name", "country", "region", "time_zone", "language"]


def test_only_administrators_change_settings(cast):
    acts = (
        lambda by: organisations.save_settings(KEPT, by=by),
        lambda by: organisations.save_logo(picture(), by=by),
        lambda by: organisations.remove_logo(by=by),
    )
    for by in (cast.editor, cast.viewer):
        for act in acts:
            with pytest.raises(NotAllowed):
                act(by)


@pytest.mark.both
def test_a_logo_is_kept_for_its_organisation_alone(cast):
    organisations.save_logo(picture(), by=cast.owner)
    assert organisations.has_logo(cast.viewer) and organisations.logo(cast.viewer).startswith(b"\x89PNG")
    assert not organisations.has_logo(cast.stranger) and organisations.logo(cast.stranger) is None

    organisations.remove_logo(by=cast.owner)
    assert organisations.logo(cast.viewer) is None


@pytest.mark.parametrize(
    ("kind", "mode"), [("PNG", "RGBA"), ("PNG", "P"), ("PNG", "L"), ("PNG", "I;16"), ("JPEG", "RGB"), ("JPEG", "CMYK")]
)
def test_every_common_picture_becomes_a_png_of_600_pixels_at_most(kind, mode):
    png = as_png(picture(kind, mode, (1_200, 300)))
    with Image.open(io.BytesIO(png)) as small:
        assert (small.format, small.size) == ("PNG", (600, 150))


def test_nothing_but_pixels_is_kept():
    exif = Image.Exif()
    exif[0x010E] = "taken at the house of a patient"
    out = io.BytesIO()
    Image.new("RGB", (40, 40), "teal").save(out, "JPEG", exif=exif, comment=b"a patient")
    assert b"patient" in out.getvalue()
    assert b"patient" not in as_png(out.getvalue())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"GIF89a" + bytes(100),
        b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
        b"\x89PNG\r\n\x1a\n" + bytes(200),
        b"%!PS-Adobe-3.0 EPSF-3.0",
    ],
    ids=["nothing", "gif", "svg", "broken png", "postscript"],
)
def test_what_is_no_png_or_jpeg_is_refused_whatever_its_name(content):
    with pytest.raises(Invalid) as refusal:
        as_png(content)
    assert list(refusal.value.fields) == ["logo"]


def test_a_picture_that_breaks_off_is_refused():
    with pytest.raises(Invalid, match="can be read"):
        as_png(picture("JPEG", "RGB", (500, 500))[:-200])


@pytest.mark.parametrize("side", [5_001, 12_000, 20_000, 2**31 - 1])
def test_a_small_file_with_too_many_pixels_is_refused_before_it_is_unpacked(side):
    with pytest.raises(LogoTooLarge, match="25 million"):
        as_png(bomb(side))


def test_a_file_over_512_kilobytes_is_refused():
    with pytest.raises(LogoTooLarge, match="512 KB"):
        as_png(picture() + bytes(512 << 10))


def picture(kind: str = "PNG", mode: str = "RGB", size: tuple[int, int] = (80, 40)) -> bytes:
    """Return a plain picture as a file."""
    out = io.BytesIO()
    Image.new(mode, size, 0).save(out, kind)
    return out.getvalue()


def bomb(side: int) -> bytes:
    """Return a tiny PNG whose header promises side × side pixels."""
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1_000))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
