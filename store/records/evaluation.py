"""How a version does on held-out suites, and whether it is kept."""

from __future__ import annotations

from dataclasses import dataclass

from store.records.rollouts import Version


@dataclass(frozen=True)
class HarnessScore:
    """One metric of a harness's task, over all its questions."""

    metric: str
    """As the harness names it."""
    value: float
    """On the harness's own scale."""
    stderr: float | None
    """None where the harness gives none."""


@dataclass(frozen=True)
class HarnessResult:
    """What an evaluation harness says of a version on one of its tasks."""

    harness: str
    harness_version: str
    scores: tuple[HarnessScore, ...]
    """At least one, in the harness's order."""
    samples: str
    """Blob digest of the questions, responses and scores, one JSON object a line."""


@dataclass(frozen=True)
class SuiteReport:
    """One version's result on one suite: a score per question, in the suite's own metric.

    A harness's task may score no single question; then the four tuples are empty.
    """

    suite: str
    metric: str
    prompt_ids: tuple[str, ...]
    values: tuple[float, ...]
    """Score of each question in [0, 1], aligned with `prompt_ids`."""
    families: tuple[str, ...]
    """Family of each question, '' where unknown; aligned with `prompt_ids`."""
    harness: HarnessResult | None = None
    """If the suite is a task of another harness: what that one says."""

    @property
    def accuracy(self) -> float:
        """Mean score; where a harness scores no single question, the first of its scores."""
        if self.values:
            return sum(self.values) / len(self.values)
        return self.harness.scores[0].value if self.harness else 0.0


@dataclass(frozen=True)
class Report:
    """Output of an evaluate stage: all suites for one version."""

    version: str
    suites: tuple[SuiteReport, ...]
    mean_over: tuple[str, ...]
    """Names of the suites whose unweighted mean is `mean`; other suites are shown beside it."""

    @property
    def mean(self) -> float:
        """Unweighted mean of the main suites' accuracies."""
        main = [suite.accuracy for suite in self.suites if suite.suite in self.mean_over]
        return sum(main) / len(main) if main else 0.0

    def by_suite(self) -> dict[str, float]:
        """Accuracy per suite, and their `mean`."""
        return {suite.suite: suite.accuracy for suite in self.suites} | {"mean": self.mean}


@dataclass(frozen=True)
class Verdict:
    """Output of the judge stage, and of a round."""

    promoted: bool
    student: Version
    """The student that the next round starts from."""
    gain: float
    """Paired mean difference candidate - student over the main suites."""
    low: float
    high: float
    stop: bool
    reason: str
