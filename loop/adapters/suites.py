"""The evaluator: a version's greedy answers to fixed suites, each scored in its own metric.

    suite -> questions (held_out.py) -> batches -> sampler at temperature 0 -> answer -> metric -> SuiteReport

Questions stream: of a whole test only ids and scores are kept. The same object tells what must not be trained on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import chain, islice
from typing import TYPE_CHECKING

from loop.adapters.aside import Aside
from loop.adapters.held_out import BY_DOMAIN, METRIC_BY_DOMAIN, open_held_out
from loop.adapters.images import HeldOutGuard
from loop.metrics import METRICS
from loop.ports import SamplingJob
from policies.answers import extract
from store.records import HeldOutQuestion, Prompt, SuiteReport, Version

if TYPE_CHECKING:
    from loop.config import Evaluation, Sampling
    from loop.ports import Blobs, Progress, Sampler, Samplers


class SuiteEvaluator:
    """Implements `loop.ports.Evaluator` over the suites that the evaluation settings name."""

    def __init__(
        self, samplers: Samplers, blobs: Blobs, *, sampling: Sampling, evaluation: Evaluation, image_distance: int
    ) -> None:
        self._samplers = samplers
        self._blobs = blobs
        self._sampling = sampling.model_copy(update={"temperature": 0.0, "batch": evaluation.batch})
        self._evaluation = evaluation
        self._image_distance = image_distance
        self._held_out = open_held_out(evaluation, blobs)
        self._kept: dict[str, tuple[HeldOutQuestion, ...]] = {}

    def suites(self, *, whole: bool) -> tuple[str, ...]:
        """The main suites, then those beside them; `whole` puts `NAME_whole` where a round takes a subsample."""
        names = (*self._evaluation.main, *self._evaluation.beside)
        return tuple(self._held_out.whole(name) for name in names) if whole else names

    def size(self, suite: str) -> int:
        """How many questions a suite has."""
        return self._held_out.size(suite)

    def contaminated(self, prompt: Prompt) -> str | None:
        """The id of the held-out question, of any suite and of the whole ones, that a prompt repeats; or None."""
        return self._guard.contaminates(prompt)

    def evaluate(self, version: Version, suite: str, progress: Progress) -> SuiteReport:
        """Answer a suite greedily, in batches that depend on the suite alone, and score it in its own metric."""
        sampler, metric = self._samplers.open(version), self._held_out.metric(suite)
        ids: list[str] = []
        values: list[float] = []
        families: list[str] = []
        questions = self.questions(suite)
        with progress.bar(f"{suite} ({version.role})", self._held_out.size(suite)) as advance:
            while batch := list(islice(questions, self._sampling.batch)):
                answers = self._answers(sampler, [row.prompt for row in batch])
                ids += [row.prompt.id for row in batch]
                values += [_value(metric, row, answers[row.prompt.id]) for row in batch]
                families += [row.prompt.attributes.get("family", "") for row in batch]
                advance(len(batch))
        return SuiteReport(suite, metric, tuple(ids), tuple(values), tuple(families))

    def _answers(self, sampler: Sampler, prompts: Sequence[Prompt]) -> dict[str, str | None]:
        """By prompt id; a truncated response has no answer."""
        unique = list({prompt.id: prompt for prompt in prompts}.values())
        chunks = sampler.sample(SamplingJob(unique, 1, self._evaluation.seed, self._sampling))
        pattern = self._sampling.answer_pattern
        return {
            sample.prompt_id: None if sample.truncated else extract(sample.text, pattern)
            for chunk in chunks
            for sample in chunk
        }

    def questions(self, suite: str) -> Iterator[HeldOutQuestion]:
        """A round's suites are drawn once and kept: several versions answer them. Whole ones stream.

        No row names their pictures, which `store.garbage` therefore removes where nobody has stored them for a week:
        a service asks the same suites for longer. What is missing is drawn, or read, anew.
        """
        if suite not in self.suites(whole=False):
            return open_held_out(self._evaluation, self._blobs).questions(suite)
        if suite in self._kept and not self._renewed(self._kept[suite]):
            self._held_out = open_held_out(self._evaluation, self._blobs)
            del self._kept[suite]
        if suite not in self._kept:
            self._kept[suite] = tuple(self._held_out.questions(suite))
        return iter(self._kept[suite])

    def _renewed(self, rows: Sequence[HeldOutQuestion]) -> bool:
        """Whether the pictures are all there; they are then as new as if stored now."""
        try:
            for image in {image for row in rows for image in row.prompt.images}:
                self._blobs.put(self._blobs.get(image))
        except KeyError:
            return False
        return True

    @cached_property
    def _guard(self) -> HeldOutGuard:
        """Of whole suites the pictures are looked at and not written: most runs never sample on them."""
        usual, aside = self.suites(whole=False), Aside(self._blobs)
        whole = [name for name in self.suites(whole=True) if name not in usual]
        rows = chain(
            (row for name in usual for row in self.questions(name)),
            (row for name in whole for row in self._held_out.questions(name, store=aside)),
        )
        return HeldOutGuard(rows, aside, distance=self._image_distance)


def _value(metric: str, row: HeldOutQuestion, answer: str | None) -> float:
    if answer is None:
        return 0.0
    name = METRIC_BY_DOMAIN[row.prompt.attributes["domain"]] if metric == BY_DOMAIN else metric
    return METRICS[name](answer, row.references)
