"""JSON lines from anywhere: each becomes a prompt, or the reason why it cannot be one.

    file -> read_entries -> (line number, object | Refused) -> to_prompt -> Prompt, its images as blobs

    {"question": str, "images": [path beside the file, ...], "skill": str, "attributes": {str: str}}

All but `question` is optional; other keys are left to the caller. Nothing that a file holds raises anything else than
`Refused`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from loop.adapters.images import decode
from policies.admission import well_formed
from store.records import Origin, Prompt

if TYPE_CHECKING:
    from loop.ports import Blobs

MAX_LINE_BYTES = 1 << 20
MAX_IMAGE_BYTES = 64 << 20
WORLD_ATTRIBUTES = frozenset({"scene"})
"""What only the embedded world may say of a prompt: its synthesizer trusts these."""


class Refused(ValueError):
    """An entry that is no prompt; the message is the reason."""


def read_entries(path: Path) -> Iterator[tuple[int, dict[str, Any] | Refused]]:
    """Line numbers with their objects, streaming; blank lines are skipped. OSError if the file cannot be opened."""
    with path.open("rb") as stream:
        for number, raw in enumerate(_lines(stream), start=1):
            if len(raw) > MAX_LINE_BYTES:
                yield number, Refused(f"the line is longer than {MAX_LINE_BYTES} bytes")
            elif raw.strip():
                yield number, _parse(raw)


def to_prompt(entry: Mapping[str, Any], folder: Path, blobs: Blobs, origin: Origin) -> Prompt:
    """The prompt of an entry; its image files go into blobs as they are. `Refused`, with the reason, if it is none."""
    question = entry.get("question")
    if not isinstance(question, str):
        raise Refused(f"`question` must be text, not {type(question).__name__}")
    fault = well_formed(question)
    if fault is not None:
        raise Refused(fault)
    attributes = _attributes(entry)
    images = [blobs.put(data) for data in _images(entry, folder)]
    return Prompt.make(question, images, origin, attributes=attributes)


def shown(entry: Mapping[str, Any] | Refused) -> str:
    """What can be shown of an entry's question, whatever it is."""
    question = "" if isinstance(entry, Refused) else entry.get("question")
    text = question if isinstance(question, str) else ""
    return text[:200].encode("utf-8", "replace").decode("utf-8")


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """Lines, cut off just beyond the limit: a file without line ends must not fill the memory."""
    while raw := stream.readline(MAX_LINE_BYTES + 1):
        tail = raw
        while not tail.endswith(b"\n") and len(tail) > MAX_LINE_BYTES:
            tail = stream.readline(MAX_LINE_BYTES + 1)
        yield raw


def _parse(raw: bytes) -> dict[str, Any] | Refused:
    try:
        value = json.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        return Refused(f"not UTF-8: {error.reason} at byte {error.start}")
    except (ValueError, RecursionError) as error:
        return Refused(f"not JSON: {error}")
    if not isinstance(value, dict):
        return Refused(f"not a JSON object but {type(value).__name__}")
    return value


def _check_text(name: str, text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise Refused(f"`{name}` is not valid Unicode: {error.reason} at {error.start}") from None
    if "\0" in text:
        raise Refused(f"`{name}` contains a NUL character")


def _attributes(entry: Mapping[str, Any]) -> dict[str, str]:
    attributes = entry.get("attributes", {})
    if not isinstance(attributes, dict) or not all(isinstance(value, str) for value in attributes.values()):
        raise Refused("`attributes` must be an object of texts")
    merged = {key: value for key, value in attributes.items() if key not in WORLD_ATTRIBUTES}
    if "skill" in entry:
        merged["skill"] = entry["skill"]
    for key, value in merged.items():
        if not isinstance(value, str):
            raise Refused(f"`{key}` must be text, not {type(value).__name__}")
        _check_text("attributes", key)
        _check_text(key, value)
    return merged


def _images(entry: Mapping[str, Any], folder: Path) -> list[bytes]:
    names = entry.get("images", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise Refused("`images` must be a list of paths")
    return [_image(name, folder) for name in names]


def _image(name: str, folder: Path) -> bytes:
    try:
        path = (folder / name).resolve()
        if not path.is_relative_to(folder.resolve()):
            raise Refused(f"image {name!r} lies outside the folder of the file")
        if not path.is_file():
            raise Refused(f"there is no image file {name!r}")
        if path.stat().st_size > MAX_IMAGE_BYTES:
            raise Refused(f"image {name!r} is larger than {MAX_IMAGE_BYTES} bytes")
        data = path.read_bytes()
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        raise Refused(f"image {name!r} cannot be read: {error}") from None
    except Refused:
        raise
    except ValueError as error:  # a NUL in the path, a lone surrogate
        raise Refused(f"image {name!r} is not a path: {error}") from None
    try:
        decode(data)
    except ValueError as error:
        raise Refused(f"image {name!r}: {error}") from None
    return data
