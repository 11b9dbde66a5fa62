"""Image bytes in: a guarded decoder, a perceptual hash, and the guard of the held-out questions.

    bytes -> decode -> RGB picture -> perceptual hash -> HeldOutGuard: which held-out question does a prompt repeat?

A prompt repeats a held-out question if it shows the same pictures *and* asks the same normalised question. Pictures are
the same if their hashes differ in few bits; `scripts/calibrate_image_hash.py` measures how few.
"""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

import imagehash
from PIL import ExifTags, Image, ImageOps

from policies.admission import normalise_question
from store.records import HeldOutQuestion, Prompt

if TYPE_CHECKING:
    from loop.ports import Blobs

MAX_SIDE = 65_535
MAX_PIXELS = 50_000_000
"""Larger pictures are refused by their header, before any pixel is decoded; the side is the longest that JPEG has."""

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
"""Raster formats whose decoders run no program: Pillow hands EPS, for one, to Ghostscript."""

PLAIN_KINDS = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}
"""Formats that every vision server takes."""

HASH_SIZE = 24
"""The DCT hash keeps 24 x 24 frequencies. Measured at a distance that finds 96 % of the altered copies of a picture:
at most 0.3 % of the pool pictures match any held-out one; with 16 x 16 it is 1.6 % of those of easy-vqa. Difference
hashes break on flat backgrounds once these are compressed."""


def decode(data: bytes) -> Image.Image:
    """The picture in some bytes, as RGB: upright, its first frame, transparency on white.

    ValueError, with the reason, for whatever is not a whole picture of at most `MAX_PIXELS`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            _check(data)
            with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
                picture.load()
                return _to_rgb(ImageOps.exif_transpose(picture))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(f"the image is too large to decode: {error}") from error
    except Image.UnidentifiedImageError:
        raise ValueError(f"not an image of a known format ({', '.join(FORMATS)})") from None
    except Exception as error:  # decoders answer hostile bytes with errors of every class
        raise ValueError(f"the image does not decode: {error or type(error).__name__}") from error


def _check(data: bytes) -> None:
    """Refuse by the header alone, then let the format verify its own checksums (decoding ignores some)."""
    with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
        width, height = picture.size
        if not width or not height:
            raise ValueError(f"it has no pixels ({width}x{height})")
        if max(width, height) > MAX_SIDE:
            raise Image.DecompressionBombError(f"a side of {width}x{height} is longer than {MAX_SIDE} pixels")
        if width * height > MAX_PIXELS:
            raise Image.DecompressionBombError(f"{width}x{height} is more than {MAX_PIXELS} pixels")
        picture.verify()


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):  # 16 bits a pixel: Pillow would cut all that is brighter than 255 to white
        return picture.convert("I").point(lambda value: value / 256).convert("L").convert("RGB")
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return picture.convert("RGB")


def to_png(picture: Image.Image) -> bytes:
    """The picture as PNG: the same bytes for the same pixels under one version of Pillow."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def to_data_url(data: bytes) -> str:
    """A picture as a data URL that any server shows as `decode` does; errors as of `decode`.

    A file that every decoder reads alike goes as it is. Others are sent as PNG: servers differ in what they make of
    transparency, of a rotation by EXIF, of frames and of colour spaces.
    """
    picture = decode(data)
    kind = _plain_kind(data)
    if kind is None:
        data, kind = to_png(picture), "image/png"
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _plain_kind(data: bytes) -> str | None:
    """The MIME type of a file whose pixels leave nothing to interpret, else None."""
    with Image.open(io.BytesIO(data), formats=FORMATS) as file:
        upright = file.getexif().get(ExifTags.Base.Orientation, 1) == 1
        still = getattr(file, "n_frames", 1) == 1
        plain = upright and still and file.mode == "RGB" and not file.has_transparency_data
        return PLAIN_KINDS.get(file.format or "") if plain else None


def image_hash(picture: Image.Image) -> int:
    """The perceptual hash of a picture: `HASH_SIZE` squared bits, as one number."""
    return int(str(imagehash.phash(picture, hash_size=HASH_SIZE)), 16)


def hamming(first: int, second: int) -> int:
    """In how many bits two hashes differ."""
    return (first ^ second).bit_count()


class HeldOutGuard:
    """Tells whether a prompt repeats a held-out question. Pictures are hashed when a question matches, each once."""

    def __init__(self, questions: Iterable[HeldOutQuestion], blobs: Blobs, *, distance: int) -> None:
        self._blobs = blobs
        self._distance = distance
        self._hashes: dict[str, int] = {}
        self._held_out: dict[str, list[Prompt]] = {}
        normalise = cache(normalise_question)  # suites ask the same few questions of many pictures
        for row in questions:
            self._held_out.setdefault(normalise(row.prompt.question), []).append(row.prompt)

    def contaminates(self, prompt: Prompt) -> str | None:
        """The id of a held-out question that the prompt repeats, or None."""
        for held_out in self._held_out.get(normalise_question(prompt.question), ()):
            if bool(held_out.images) == bool(prompt.images) and all(
                any(self._same(mine, other) for mine in prompt.images) for other in held_out.images
            ):
                return held_out.id
        return None

    def _same(self, first: str, second: str) -> bool:
        return first == second or hamming(self._hash(first), self._hash(second)) <= self._distance

    def _hash(self, blob: str) -> int:
        if blob not in self._hashes:
            self._hashes[blob] = image_hash(decode(self._blobs.get(blob)))
        return self._hashes[blob]
