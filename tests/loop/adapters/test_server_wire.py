"""What is sent to a server, and what is made of its replies."""

from __future__ import annotations

import base64
import io
import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from loop.adapters.images import decode, to_data_url
from loop.adapters.server_client import LONGEST_RETRY_AFTER, retry_after
from loop.adapters.server_wire import (
    read_error,
    read_model_names,
    read_response,
    sampling_body,
    user_message,
)
from policies.extraction import extract
from store.blobs import FileBlobs
from store.errors import UnreadableImage
from store.records import Prompt


def reply(message: dict[str, object], finish_reason: str | None = "stop") -> bytes:
    choice = {"finish_reason": finish_reason, "message": message}
    return json.dumps({"choices": [choice], "usage": {"completion_tokens": 6}}).encode()


def picture(mode: str = "RGB") -> Image.Image:
    image = Image.new("RGB", (8, 4))
    image.putdata([(16 * number % 256, 5 * number, 255 - number) for number in range(32)])
    return image.convert(mode)


def file_of(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def rotated() -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    return exif


def test_an_image_goes_as_it_is_if_every_decoder_reads_it_alike() -> None:
    for kind in ("PNG", "JPEG"):
        data = file_of(picture(), kind)
        assert to_data_url(data) == f"data:image/{kind.lower()};base64,{base64.b64encode(data).decode()}"


@pytest.mark.parametrize(
    "data",
    [
        file_of(picture("RGBA"), "PNG"),
        file_of(picture("P"), "GIF"),
        file_of(picture("CMYK"), "JPEG"),
        file_of(picture("L"), "PNG"),
        file_of(picture(), "JPEG", exif=rotated()),
        file_of(picture(), "BMP"),
    ],
    ids=["transparent", "gif", "cmyk", "grey", "rotated", "bmp"],
)
def test_other_images_are_sent_as_the_pixels_that_the_engines_in_process_see(data: bytes) -> None:
    head, _, text = to_data_url(data).partition(",")
    assert head == "data:image/png;base64"
    sent = Image.open(io.BytesIO(base64.b64decode(text)))
    assert sent.mode == "RGB"
    assert sent.tobytes() == decode(data).tobytes()


def test_a_prompt_is_its_images_and_then_its_question(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path)
    first, second = (blobs.put(file_of(picture(), kind)) for kind in ("PNG", "JPEG"))
    content = user_message(Prompt.make("Which?", (first, second)), blobs)["content"]
    assert [part["type"] for part in content] == ["image_url", "image_url", "text"]
    assert content[1]["image_url"]["url"].startswith("data:image/jpeg;base64,")
    assert content[2]["text"] == "Which?"
    assert user_message(Prompt.make("Which?"), blobs)["content"] == "Which?"


def test_an_image_that_does_not_decode_is_named(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path)
    digest = blobs.put(b"no picture")
    with pytest.raises(UnreadableImage, match=f"{digest}.*replace it"):
        user_message(Prompt.make("Which?", (digest,)), blobs)


def test_a_schema_is_sent_as_structured_output() -> None:
    schema = {"type": "object"}
    body = sampling_body([], seed=1, temperature=0.5, max_tokens=8, schema=schema)
    assert body["response_format"]["json_schema"]["schema"] == schema
    assert "response_format" not in sampling_body([], seed=1, temperature=0.5, max_tokens=8)


def test_a_response_is_its_text_its_tokens_and_whether_it_was_cut_off() -> None:
    response = read_response(reply({"content": " 7 "}, "length"))
    assert (response.text, response.num_tokens, response.truncated) == ("7", 6, True)
    assert not read_response(reply({"content": "7"})).truncated


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_thinking_that_came_apart_is_part_of_the_text_but_not_of_the_answer(field: str) -> None:
    text = read_response(reply({"content": "It is so. Answer: 7", field: "Maybe Answer: 6?"})).text
    assert "Maybe Answer: 6?" in text
    assert extract(text, "answer") == "7"
    unfinished = read_response(reply({"content": None, field: "Maybe Answer: 6?"}, "length")).text
    assert extract(unfinished, "answer") is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'{"choices": [{"mess', "EOF"),
        (b"", "EOF"),
        (b'{"choices": [], "usage": {"completion_tokens": 1}}', "choices"),
        (b'{"choices": [{"message": {"content": "7"}, "finish_reason": "stop"}]}', "usage"),
        (reply({"content": 7}), "content"),
        (reply({"content": "7"}, "abort"), "broken off"),
        (reply({"content": "7"}, None), "broken off"),
    ],
)
def test_a_reply_without_a_whole_response_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_response(data)


LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just([]) | st.just({})
REPLIES = st.fixed_dictionaries(
    {
        "choices": LEAVES | st.lists(LEAVES | st.fixed_dictionaries({"message": LEAVES, "finish_reason": LEAVES})),
        "usage": LEAVES | st.fixed_dictionaries({"completion_tokens": LEAVES}),
        "data": LEAVES | st.lists(LEAVES | st.fixed_dictionaries({"id": LEAVES})),
        "error": LEAVES | st.fixed_dictionaries({"message": LEAVES}),
    }
)


@given(st.binary(max_size=50) | REPLIES.map(lambda value: json.dumps(value).encode()))
def test_no_reply_breaks_its_reader(data: bytes) -> None:
    for read in (read_response, read_model_names):
        with suppress(ValueError):
            read(data)
    assert len(read_error(data)) <= 300


def test_an_error_says_what_the_server_said_in_one_line() -> None:
    assert read_error(b'{"error": {"message": "The model\\nis asleep", "code": 503}}') == "The model\\nis asleep"
    assert read_error(b"<html>\n Bad gateway") == "<html> Bad gateway"
    assert read_error(b"") == "no reason given"


@given(st.text() | st.floats().map(str))
def test_a_rest_is_bearable_whatever_the_header_says(value: str) -> None:
    rest = retry_after(value)
    assert rest is None or 0 <= rest <= LONGEST_RETRY_AFTER


def test_a_rest_is_a_number_of_seconds_or_lasts_until_a_date() -> None:
    assert retry_after(None) is None
    assert retry_after("1.5") == 1.5
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert retry_after("Wed, 21 Oct 2105 07:28:00 GMT") == LONGEST_RETRY_AFTER
