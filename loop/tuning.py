"""Trials of budgets: each is a campaign in a fork of one prepared home, so that none pays for what all share.

    <home>/tune/NAME/base/            the baselines, and the pool as both models answer it: paid for once
    <home>/tune/NAME/trial-7-seed-0/  a fork of it, in which trial 7 runs with the campaign's seed
    <home>/optuna.db                  the study: what was tried, and what it was worth

A trial's tokens are what it would have spent on its own: those of the shared samples that it read are counted, though
they are not drawn again. Otherwise a trial with more samples per prompt would look as cheap as one with fewer.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from loop.config import CampaignSettings
from loop.delta_report import measure
from loop.ports import Blobs, Ledger, Ports, Progress
from loop.rollouts import sampling_key
from loop.stages import recorded
from loop.summary import outputs_of, reader, spent_of
from loop.tune_settings import Space, Value
from policies.tuning import Worth
from store.files import write_whole
from store.records import Report, RoundRow, Score, Scores, Spent, Status, Verdict, Version

if TYPE_CHECKING:
    from loop.bootstrap import Home

READY = "ready.json"
"""In the base, once it is whole."""
LONGEST_NAME = 50


class Pruned(BaseException):
    """The trial is not worth finishing. Like an interruption it leaves a campaign stopped, not failed."""


@dataclass(frozen=True)
class Task:
    """One seed of one trial."""

    settings: CampaignSettings
    """The campaign's, with the trial's budget and this seed."""
    home: Path
    """Its own; made if absent, gone on with if not."""
    base: Path


@dataclass(frozen=True)
class Tried:
    """A trial, as a report shows it."""

    number: int
    """Of its first attempt: a retry goes on with it."""
    state: str
    params: Mapping[str, Value]
    worth: Worth | None
    reason: str
    """Why it failed."""


def trial_settings(settings: CampaignSettings, seed: int = 0) -> CampaignSettings:
    """What all trials have in common: suites beside the main ones are not asked, and MLflow shows the study instead."""
    update = {
        "name": f"{settings.name[:LONGEST_NAME]}-trial",
        "seed": settings.seed + seed,
        "evaluation": settings.evaluation.model_copy(update={"beside": ()}),
        "tracking": settings.tracking.model_copy(update={"mlflow": False}),
    }
    return settings.model_copy(update=update)


def prepare_base(settings: CampaignSettings, space: Space, place: Home, base: Path, progress: Progress) -> int:
    """Make the home that trials fork from, unless it is there; returns how many samples it drew, all trials' share.

    The pool is sampled as often as any trial may ask for.
    """
    from loop.bootstrap import make_ports, open_home
    from loop.campaign import run_campaign
    from store.forking import fork

    fork(place.ledger, place.paths.home, base)
    ready = base / READY
    if ready.exists():
        return int(json.loads(ready.read_text(encoding="utf-8"))["samples"])
    most = {
        key: max(int(end) for end in (getattr(settings.scoring, key), *_ends(space, f"scoring.{key}")))
        for key in ("teacher_samples", "student_samples")
    }
    common = trial_settings(settings)
    name = f"{settings.name[:LONGEST_NAME]}-base"
    common = common.model_copy(update={"name": name, "rounds": 0, "scoring": settings.scoring.model_copy(update=most)})
    opened = open_home(base)
    try:
        ports, student, teacher = make_ports(opened, common, progress)
        run_campaign(common, ports, student, teacher)
        measured = measure(common, ports, student, teacher)
    finally:
        opened.close()
    told = json.dumps({"samples": measured.samples})
    write_whole(ready, lambda path: path.write_text(told, encoding="utf-8"))
    return measured.samples


def run_trial(task: Task, told: Callable[[int, Worth], None], progress: Progress, look: Callable[[], None]) -> Worth:
    """Run, or go on with, one seed of a trial; `told` hears of every round, and may raise Pruned."""
    from loop.bootstrap import make_ports, open_home
    from loop.campaign import run_campaign
    from store.forking import fork

    base = open_home(task.base)
    try:
        fork(base.ledger, base.paths.home, task.home)
    finally:
        base.close()
    opened = open_home(task.home)
    try:
        ports, student, teacher = make_ports(opened, task.settings, progress)
        tracker = _RoundsTold(ports, task.settings.name, student, told)
        run_campaign(task.settings, replace(ports, tracker=tracker, look=look), student, teacher)
        return worth_of(ports.ledger, ports.blobs, task.settings.name, student)
    finally:
        opened.close()


def worth_of(ledger: Ledger, blobs: Blobs, campaign: str, student: Version) -> Worth:
    """What a campaign has come to in its completed rounds; `student` is the one that it began with."""
    before, kept = kept_reports(ledger, blobs, campaign)
    tokens, paid = 0, 0
    for row in _completed(ledger, campaign):
        outputs = outputs_of(row, reader(blobs))
        spent = _tokens(spent_of(outputs))
        paid += spent
        tokens += spent
        if row.index == 1:
            tokens += _shared(ledger, row.settings, outputs["score"])
    return Worth(kept.mean, _error(kept), before.mean, tokens, paid)


def kept_reports(ledger: Ledger, blobs: Blobs, campaign: str) -> tuple[Report, Report]:
    """Reports of the student that a campaign began with, and of the one that it keeps."""
    before = recorded(ledger, blobs, campaign, 0, "baseline_student", Report)
    assert before is not None, f"round 0 of {campaign} has no baseline"
    kept = before
    for row in _completed(ledger, campaign):
        verdict = recorded(ledger, blobs, campaign, row.index, "judge", Verdict)
        if verdict is not None and verdict.promoted:
            kept = recorded(ledger, blobs, campaign, row.index, "evaluate", Report) or kept
    return before, kept


def _completed(ledger: Ledger, campaign: str) -> list[RoundRow]:
    """The rounds after the preparation."""
    return [row for row in ledger.rounds(campaign) if row.index and row.status is Status.COMPLETED]


class _RoundsTold:
    """A tracker that tells what the campaign is worth after each round."""

    def __init__(self, ports: Ports, campaign: str, student: Version, told: Callable[[int, Worth], None]) -> None:
        self._ports = ports
        self._campaign = campaign
        self._student = student
        self._told = told

    def round_started(self, campaign: str, round: int, settings: Mapping[str, object], tags: Mapping[str, str]) -> None:
        """Nothing."""

    def stage_ended(self, campaign: str, round: int, stage: str, output: object, seconds: float) -> None:
        """Nothing."""

    def round_ended(self, campaign: str, round: int, status: str) -> None:
        """Tell a completed round, after the preparation."""
        if round and status == Status.COMPLETED:
            self._told(round, worth_of(self._ports.ledger, self._ports.blobs, self._campaign, self._student))

    def campaign_ended(self, campaign: str, status: str) -> None:
        """Nothing."""


def _ends(space: Space, key: str) -> tuple[Value, ...]:
    return space[key].ends() if key in space else ()


def _shared(ledger: Ledger, settings: str, scores: Scores) -> int:
    """Tokens of the samples behind the first round's scores that were there before it."""
    parsed = CampaignSettings.model_validate_json(settings)
    sampling = sampling_key(parsed.sampling, parsed.answers.settings())
    ids = [row.prompt_id for row in scores.scores]
    read = 0
    sides: tuple[tuple[str, Callable[[Score], int]], ...] = (
        (scores.student, lambda row: row.num_student),
        (scores.scores[0].teacher, lambda row: row.num_teacher),
    )
    for version, num in sides:
        held = ledger.rollouts(version, sampling, ids)
        read += sum(row.num_tokens for own in scores.scores for row in held.get(own.prompt_id, ())[: num(own)])
    return max(0, read - _tokens(scores.spent))


def _tokens(spent: Spent) -> int:
    return spent.teacher_tokens + spent.student_tokens + spent.train_tokens + spent.generator_tokens


def _error(report: Report) -> float:
    """Standard error of the unweighted mean of the main suites, over their questions."""
    main = [suite.values for suite in report.suites if suite.suite in report.mean_over and suite.values]
    return math.sqrt(sum(_variance(values) / len(values) for values in main)) / max(len(main), 1)


def _variance(values: tuple[float, ...]) -> float:
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values) / max(len(values) - 1, 1)
