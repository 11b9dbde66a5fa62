"""Where held-out questions come from: the embedded world or a JSONL file.

    EmbeddedHeldOut   chart, document, perception, unseen, easy_vqa: fixed by a seed; easy_vqa_whole: the official test
    FileHeldOut       {"suite", "metric", "question", "images", "answers"} a line; SUITE_whole where a suite is larger

Both give a suite's name, its metric and its questions; `whole` ones stand for suites that a round takes a subsample of.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from loop.adapters.cells import Pictures
from loop.adapters.columns import read_row
from loop.adapters.images import to_png
from loop.adapters.jsonl import Refused, read_entries
from loop.adapters.prompt_source import check
from loop.adapters.sources import world_prompt
from loop.intake import Columns
from loop.metrics import METRICS
from loop.paths import EMBEDDED
from loop.ports import WHOLE
from loop.world import easy_vqa
from loop.world.sets import SUITES, suite_items
from store.errors import UsageError
from store.records import HeldOutQuestion, Origin, derive_seed

if TYPE_CHECKING:
    from loop.config import Evaluation
    from loop.ports import Blobs
    from loop.world.questions import Question
    from loop.world.scenes import Scene

BY_DOMAIN = "by_domain"
"""The metric of a suite of several domains: each question is scored in its own domain's."""
METRIC_BY_DOMAIN = {"chart": "relaxed_accuracy", "document": "anls", "perception": "exact_match"}
METRIC_BY_SUITE = METRIC_BY_DOMAIN | {"easy_vqa": "exact_match", "easy_vqa_whole": "exact_match", "unseen": BY_DOMAIN}


class HeldOut(Protocol):
    """Named suites of held-out questions."""

    def whole(self, suite: str) -> str:
        """The name of the whole suite, where a round takes a subsample of it; its own name otherwise."""
        ...

    def metric(self, suite: str) -> str:
        """A key of `loop.metrics.METRICS`, or `BY_DOMAIN`."""
        ...

    def size(self, suite: str) -> int:
        """How many questions it has."""
        ...

    def questions(self, suite: str, *, store: Blobs | None = None) -> Iterator[HeldOutQuestion]:
        """The suite's questions, always the same ones in the same order.

        The images of a yielded question are in `store`, or else among the campaign's blobs.
        """
        ...


class EmbeddedHeldOut:
    """Scenes over tables that no pool has, and the official test of easy-vqa."""

    def __init__(self, settings: Evaluation, blobs: Blobs) -> None:
        self._settings = settings
        self._blobs = blobs
        unknown = [suite for suite in (*settings.main, *settings.beside) if suite not in SUITES]
        if unknown:
            raise UsageError(
                f"`evaluation.main` and `.beside`: no suite {unknown[0]!r}; the embedded ones are {SUITES}"
            )

    def whole(self, suite: str) -> str:
        """Only easy-vqa is larger than a round's share of it."""
        return suite + WHOLE if suite == "easy_vqa" else suite

    def metric(self, suite: str) -> str:
        """See `METRIC_BY_SUITE`."""
        return METRIC_BY_SUITE[suite]

    def size(self, suite: str) -> int:
        """How many questions the suite has."""
        num_test = len(easy_vqa.test_questions())
        if suite.endswith(WHOLE):
            return num_test
        return min(self._settings.questions, num_test) if suite == "easy_vqa" else self._settings.questions

    def questions(self, suite: str, *, store: Blobs | None = None) -> Iterator[HeldOutQuestion]:
        """Balanced over families; a suite is a function of the evaluation seed and the number of questions alone."""
        blobs = store or self._blobs
        if suite.endswith(WHOLE):
            yield from _official_test(blobs)
            return
        rng = np.random.default_rng(derive_seed("suite", suite, self._settings.seed))
        for item in suite_items(suite, self.size(suite), rng):
            yield _held_out(item.question, item.scene, blobs.put(to_png(item.image)))


