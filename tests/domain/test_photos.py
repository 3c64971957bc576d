"""Photos: the text of a card's QR code, or a sentence that helps to take a better one."""

import io

import pytest
import qrcode
from PIL import Image

from app.domain import photos
from app.domain.errors import Invalid
from app.domain.tokens import TOKEN_LENGTH

ONE = "HTTPS://CARDS.EXAMPLE.ORG/V/" + "A" * TOKEN_LENGTH
TWO = "HTTPS://CARDS.EXAMPLE.ORG/V/" + "B" * TOKEN_LENGTH


def photo_of(*texts: str, side: int = 500, kind: str = "PNG") -> bytes:
    """Return a picture with a QR code for each of the texts beside each other."""
    picture = Image.new("RGB", (side * len(texts), side), "white")
    for place, text in enumerate(texts):
        code = qrcode.make(text).get_image().convert("RGB").resize((side, side))
        picture.paste(code, (side * place, 0))
    out = io.BytesIO()
    picture.save(out, kind)
    return out.getvalue()


def refusal(photo: bytes) -> str:
    with pytest.raises(Invalid) as refused:
        photos.read_qr(photo)
    return str(refused.value.fields["photo"])


def test_it_works():
    assert photos.read_qr(photo_of(ONE)) == ONE
    assert photos.read_qr(photo_of(ONE, kind="JPEG")) == ONE


@pytest.mark.parametrize("side", [150, 3000])
def test_small_and_large_photos_are_read(side):
    assert photos.read_qr(photo_of(ONE, side=side)) == ONE


def test_the_card_is_chosen_before_any_other_code():
    assert photos.read_qr(photo_of("https://example.org", ONE)) == ONE
    assert photos.read_qr(photo_of("https://example.org")) == "https://example.org"


def test_two_cards_are_one_too_many_and_the_same_card_twice_is_not():
    assert "more than one card" in refusal(photo_of(ONE, TWO))
    assert photos.read_qr(photo_of(ONE, ONE)) == ONE


def test_a_picture_of_another_kind_is_refused_whatever_it_is_called():
    assert "PNG or JPEG" in refusal(photo_of(ONE, kind="BMP"))


def test_a_photo_waits_for_a_free_desk_and_then_gives_up(monkeypatch):
    monkeypatch.setattr(photos, "PATIENCE_SECONDS", 0)
    with photos.desks, photos.desks:
        assert "Try again in a moment" in refusal(photo_of(ONE))
    assert photos.read_qr(photo_of(ONE)) == ONE
