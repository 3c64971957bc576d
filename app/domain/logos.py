"""Logos: a picture that somebody uploaded, made into a small clean PNG or refused."""

import io

from PIL import Image, ImageOps

from app.domain.errors import Invalid, TooLarge
from app.sentences import Sentence, say

LARGEST_BYTES = 512 << 10
LARGEST_PIXELS = 25_000_000
LONGEST_SIDE = 600  # pixels; 50 mm at 300 dpi, wider than a logo on a card gets
FORMATS = ("PNG", "JPEG")


class LogoTooLarge(Invalid, TooLarge):
    """The file or the picture in it is larger than a logo may be."""

    code = "too_large"


def as_png(content: bytes) -> bytes:
    """Return the picture as a PNG of at most 600 × 600 pixels that carries pixels and nothing else.

    Judges by content, never by name. Raises Invalid for what is not a whole PNG or JPEG, and LogoTooLarge for
    more than 512 KB or more than 25 million pixels, before any pixel is unpacked.
    """
    if not content:
        raise _refused(say("Choose a picture first."))
    if len(content) > LARGEST_BYTES:
        raise LogoTooLarge({"logo": say("The file is larger than 512 KB. Save the logo smaller and send it again.")})
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
            if picture.width * picture.height > LARGEST_PIXELS:
                raise _too_many_pixels()
            return _small_png(picture)
    except Image.DecompressionBombError:
        raise _too_many_pixels() from None
    except (OSError, SyntaxError, ValueError):  # how Pillow says that a file is broken or of another kind
        raise _refused(say("This is not a PNG or JPEG picture that can be read. Choose another file.")) from None


def _small_png(picture: Image.Image) -> bytes:
    picture.draft("RGB", (LONGEST_SIDE, LONGEST_SIDE))  # lets JPEG unpack at a fraction of its size
    upright = ImageOps.exif_transpose(picture)
    small = upright.convert("RGBA" if upright.has_transparency_data else "RGB")
    small.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    small.info.clear()  # comments, profiles and places where a photo was taken
    out = io.BytesIO()
    small.save(out, "PNG", optimize=True)
    return out.getvalue()


def _too_many_pixels() -> LogoTooLarge:
    return LogoTooLarge(
        {"logo": say("The picture has more than 25 million pixels. Make it smaller and send it again.")}
    )


def _refused(sentence: Sentence) -> Invalid:
    return Invalid({"logo": sentence})