class FileHeldOut:
    """Suites from one JSONL file, read at first use. A bad line is refused: a suite must not shrink silently."""

    def __init__(self, settings: Evaluation, blobs: Blobs) -> None:
        self._settings = settings
        self._blobs = blobs
        self._path = _existing(settings.source)

    def whole(self, suite: str) -> str:
        """A suite of more questions than a round takes has a whole."""
        return suite + WHOLE if len(self._suite(suite)) > self._settings.questions else suite

    def metric(self, suite: str) -> str:
        """As the file says."""
        self._suite(suite)
        return self._read[1][suite.removesuffix(WHOLE)]

    def size(self, suite: str) -> int:
        """How many questions the suite, or a round's share of it, has."""
        num = len(self._suite(suite))
        return num if suite.endswith(WHOLE) else min(num, self._settings.questions)

    def questions(self, suite: str, *, store: Blobs | None = None) -> Iterator[HeldOutQuestion]:
        """All of a whole suite in the file's order; of others a subsample fixed by the evaluation seed."""
        rows = self._suite(suite)
        rng = np.random.default_rng(derive_seed("suite", suite, self._settings.seed))
        order = sorted(rng.permutation(len(rows))[: self.size(suite)].tolist())
        yield from (rows[index] for index in order)

    def _suite(self, suite: str) -> list[HeldOutQuestion]:
        suites = self._read[0]
        found = suites.get(suite.removesuffix(WHOLE))
        if found is None:
            names = ", ".join(sorted(suites)) or "none"
            raise UsageError(f"`evaluation.source` = {str(self._path)!r} has no suite {suite!r}; it has {names}")
        return found

    @cached_property
    def _read(self) -> tuple[dict[str, list[HeldOutQuestion]], dict[str, str]]:
        """Questions and metric of each suite."""
        suites: dict[str, list[HeldOutQuestion]] = {}
        metrics: dict[str, str] = {}
        pictures = Pictures(self._path.parent)
        for number, entry in read_entries(self._path):
            try:
                if isinstance(entry, Refused):
                    raise entry
                suite, metric, references = _suite_keys(entry)
                if metrics.setdefault(suite, metric) != metric:
                    raise Refused(f"suite {suite!r} is scored by {metrics[suite]!r} already, not by {metric!r}")
                checked = check(read_row(entry, Columns()), pictures)
                prompt = checked.prompt(self._blobs.put_all(checked.images), Origin.HELD_OUT)
            except Refused as reason:
                raise UsageError(
                    f"`evaluation.source`: {self._path}:{number}: {reason}; correct or remove the line"
                ) from None
            suites.setdefault(suite, []).append(HeldOutQuestion(prompt, references))
        return suites, metrics


def _existing(value: str) -> Path:
    """The JSONL file that the setting names. UsageError with the key, the value and the remedy if it is none."""
    path, key = Path(value).expanduser(), "`evaluation.source`"
    if path.suffix != ".jsonl":
        raise UsageError(f"{key} = {value!r} is neither `{EMBEDDED}` nor a .jsonl file; name one of the two")
    if not path.is_file():
        raise UsageError(f"{key} = {value!r}: there is no such file; correct the path, or use `{EMBEDDED}`")
    if not os.access(path, os.R_OK):
        raise UsageError(f"{key} = {value!r} cannot be read; change its permissions, or name another file")
    return path


def _official_test(blobs: Blobs) -> Iterator[HeldOutQuestion]:
    """Ten questions share a picture: each picture is opened and encoded once."""
    images: dict[int, str] = {}
    for drawn in easy_vqa.test_questions():
        if drawn.image_id not in images:
            images[drawn.image_id] = blobs.put(to_png(easy_vqa.open_image(drawn.image_id, test=True)))
        yield _held_out(drawn.question, None, images[drawn.image_id])


def _held_out(question: Question, scene: Scene | None, image: str) -> HeldOutQuestion:
    return HeldOutQuestion(world_prompt(question, scene, image, Origin.HELD_OUT), (question.answer,))


def _suite_keys(entry: dict[str, Any]) -> tuple[str, str, tuple[str, ...]]:
    suite, metric, answers = entry.get("suite"), entry.get("metric"), entry.get("answers")
    if not isinstance(suite, str) or not suite or suite.endswith(WHOLE):
        raise Refused(f"`suite` must be a name that does not end in {WHOLE!r}")
    if not isinstance(metric, str) or metric not in METRICS:
        raise Refused(f"`metric` must be one of {', '.join(sorted(METRICS))}, not {metric!r}")
    if not isinstance(answers, list) or not answers or not all(isinstance(answer, str) for answer in answers):
        raise Refused("`answers` must be a list of at least one text")
    return suite, metric, tuple(answers)


def open_held_out(settings: Evaluation, blobs: Blobs) -> HeldOut:
    """The suites that a campaign evaluates on. UsageError if it names none."""
    return EmbeddedHeldOut(settings, blobs) if settings.source == EMBEDDED else FileHeldOut(settings, blobs)
