"""The wheel `easy-vqa` in, items of the family ``easy_vqa`` out: a set of pictures that nobody here made.

Its training pictures are split between training and pool by their number; its official test is a suite.
A rationale says what the picture shows, colour and shape. The answers of the set's own training questions
tell it; where a picture's questions do not say both, the part that is unknown is left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from loop.world import vocabulary as words
from loop.world.questions import Question
from loop.world.scenes import IMAGE_SIZE

if TYPE_CHECKING:
    from PIL import Image

VQA_SHAPES = ("circle", "rectangle", "triangle")
POOL_REMAINDER = 4
"""Pictures whose number leaves this remainder modulo five are the pool's; the others are for training."""


@dataclass(frozen=True)
class VqaQuestion:
    """One question of the set and the number of its picture."""

    question: Question
    image_id: int


@cache
def train_questions() -> tuple[VqaQuestion, ...]:
    """Official training questions about the pictures kept for training."""
    return tuple(q for q in _read("train") if q.image_id % 5 != POOL_REMAINDER)


@cache
def pool_questions() -> tuple[VqaQuestion, ...]:
    """Official training questions about the pictures kept for the pool."""
    return tuple(q for q in _read("train") if q.image_id % 5 == POOL_REMAINDER)


@cache
def test_questions() -> tuple[VqaQuestion, ...]:
    """The official test, 9,673 questions, in its own order."""
    return _read("test")


def open_image(image_id: int, *, test: bool = False) -> Image.Image:
    """The picture, enlarged to the size that the models see."""
    from PIL import Image

    with Image.open(_image_paths(test)[image_id]) as picture:
        return picture.convert("RGB").resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BILINEAR)


@cache
def _image_paths(test: bool) -> dict[int, str]:
    import easy_vqa

    paths: dict[int, str] = easy_vqa.get_test_image_paths() if test else easy_vqa.get_train_image_paths()
    return paths


@cache
def _read(part: str) -> tuple[VqaQuestion, ...]:
    import easy_vqa

    rows = easy_vqa.get_train_questions() if part == "train" else easy_vqa.get_test_questions()
    triples = list(zip(*rows, strict=True))
    facts: dict[int, dict[str, str]] = {}
    for text, answer, image_id in triples:
        facts.setdefault(image_id, {}).update(_facts(text, answer))
    return tuple(
        VqaQuestion(_as_question(text, answer, facts[image_id]), image_id) for text, answer, image_id in triples
    )


def _as_question(text: str, answer: str, facts: dict[str, str]) -> Question:
    spaced = re.sub(r"\s*\?", " ?", text.lower())
    seen = " ".join(facts[part] for part in ("colour", "shape") if part in facts)
    return Question("easy_vqa", "perception", spaced, seen or answer, answer)


def _facts(text: str, answer: str) -> dict[str, str]:
    """What one question and its answer reveal about the picture."""
    named = [word for word in re.findall(r"[a-z]+", text.lower()) if word in words.COLOURS or word in VQA_SHAPES]
    said = [answer] if answer in words.COLOURS or answer in VQA_SHAPES else []
    negated = bool({"not", "no"} & set(text.lower().split()))
    if answer in ("yes", "no") and (answer == "yes") == negated:
        return {}
    known = [*named, *said]
    return {"colour" if word in words.COLOURS else "shape": word for word in known}
