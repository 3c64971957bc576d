"""Photos of cards: from the bytes a stranger sent to the text of the QR code in them. Nothing is kept."""

import io
import threading

import zxingcpp
from PIL import Image

from app.domain.errors import Invalid
from app.domain.verification import token_in
from app.sentences import Sentence, say

LARGEST_BYTES = 8 << 20
LARGEST_PIXELS = 25_000_000
FORMATS = ("PNG", "JPEG")
WORKING_SIDE = 1_600  # pixels: at this size a blurred photo of a card still shows its modules
SMALL_SIDE = 1_200

# Two photos at once take at most 300 MB; the others wait their turn.
desks = threading.BoundedSemaphore(2)
PATIENCE_SECONDS = 10


def read_qr(photo: bytes) -> str:
    """Return what the QR code in the photo says, the card's rather than any other code's.

    Raises Invalid for `photo`: no PNG or JPEG by content, too large, no code in it, or two different cards.
    """
    if not photo:
        raise _refused(say("Choose a photo of the card first."))
    if len(photo) > LARGEST_BYTES:
        raise too_large()
    if not desks.acquire(timeout=PATIENCE_SECONDS):
        raise _refused(say("Many photos are being read just now. Try again in a moment, or type the code."))
    try:
        texts = _texts(_grey(photo))
    finally:
        desks.release()
    return _chosen(texts)


def too_large() -> Invalid:
    """Return the refusal of a photo with more than 8 MB."""
    return _refused(say("The photo is larger than 8 MB. Send a smaller one, or type the code."))


def _grey(photo: bytes) -> Image.Image:
    """Return the picture in grey. Its size is looked at before anything is unpacked."""
    try:
        picture = Image.open(io.BytesIO(photo), formats=FORMATS)
        width, height = picture.size
    except Image.DecompressionBombError:
        width = height = LARGEST_PIXELS
    except Exception as error:  # decoders raise all kinds of things for hostile files
        raise _refused(say("This is not a photo in PNG or JPEG. Send a photo, or type the code.")) from error
    if width * height > LARGEST_PIXELS:
        raise _refused(say("The photo has too many pixels. Send one with at most 25 million, or type the code."))
    try:
        return picture.convert("L")
    except Exception as error:
        raise _refused(say("The photo is damaged. Take it again, or type the code.")) from error


def _texts(grey: Image.Image) -> list[str]:
    """Return what is read from the photo as it is, or else made larger or smaller: each finds codes the others miss."""
    for picture in (grey, _resized(grey)):
        found = zxingcpp.read_barcodes(picture, formats=zxingcpp.BarcodeFormat.QRCode)
        if found:
            return list(dict.fromkeys(code.text for code in found))
    return []


def _resized(grey: Image.Image) -> Image.Image:
    longest = max(grey.size)
    scale = 2 if longest <= SMALL_SIDE else WORKING_SIDE / longest
    size = tuple(max(1, round(side * scale)) for side in grey.size)
    return grey.resize(size, Image.Resampling.BICUBIC)


def _chosen(texts: list[str]) -> str:
    cards = [text for text in texts if token_in(text)]
    if len(cards) > 1:
        raise _refused(say("There is more than one card in the photo. Take a photo of one card alone."))
    if not texts:
        raise _refused(
            say(
                "There is no QR code to be read in the photo. Take it again: closer, sharp, without glare and with the "
                "whole code in it."
            )
        )
    return (cards or texts)[0]


def _refused(sentence: Sentence) -> Invalid:
    return Invalid({"photo": sentence})
