"""The decoder refuses what is no whole picture, the hash tells scenes apart, the guard finds held-out questions."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from loop.adapters.images import HeldOutGuard, decode, hamming, image_hash, to_png
from loop.config import Synthesis
from loop.world.scenes import draw, new_scene
from loop.world.tables import Split
from scripts.calibrate_image_hash import COPIES, calibrate, pool_and_held_out
from store.blobs import FileBlobs
from store.records import HeldOutQuestion, Origin, Prompt

DISTANCE = Synthesis().image_distance
QUESTION = "which is larger jan or feb ?"


def picture(seed: int, split: Split = Split.HELD_OUT, kind: str = "bar") -> Image.Image:
    return draw(new_scene(split, kind, np.random.default_rng(seed)))


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = b"IDAT" + zlib.compress(b"\0" * 64)
    chunks = (head, body, b"IEND")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks
    )


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


PNG = encoded(Image.effect_noise((64, 64), 40).convert("RGB"), "PNG")
JPEG = encoded(Image.effect_noise((64, 64), 40).convert("RGB"), "JPEG")

BROKEN = {
    "no bytes": (b"", "not an image"),
    "text": (b"<html>404</html>", "not an image"),
    "signature alone": (PNG[:8], "image"),
    "truncated png": (PNG[: len(PNG) // 2], "does not decode"),
    "truncated jpeg": (JPEG[: len(JPEG) // 2], "truncated"),
    "png with a wrong checksum": (flipped(PNG, len(PNG) // 2), "does not decode"),
    "too many pixels": (encoded(Image.new("1", (8000, 8000)), "PNG"), "8000x8000 is more than"),
    "a thread": (encoded(Image.new("1", (70_000, 1)), "PNG"), "longer than 65535"),
    "a bomb": (png_header(60_000, 60_000), "too large"),
    "zero width": (png_header(0, 5), "image"),
    "pixels missing": (png_header(500, 500), "does not decode"),
    "postscript": (encoded(Image.new("RGB", (4, 4)), "EPS"), "not an image"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_whole_picture_is_refused_with_its_reason(name: str) -> None:
    data, reason = BROKEN[name]
    with pytest.raises(ValueError, match=reason):
        decode(data)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_usual_formats_decode_to_rgb(form: str) -> None:
    image = decode(encoded(Image.new("L", (7, 5), 200), form))
    assert (image.mode, image.size) == ("RGB", (7, 5))
    assert abs(image.getpixel((3, 2))[0] - 200) < 8


def test_transparency_is_shown_on_white() -> None:
    assert decode(encoded(Image.new("RGBA", (4, 4), (0, 0, 0, 0)), "PNG")).getpixel((1, 1)) == (255, 255, 255)


def test_cmyk_becomes_the_colour_that_it_prints() -> None:
    red = decode(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG")).getpixel((3, 3))
    assert red[0] > 200 > 60 > max(red[1:])


def test_a_picture_that_says_it_lies_on_its_side_is_set_upright() -> None:
    image = Image.new("RGB", (8, 4), "white")
    image.putpixel((0, 0), (0, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    upright = decode(encoded(image, "PNG", exif=exif))
    assert upright.size == (4, 8)
    assert upright.getpixel((3, 0)) == (0, 0, 0)


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame_is_shown(form: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "blue")]
    data = encoded(frames[0], form, save_all=True, append_images=frames[1:], duration=50)
    red, _, blue = decode(data).getpixel((4, 4))
    assert red > 200 > 60 > blue


@pytest.mark.parametrize("mode", ["P", "LA"])
def test_transparency_of_palettes_and_greys_is_shown_on_white(mode: str) -> None:
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0)).convert(mode)
    options = {"transparency": image.getpixel((0, 0))} if mode == "P" else {}
    assert decode(encoded(image, "PNG", **options)).getpixel((1, 1)) == (255, 255, 255)


def test_sixteen_bits_a_pixel_keep_their_greys() -> None:
    ramp = Image.fromarray(np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16))
    greys = np.asarray(decode(encoded(ramp, "PNG")))[:, :, 0].ravel()
    assert np.abs(greys.astype(int) - np.arange(256)).max() <= 1


def test_png_keeps_every_pixel() -> None:
    image = picture(3)
    assert decode(to_png(image)).tobytes() == image.tobytes()


@pytest.mark.parametrize("source", ["scenes", "unseen", "easy_vqa"])
def test_default_distance_finds_copies_and_keeps_disjoint_pictures_apart(source: str) -> None:
    row = next(row for row in calibrate(*pool_and_held_out(source, 80, seed=5)) if row["distance"] == DISTANCE)
    assert row["false_hits"] <= 0.01
    assert row["copies"] >= 0.95


@pytest.fixture
def blobs(tmp_path: Path) -> FileBlobs:
    return FileBlobs(tmp_path)


def guard_of(blobs: FileBlobs, *prompts: Prompt) -> HeldOutGuard:
    return HeldOutGuard([HeldOutQuestion(prompt, ("jan",)) for prompt in prompts], blobs, distance=DISTANCE)


def held_out(blobs: FileBlobs, question: str, *images: Image.Image) -> Prompt:
    return Prompt.make(question, [blobs.put(to_png(image)) for image in images], Origin.HELD_OUT)


@pytest.mark.parametrize("copy", COPIES)
def test_an_altered_copy_with_the_same_question_in_other_spelling_is_contaminated(blobs: FileBlobs, copy: str) -> None:
    mine = held_out(blobs, QUESTION, picture(1))
    guard = guard_of(blobs, held_out(blobs, QUESTION, picture(2)), mine)
    altered = blobs.put(to_png(COPIES[copy](picture(1))))
    assert altered not in mine.images
    assert guard.contaminates(Prompt.make("Which is LARGER,  Jan or Feb?", [altered])) == mine.id


def test_the_same_image_with_another_question_is_free(blobs: FileBlobs) -> None:
    mine = held_out(blobs, QUESTION, picture(1))
    assert guard_of(blobs, mine).contaminates(Prompt.make("which is larger jan or mar ?", mine.images)) is None


def test_the_same_question_about_another_image_is_free(blobs: FileBlobs) -> None:
    mine, other = held_out(blobs, QUESTION, picture(1)), blobs.put(to_png(picture(1, Split.POOL)))
    assert hamming(image_hash(picture(1)), image_hash(picture(1, Split.POOL))) > DISTANCE
    assert guard_of(blobs, mine).contaminates(Prompt.make(QUESTION, [other])) is None


def test_of_several_images_all_held_out_ones_must_be_there(blobs: FileBlobs) -> None:
    mine = held_out(blobs, QUESTION, picture(1), picture(2))
    first, second = mine.images
    guard = guard_of(blobs, mine)
    assert guard.contaminates(Prompt.make(QUESTION, [second, blobs.put(to_png(picture(3))), first])) == mine.id
    assert guard.contaminates(Prompt.make(QUESTION, [first])) is None


def test_text_only_prompts_repeat_only_text_only_questions(blobs: FileBlobs) -> None:
    text, pictured = held_out(blobs, "what is 2 plus 2 ?"), held_out(blobs, QUESTION, picture(1))
    guard = guard_of(blobs, text, pictured)
    assert guard.contaminates(Prompt.make("What is 2 plus 2?")) == text.id
    assert guard.contaminates(Prompt.make(QUESTION)) is None
    assert guard.contaminates(Prompt.make("what is 2 plus 2 ?", pictured.images)) is None
