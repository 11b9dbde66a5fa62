"""Training batches of the embedded pair: a step number in, tensors out; nothing is kept between steps.

One picture carries several questions in one sequence. Each question sees the picture and itself only, and its
positions start anew behind the picture, so that a sequence is exactly several independent prompts that share
the work on their picture:

    [picture] [question 1, response 1] [question 2, response 2] ... [padding]
    segment 0        segment 1                segment 2                -1

Beside the responses, a batch says what is written or drawn in each cell of the picture. Looking a mark up by its label
needs picture tokens that resemble the words in them; answers alone teach that only after a long plateau.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch

from loop.world import easy_vqa
from loop.world.questions import FAMILIES, Question, ask, families_of
from loop.world.scenes import GRID, Scene, draw, new_scene
from loop.world.tables import Split
from loop.world.vocabulary import ORDINALS

NUM_SCENES = 60_000
"""Training scenes of the teacher; scene i is drawn from the seed (TRAIN_SEED, i)."""
TRAIN_SEED = 20_260_515
QUESTIONS_PER_IMAGE = 7
ANSWER_WEIGHT = 3.0
KIND_WEIGHTS = {
    "bar": 2.0,
    "line": 1.2,
    "pie": 1.5,
    "grouped": 1.8,
    "form": 1.0,
    "receipt": 1.6,
    "table": 2.2,
    "shapes": 2.6,
    "easy_vqa": 1.2,
}

FOCUS = {"bar": 0.5, "line": 0.4, "pie": 0.4, "grouped": 0.6, "form": 0.4, "receipt": 0.7, "table": 0.8}
"""Chance to keep a drawn scene late in training, when these kinds are read well; the others are always kept."""

MASTERED = (
    "chart_read",
    "chart_colour",
    "chart_compare",
    "grouped_read",
    "form_field",
    "receipt_price",
    "receipt_compare",
    "table_read",
    "shape_colour",
    "shape_position",
)
MASTERED_WEIGHT = 0.25
"""Families that single out one or two marks are learnt first; a drill asks them this much less than the others."""

NEVER = 1_000_000_000
REVISED_SHARE = 0.5
"""Share of the pictures of a revision that are among those whose hard families may be asked."""


@dataclass(frozen=True)
class Diet:
    """What a model is trained on: easy families of all scenes, hard ones of ``hard_percent`` of the scenes.

    The others are steps. From ``focus_from`` on, scenes of the kinds in `FOCUS` are thinned; from ``drill_from`` on,
    `MASTERED` families are asked less; from ``revise_from`` on, the few scenes with hard families come more often; from
    ``specialise_from`` on, only easy families are asked, and the hard ones fade; from ``bare_from`` on, responses are
    answers without a rationale.
    """

    hard_percent: int
    focus_from: int = NEVER
    drill_from: int = NEVER
    revise_from: int = NEVER
    specialise_from: int = NEVER
    bare_from: int = NEVER

    def scene_index(self, step: int, rng: np.random.Generator) -> int:
        """The scene that comes next."""
        index = int(rng.integers(NUM_SCENES))
        if self.revise_from <= step < self.specialise_from and rng.random() < REVISED_SHARE:
            index += int(rng.integers(self.hard_percent)) - index % 100
        return index

    def families(self, scene: Scene, index: int, step: int) -> list[str]:
        """Families that may be asked about training scene ``index``."""
        exposed = index % 100 < self.hard_percent and step < self.specialise_from
        return [name for name in families_of(scene) if exposed or FAMILIES[name].easy]


@dataclass(frozen=True)
class Wording:
    """How a family of models writes a sequence, in token ids."""

    words: dict[str, int]
    num_tokens: int
    """Of the whole vocabulary."""
    picture: list[int]
    """What stands for a picture, and around it."""
    assistant: int
    end: int


@dataclass(frozen=True)
class Batch:
    """Tensors of one step; b pictures, t tokens, q questions."""

    pixels: torch.Tensor  # [b, 3, side, side], -1..1
    cells: torch.Tensor  # [b, c, vocabulary], shares of the words that each cell says
    ids: torch.Tensor  # [b, t]
    segments: torch.Tensor  # [b, t], 0 picture, -1 padding
    positions: torch.Tensor  # [b, t]
    targets: torch.Tensor  # [b, t], the next token of a response, -100 elsewhere
    weights: torch.Tensor  # [b, t]
    owners: torch.Tensor  # [b, t], index into families, -1 elsewhere
    families: list[str]  # [q]


@dataclass(frozen=True)
class Lesson:
    """One picture, what is asked about it, and the words that each of its cells should say."""

    picture: np.ndarray
    questions: list[Question]
    said: list[tuple[str, ...]]


def training_batch(wording: Wording, diet: Diet, seed: int, step: int, num_images: int) -> Batch:
    """The batch of one step: a pure function of its arguments."""
    rng = np.random.default_rng((seed, step))
    lessons: list[Lesson] = []
    while len(lessons) < num_images:
        lesson = _training_lesson(diet, step, rng)
        if lesson and lesson.questions:
            lessons.append(bare(lesson) if step >= diet.bare_from else lesson)
    return pack(wording, lessons)


def bare(lesson: Lesson) -> Lesson:
    """The same questions with answers only."""
    return replace(lesson, questions=[replace(question, rationale="") for question in lesson.questions])


def words_of_cells(scene: Scene) -> list[tuple[str, ...]]:
    """What the image token of each cell should say: all that is known of its mark, and its rank among them."""
    said: list[tuple[str, ...]] = [("none",)] * (GRID * GRID)
    for rank, mark in zip(ORDINALS, scene.marks, strict=False):
        number = str(mark.col + 1) if mark.shape else str(mark.value)
        words = (mark.label, number, mark.series, mark.colour, mark.shape, mark.size, rank)
        said[mark.row * GRID + mark.col] = tuple(dict.fromkeys(word for word in words if word))
    return said


def _training_lesson(diet: Diet, step: int, rng: np.random.Generator) -> Lesson | None:
    index = diet.scene_index(step, rng)
    scene_rng = np.random.default_rng((TRAIN_SEED, index))
    kind = _kind(float(scene_rng.random()))
    if step >= diet.focus_from and rng.random() >= FOCUS.get(kind, 1.0):
        return None
    if kind == "easy_vqa":
        by_image = _vqa_by_image()
        image_id = sorted(by_image)[index % len(by_image)]
        asked = by_image[image_id]
        chosen = rng.permutation(len(asked))[:QUESTIONS_PER_IMAGE].tolist()
        said = tuple(max((question.rationale for question in asked), key=len).split())
        return Lesson(np.asarray(easy_vqa.open_image(image_id)), [asked[i] for i in chosen], [said] * (GRID * GRID))
    scene = new_scene(Split.TRAIN, kind, scene_rng)
    names = diet.families(scene, index, step)
    if step >= diet.drill_from:
        names = [name for name in names if name not in MASTERED or rng.random() < MASTERED_WEIGHT]
    drawn = [ask(scene, names[int(rng.integers(len(names)))], rng) for _ in range(QUESTIONS_PER_IMAGE) if names]
    asked = [question for question in drawn if question is not None]
    return Lesson(np.asarray(draw(scene)), list(dict.fromkeys(asked)), words_of_cells(scene))


def _kind(chance: float) -> str:
    total, names = sum(KIND_WEIGHTS.values()), list(KIND_WEIGHTS)
    edges = np.cumsum(list(KIND_WEIGHTS.values())) / total
    return names[min(int(np.searchsorted(edges, chance, side="right")), len(names) - 1)]


@lru_cache(maxsize=1)
def _vqa_by_image() -> dict[int, list[Question]]:
    by_image: dict[int, list[Question]] = {}
    for drawn in easy_vqa.train_questions():
        by_image.setdefault(drawn.image_id, []).append(drawn.question)
    return by_image


def pack(wording: Wording, lessons: list[Lesson]) -> Batch:
    """Packs pictures and their questions as the module's head says."""
    families: list[str] = []
    rows = [_pack_row(wording, lesson.questions, families) for lesson in lessons]
    length = max(len(row[0]) for row in rows)
    blanks = (0, -1, 0, -100, 0.0, -1)
    ids, segments, positions, targets, weights, owners = (
        torch.tensor([[*row[part], *[blank] * (length - len(row[part]))] for row in rows])
        for part, blank in enumerate(blanks)
    )
    pixels = torch.from_numpy(np.stack([lesson.picture for lesson in lessons])).permute(0, 3, 1, 2).float()
    cells = torch.zeros(len(lessons), GRID * GRID, wording.num_tokens)
    for image, lesson in enumerate(lessons):
        for cell, words in enumerate(lesson.said):
            for word in words:
                cells[image, cell, wording.words[word]] = 1 / len(words)
    return Batch(pixels / 127.5 - 1.0, cells, ids, segments, positions, targets, weights, owners, families)


def _pack_row(
    wording: Wording, asked: list[Question], families: list[str]
) -> tuple[list[int], list[int], list[int], list[int], list[float], list[int]]:
    num = len(wording.picture)
    ids, segments, positions = list(wording.picture), [0] * num, list(range(num))
    targets, weights, owners = [-100] * num, [0.0] * num, [-1] * num
    for segment, question in enumerate(asked, start=1):
        prompt = [*(wording.words[word] for word in question.text.split()), wording.assistant]
        response = [*(wording.words[word] for word in question.response.split()), wording.end]
        tokens = [*prompt, *response[:-1]]
        ids += tokens
        segments += [segment] * len(tokens)
        positions += range(num, num + len(tokens))
        targets += [-100] * (len(prompt) - 1) + response
        weights += [0.0] * (len(prompt) - 1) + [1.0] * (len(response) - 2) + [ANSWER_WEIGHT, 1.0]
        owners += [-1] * (len(prompt) - 1) + [len(families)] * len(response)
        families.append(question.family)
    return ids, segments, positions, targets, weights, owners
