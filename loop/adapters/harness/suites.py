"""A harness's tasks as suites of the evaluator port, beside our own.

task -> the harness asks -> prompts -> sampler at temperature 0 -> the harness scores -> SuiteReport with its scores

Our own suites come first and are scored by another evaluator; `TASK_whole` is a task without the limit of a round.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from loop.adapters.harness.process import HarnessRun, Request, run_task
from loop.ports import WHOLE, SamplingJob
from policies.answers import extract
from policies.extraction import without_thinking
from store.errors import HarnessFailed
from store.records import HarnessResult, Origin, Prompt, Sample, SuiteReport, Version, digest_of

if TYPE_CHECKING:
    from loop.config import Evaluation, Sampling
    from loop.ports import Blobs, Evaluator, Progress, Sampler, Samplers

IMAGE_TOKEN = "<image>"
"""Some tasks write it where an image belongs. Here images come first, and a processor would count it as one more."""


class HarnessEvaluator:
    """Implements `loop.ports.Evaluator` over our own suites and lmms-eval's tasks."""

    def __init__(
        self,
        own: Evaluator,
        samplers: Samplers,
        blobs: Blobs,
        *,
        sampling: Sampling,
        evaluation: Evaluation,
        work_dir: Path,
    ) -> None:
        self._own = own
        self._samplers = samplers
        self._blobs = blobs
        self._sampling = sampling.model_copy(update={"temperature": 0.0, "batch": evaluation.batch})
        self._evaluation = evaluation
        self._work_dir = work_dir

    def suites(self, *, whole: bool) -> tuple[str, ...]:
        """Our own, then the tasks."""
        tasks = self._evaluation.tasks
        return (*self._own.suites(whole=whole), *(f"{task}{WHOLE}" if whole else task for task in tasks))

    def size(self, suite: str) -> int:
        """Of a task, the limit of a round: how many questions the whole has is known to the harness alone."""
        if suite.removesuffix(WHOLE) in self._evaluation.tasks:
            return self._evaluation.questions
        return self._own.size(suite)

    def contaminated(self, prompt: Prompt) -> str | None:
        """The id of the held-out question of our own suites that a prompt repeats, or None."""
        return self._own.contaminated(prompt)

    def evaluate(self, version: Version, suite: str, progress: Progress) -> SuiteReport:
        """Let a task ask the version, and score it; HarnessFailed if that is not possible."""
        task = suite.removesuffix(WHOLE)
        if task not in self._evaluation.tasks:
            return self._own.evaluate(version, suite, progress)
        sampler = self._samplers.open(version)
        run = run_task(
            task,
            lambda requests: self._answers(sampler, requests, progress, f"{suite} ({version.role})"),
            self._work_dir / "harness" / f"{version.id[:12]}-{digest_of(suite)[:12]}",
            include=Path(self._evaluation.task_files) if self._evaluation.task_files else None,
            limit=None if suite.endswith(WHOLE) else self._evaluation.questions,
            time_limit_s=self._evaluation.time_limit_s,
        )
        self._refuse_useless(task, run)
        return self._report(suite, run)

    def _answers(self, sampler: Sampler, requests: Sequence[Request], progress: Progress, label: str) -> list[str]:
        """Greedy responses, in batches that depend on the requests alone."""
        prompts = [self._prompt(request) for request in requests]
        longest = max((request.max_tokens or 0 for request in requests), default=0)
        # A student that reasons before it answers needs more room than tasks give to bare answers.
        settings = self._sampling.model_copy(update={"max_tokens": max(longest, self._sampling.max_tokens)})
        unique = list({prompt.id: prompt for prompt in prompts}.values())
        responses: dict[str, str] = {}
        with progress.bar(label, len(unique)) as advance:
            for chunk in sampler.sample(SamplingJob(unique, 1, self._evaluation.seed, settings)):
                responses |= {sample.prompt_id: self._response(sample) for sample in chunk}
                advance(len(chunk))
        return [responses[prompt.id] for prompt in prompts]

    def _prompt(self, request: Request) -> Prompt:
        images = [self._blobs.put(path.read_bytes()) for path in request.images]
        return Prompt.make(request.text.replace(IMAGE_TOKEN, "").strip(), images, Origin.HELD_OUT)

    def _response(self, sample: Sample) -> str:
        if self._evaluation.response == "text" or sample.truncated:
            return sample.text
        return extract(sample.text, self._sampling.answer_pattern) or without_thinking(sample.text).strip()

    def _refuse_useless(self, task: str, run: HarnessRun) -> None:
        if not run.scores:
            raise HarnessFailed(f"task {task!r} gives no score here, only files to hand in elsewhere; leave it out")
        if run.metric is None and task in self._evaluation.main:
            raise HarnessFailed(
                f"task {task!r} scores no single question, so that it cannot decide whether a student is promoted;"
                " take it out of evaluation.main, and leave it in evaluation.tasks"
            )

    def _report(self, suite: str, run: HarnessRun) -> SuiteReport:
        told = "".join(json.dumps(asdict(row), ensure_ascii=False, sort_keys=True) + "\n" for row in run.questions)
        samples = self._blobs.put(told.encode("utf-8", "surrogatepass"))
        result = HarnessResult(self._evaluation.harness, run.harness_version, run.scores, samples)
        if run.metric is None:
            return SuiteReport(suite, run.scores[0].metric, (), (), (), result)
        ids = tuple(row.id for row in run.questions)
        values = tuple(row.scores[run.metric] for row in run.questions)
        return SuiteReport(suite, run.metric, ids, values, ("",) * len(ids), result)
