"""A pool's source streams prompts, and turns whatever a hostile file holds into quarantine rows with reasons."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from loop.adapters.cells import MAX_IMAGE_BYTES
from loop.adapters.images import decode, to_png
from loop.adapters.jsonl import MAX_LINE_BYTES
from loop.adapters.sources import read_source
from loop.adapters.suites import Aside
from loop.config import Pool
from loop.world.questions import FAMILIES
from loop.world.scenes import draw, from_json
from store.blobs import FileBlobs
from store.errors import UsageError
from store.records import Origin, Prompt, Quarantined

PNG = to_png(Image.effect_noise((32, 32), 40).convert("RGB"))
VAST = to_png(Image.new("1", (8000, 6300)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images beside the file, and one outside."""
    folder = tmp_path / "data"
    (folder / "images").mkdir(parents=True)
    (folder / "good.png").write_bytes(PNG)
    (folder / "images" / "deep.png").write_bytes(PNG)
    (folder / "cut.png").write_bytes(PNG[: len(PNG) // 2])
    (folder / "page.png").write_bytes(b"<html>404</html>")
    (folder / "empty.png").write_bytes(b"")
    (folder / "vast.png").write_bytes(VAST)
    (tmp_path / "secret.png").write_bytes(PNG)
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    (folder / "loop.png").symlink_to(folder / "loop.png")
    os.mkfifo(folder / "pipe.png")
    with (folder / "heavy.png").open("wb") as sparse:
        sparse.truncate(MAX_IMAGE_BYTES + 1)
    return folder


def read(folder: Path, blobs: FileBlobs, *lines: bytes) -> list[Prompt | Quarantined]:
    path = folder / "prompts.jsonl"
    path.write_bytes(b"\n".join(lines))
    return list(read_source(Pool(source=str(path)), blobs))


def line(**entry: object) -> bytes:
    return json.dumps(entry).encode()


BAD_LINES = {
    "not json": (b"{'question': 1}", "not JSON"),
    "half a json": (b'{"question": "what', "not JSON"),
    "not an object": (b'["what ?"]', "not a JSON object but list"),
    "null": (b"null", "not a JSON object"),
    "not utf-8": (b'{"question": "caf\xe9 ?"}', "not UTF-8"),
    "nested beyond reason": (b"[" * 100_000, "not JSON"),
    "a number beyond reason": (b'{"question": ' + b"9" * 5000 + b"}", "not JSON"),
    "line too long": (b'{"question": "' + b"x" * MAX_LINE_BYTES + b'"}', "longer than"),
    "no question": (line(images=[]), "`question` must be text"),
    "question of another type": (line(question=7), "`question` must be text, not int"),
    "empty question": (line(question=""), "empty"),
    "blank question": (line(question=" \t\u200b"), "empty"),
    "question too long": (line(question="why " * 5000), "characters"),
    "lone surrogate": (b'{"question": "what \\ud800 ?"}', "surrogate"),
    "image of another type": (line(question="what ?", images=[1]), "undecodable image: the cell holds int"),
    "images null": (line(question="what ?", images=None), "null image: `images` is null"),
    "one image null": (line(question="what ?", images=["good.png", None]), "null image"),
    "image on the web": (line(question="what ?", images=["https://example.org/a.png"]), "none is fetched"),
    "image by file URL": (line(question="what ?", images=["file:///etc/passwd"]), "none is fetched"),
    "missing image": (line(question="what ?", images=["gone.png"]), "there is no image file 'gone.png'"),
    "second image missing": (line(question="what ?", images=["good.png", "gone.png"]), "'gone.png'"),
    "truncated image": (line(question="what ?", images=["cut.png"]), "does not decode"),
    "web page as image": (line(question="what ?", images=["page.png"]), "not an image"),
    "empty image": (line(question="what ?", images=["empty.png"]), "not an image"),
    "huge image": (line(question="what ?", images=["vast.png"]), "more than 50000000 pixels"),
    "heavy image": (line(question="what ?", images=["heavy.png"]), "larger than"),
    "path above": (line(question="what ?", images=["../secret.png"]), "outside the folder"),
    "absolute path": (line(question="what ?", images=["/etc/passwd"]), "outside the folder"),
    "link to the outside": (line(question="what ?", images=["link.png"]), "outside the folder"),
    "loop of links": (line(question="what ?", images=["loop.png"]), "loop.png"),
    "folder as image": (line(question="what ?", images=["images"]), "there is no image file"),
    "pipe as image": (line(question="what ?", images=["pipe.png"]), "there is no image file"),
    "nul in a path": (b'{"question": "what ?", "images": ["a\\u0000b"]}', "a\\x00b"),
    "surrogate in a path": (b'{"question": "what ?", "images": ["\\ud800"]}', "ud800"),
    "endless name": (line(question="what ?", images=["x" * 5000]), "cannot be read"),
    "attributes not an object": (line(question="what ?", attributes=["a"]), "`attributes`"),
    "attribute not a text": (line(question="what ?", attributes={"a": 1}), "`attributes`"),
    "skill not a text": (line(question="what ?", skill=3), "`skill` must be text"),
    "surrogate in an attribute": (b'{"question": "what ?", "attributes": {"a": "\\udfff"}}', "not valid Unicode"),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_is_quarantined_with_its_place_and_reason(folder: Path, blobs: FileBlobs, name: str) -> None:
    bad, reason = BAD_LINES[name]
    good = line(question="what is shown ?", images=["good.png"])
    before, row, after = read(folder, blobs, good, bad, line(question="what else ?"))
    assert isinstance(row, Quarantined)
    assert row.source == "prompts.jsonl:2"
    assert reason in row.reason
    for text in (row.question, row.reason):
        text.encode("utf-8")
    assert isinstance(before, Prompt)
    assert isinstance(after, Prompt)


def test_a_quarantined_row_shows_the_question(folder: Path, blobs: FileBlobs) -> None:
    (row,) = read(folder, blobs, line(question="what is lost ?", images=["gone.png"]))
    assert isinstance(row, Quarantined)
    assert row.question == "what is lost ?"


def test_a_good_line_keeps_image_bytes_order_and_attributes(folder: Path, blobs: FileBlobs) -> None:
    jpeg = folder / "photo.jpg"
    Image.new("RGB", (9, 9), "red").save(jpeg)
    entry = line(
        question="what ?",
        images=["images/deep.png", "photo.jpg"],
        skill="look",
        attributes={"domain": "photo", "scene": "{}"},
        other=[1],
    )
    (prompt,) = read(folder, blobs, entry)
    assert isinstance(prompt, Prompt)
    assert [blobs.get(image) for image in prompt.images] == [PNG, jpeg.read_bytes()]
    assert (prompt.origin, prompt.parent) == (Origin.SEED, None)
    assert prompt.attributes == {"domain": "photo", "skill": "look"}, "a scene is the embedded world's alone"


def test_byte_order_mark_blank_lines_and_windows_line_ends_are_harmless(folder: Path, blobs: FileBlobs) -> None:
    rows = read(folder, blobs, b"\xef\xbb\xbf" + line(question="first ?") + b"\r", b"", b"  ", line(question="last ?"))
    assert [row.question for row in rows] == ["first ?", "last ?"]
    assert all(isinstance(row, Prompt) for row in rows)


def test_the_line_after_an_endless_one_keeps_its_number(folder: Path, blobs: FileBlobs) -> None:
    rows = read(folder, blobs, b"x" * (3 * MAX_LINE_BYTES), b"not json", line(question="fine ?"))
    assert [row.source for row in rows if isinstance(row, Quarantined)] == ["prompts.jsonl:1", "prompts.jsonl:2"]
    assert rows[-1].question == "fine ?"


def test_duplicates_have_one_id(folder: Path, blobs: FileBlobs) -> None:
    entry = line(question="what ?", images=["good.png"])
    first, second = read(folder, blobs, entry, entry)
    assert first == second


def test_reading_streams(folder: Path, blobs: FileBlobs) -> None:
    path = folder / "prompts.jsonl"
    path.write_bytes(line(question="first ?") + b"\n" + line(question="second ?") + b"\n")
    rows = read_source(Pool(source=str(path)), blobs)
    assert next(rows).question == "first ?"


UNUSABLE: dict[str, tuple[Callable[[Path], str], str]] = {
    "missing file": (lambda folder: str(folder / "gone.jsonl"), "no such file or folder is here"),
    "folder without prompts": (lambda folder: str(folder), "the folder holds neither metadata.jsonl"),
    "folder with the ending": (lambda folder: str(_made(folder / "x.jsonl")), "the folder holds neither"),
    "another word": (lambda folder: "embeded", "no such file or folder is here"),
    "another format": (lambda folder: str(folder / "page.png"), "files may end in .jsonl, .json, .csv, .parquet"),
}


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.mark.parametrize("name", UNUSABLE)
def test_an_unusable_source_is_refused_at_once_with_key_value_and_remedy(
    folder: Path, blobs: FileBlobs, name: str
) -> None:
    make, reason = UNUSABLE[name]
    source = make(folder)
    with pytest.raises(UsageError) as caught:
        read_source(Pool(source=source), blobs)
    assert "`pool.source`" in str(caught.value)
    assert repr(source) in str(caught.value)
    assert reason in str(caught.value)


def test_shares_that_contradict_each_other_are_refused(blobs: FileBlobs) -> None:
    with pytest.raises(UsageError, match=r"pool\.easy_vqa_share"):
        read_source(Pool(easy_share=0.1, easy_vqa_share=0.5), blobs)


@pytest.fixture
def memory(blobs: FileBlobs) -> Aside:
    """Blobs that need not be flushed to a disk."""
    return Aside(blobs)


def test_the_embedded_pool_has_the_asked_size_mix_and_facts(memory: Aside) -> None:
    settings = Pool(size=150, easy_share=0.7, easy_vqa_share=0.2)
    prompts = list(read_source(settings, memory))
    assert len({prompt.id for prompt in prompts}) == 150
    assert list(read_source(settings, memory)) == prompts
    assert list(read_source(settings.model_copy(update={"seed": 1}), memory)) != prompts
    families = Counter(prompt.attributes["family"] for prompt in prompts)
    assert 15 <= families["easy_vqa"] <= 45
    assert 80 <= sum(num for name, num in families.items() if FAMILIES[name].easy) <= 130
    for prompt in prompts:
        family = FAMILIES[prompt.attributes["family"]]
        assert (prompt.attributes["domain"], prompt.attributes["skill"]) == (family.domain, family.skill)
        assert ("scene" in prompt.attributes) == (family.name != "easy_vqa")


def test_the_scene_of_an_embedded_prompt_draws_its_image(memory: Aside) -> None:
    for prompt in read_source(Pool(size=10, easy_vqa_share=0.0), memory):
        scene = from_json(prompt.attributes["scene"])
        assert draw(scene).tobytes() == decode(memory.get(prompt.images[0])).tobytes()


def test_a_pool_larger_than_the_world_ends(memory: Aside) -> None:
    prompts = list(read_source(Pool(size=40, easy_share=1.0, easy_vqa_share=1.0), memory))
    assert len({prompt.id for prompt in prompts}) == len(prompts) == 40
