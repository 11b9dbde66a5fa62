"""The MLflow tracker: a view of the ledger for people, written as the stages end.

    round_started  -> runs found or made, orphans closed, and whatever MLflow lacks of earlier stages written
    stage_ended    -> metrics at step=round on the round's run and on the campaign's, data sets, checkpoint, figure,
                      a table of samples; a promotion moves the alias `champion`
    round_ended    -> what the round spent, and its status

A stage that is written completely leaves a tag with its output's digest on the round's run; a stage without its tag is
written again, and each fact in it only if it is not there. So a resumed round doubles nothing, and what was lost (a
locked or full database, a kill) comes back when the next round starts. The ledger is the truth: a tracker that fails
warns once, is silent until the next round starts, and never takes a round down.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from loop.adapters.campaign_figures import accuracy_figure, delta_figure, region_figure
from loop.adapters.mlflow_book import (
    BRANCH,
    CAMPAIGN,
    COMMIT,
    CREATED,
    DIRTY,
    GIT_DIRTY,
    PARENT,
    PROCESS,
    ROUND,
    MlflowBook,
    Point,
    flat,
    is_alive,
)
from loop.adapters.mlflow_registry import crown
from loop.adapters.mlflow_samples import write_samples
from loop.adapters.mlflow_system import SystemMetrics
from loop.ports import Blobs, Checkpoints, Ledger
from loop.summary import OUTPUTS, metrics_of, reader, totals_of
from store.records import (
    Filled,
    Report,
    RoundRow,
    Scores,
    StageRow,
    Status,
    Trained,
    TrainedStep,
    TrainingSet,
    Verdict,
    digest_of,
)

log = logging.getLogger(__name__)

ENDS = {Status.COMPLETED: "FINISHED", Status.FAILED: "FAILED", Status.STOPPED: "KILLED"}
"""MLflow's word for each of our ends."""
WRITTEN = "deltaloop.written."
"""Tag of a round's run, per stage: the digest of the output that is written completely."""


def _numbers(step: TrainedStep) -> dict[str, float]:
    """A logged step by name; the divergence by quarter of the responses, from 1."""
    numbers = {name: value for name, value in asdict(step).items() if name not in ("step", "divergence_quarters")}
    return numbers | {f"divergence_{quarter}": value for quarter, value in enumerate(step.divergence_quarters, 1)}


class NullTracker:
    """Tracks nothing."""

    def round_started(self, campaign: str, round: int, settings: Mapping[str, object], tags: Mapping[str, str]) -> None:
        """Nothing."""

    def stage_ended(self, campaign: str, round: int, stage: str, output: object, seconds: float) -> None:
        """Nothing."""

    def round_ended(self, campaign: str, round: int, status: str) -> None:
        """Nothing."""

    def campaign_ended(self, campaign: str, status: str) -> None:
        """Nothing."""


class MlflowTracker:
    """Writes the ledger's facts to `<home>/mlflow.db`; see the module docstring."""

    def __init__(
        self, home: Path, ledger: Ledger, blobs: Blobs, checkpoints: Checkpoints, *, system_metrics: bool = False
    ) -> None:
        """Opens nothing yet: MLflow is imported when the first round starts."""
        self._home = home
        self._ledger = ledger
        self._checkpoints = checkpoints
        self._blobs = blobs
        self._read = reader(blobs)
        self._book: MlflowBook | None = None
        self._measures_system = system_metrics
        self._system: SystemMetrics | None = None
        self._is_down = False
        self._settled: set[tuple[str, int]] = set()
        self._runs: dict[tuple[str, int | None], str] = {}
        """Run id by (campaign, round); the campaign's own under None."""

    def round_started(self, campaign: str, round: int, settings: Mapping[str, object], tags: Mapping[str, str]) -> None:
        """Open the runs. `settings` and `tags` are read from the ledger's round, which lacks the branch only."""
        self._is_down = False
        self._runs.clear()  # people delete runs; a new one is made then
        self._attempt(lambda: self._start(campaign, round, tags.get("branch", "")))

    def stage_ended(self, campaign: str, round: int, stage: str, output: object, seconds: float) -> None:
        """Write a stage's numbers, data set, checkpoint and figure."""
        self._attempt(lambda: self._write_stage(campaign, round, stage, output))

    def round_ended(self, campaign: str, round: int, status: str) -> None:
        """Write what the round spent, and end its run."""
        if self._system is not None:
            self._system.stop()
        self._attempt(lambda: self._settle(campaign, round))

    def campaign_ended(self, campaign: str, status: str) -> None:
        """Write what is missing, and end the campaign's run."""
        self._is_down = False
        self._attempt(lambda: self._finish(campaign, Status(status)))

    def _attempt(self, action: Callable[[], None]) -> None:
        if self._is_down:
            return
        try:
            action()
        except Exception as error:
            self._is_down = True
            log.warning(
                "MLflow (%s) is not written until the next round starts: %s: %s; the ledger has everything",
                self._home / "mlflow.db",
                type(error).__name__,
                str(error).partition("\n")[0],
            )

    # what the four calls do; any of it may raise
    def _start(self, campaign: str, round: int, branch: str) -> None:
        book = self._open()
        self._close_orphans(campaign)
        self._catch_up(campaign)
        for run in (self._campaign_run(campaign), self._round_run(campaign, round)):
            book.reopen(run)
            if branch:
                book.tag(run, {BRANCH: branch})
        if self._measures_system:
            self._system = self._system or SystemMetrics(book.uri)
            self._system.follow(self._round_run(campaign, round))

    def _finish(self, campaign: str, status: Status) -> None:
        book = self._open()
        self._catch_up(campaign)
        book.end(self._campaign_run(campaign), ENDS.get(status, "KILLED"))

    def _catch_up(self, campaign: str) -> None:
        """Write every finished stage and round that MLflow lacks."""
        for row in self._ledger.rounds(campaign):
            if (campaign, row.index) in self._settled:
                continue
            self._describe(campaign, row)
            written = self._open().tags(self._round_run(campaign, row.index))
            for stage in row.stages:
                if stage.status is not Status.COMPLETED or written.get(WRITTEN + stage.name) == stage.output:
                    continue
                if (output := self._find_output(stage)) is not None:
                    self._write_stage(campaign, row.index, stage.name, output)
            if row.status in ENDS:
                self._settle(campaign, row.index)

    def _describe(self, campaign: str, row: RoundRow) -> None:
        """Settings and code of a round; the campaign's run shows those of its first round and its last code."""
        book = self._open()
        params = flat(json.loads(row.settings))
        for run in (self._campaign_run(campaign), self._round_run(campaign, row.index)):
            book.params(run, params)
            dirty = str(row.dirty).lower()
            book.tag(run, {COMMIT: row.commit, DIRTY: dirty, GIT_DIRTY: dirty})

    def _settle(self, campaign: str, round: int) -> None:
        row = self._ledger.find_round(campaign, round)
        if row is None or row.status not in ENDS:
            return
        run = self._round_run(campaign, round)
        if row.status is Status.COMPLETED:
            outputs = {stage.name: self._find_output(stage) for stage in row.stages}
            self._write_numbers(campaign, round, totals_of(outputs) | {"seconds/round": row.seconds})
            self._settled.add((campaign, round))
        self._open().end(run, ENDS[row.status])

    def _write_stage(self, campaign: str, round: int, stage: str, output: Any) -> None:
        book, run = self._open(), self._round_run(campaign, round)
        row = self._ledger.find_stage(campaign, round, stage)
        numbers = metrics_of(stage, output)
        if row is not None:
            numbers[f"seconds/{stage}"] = row.seconds
        model = None
        match output:
            case Filled():
                self._write_dataset(campaign, round, output.pool, output.digest, "pool", output.prompts)
            case TrainingSet():
                name = f"{campaign}-round-{round}"
                self._write_dataset(campaign, round, name, output.digest, "training", len(output.prompts))
            case Trained() if output.history:
                model = self._write_training(campaign, round, output)
            case Report():
                for suite in output.suites:
                    if ids := suite.prompt_ids:  # a harness may keep its questions to itself
                        self._write_dataset(campaign, round, suite.suite, digest_of(ids), "held-out", len(ids))
            case Scores():
                write_samples(book, run, round, output.scores, self._ledger, self._blobs)
            case Verdict() if output.promoted:
                self._crown(campaign, round, output)
        if stage == "evaluate":
            numbers |= self._teacher_accuracy(campaign)  # again in every round: the line to compare with
            model = book.find_model(run, output.version)
        self._write_numbers(campaign, round, numbers, model=model)
        self._draw(campaign, round, stage)
        if row is not None and row.output is not None:
            book.tag(run, {WRITTEN + stage: row.output})

    def _write_numbers(
        self, campaign: str, round: int, numbers: Mapping[str, float], *, model: str | None = None
    ) -> None:
        points = [Point(key, value, round) for key, value in numbers.items()]
        self._open().points(self._campaign_run(campaign), points)
        self._open().points(self._round_run(campaign, round), points, model=model)

    def _write_dataset(self, campaign: str, round: int, name: str, digest: str, context: str, rows: int) -> None:
        source = json.dumps({"uri": str((self._home / "ledger.db").resolve())})
        profile = json.dumps({"num_rows": rows})
        run = self._round_run(campaign, round)
        self._open().dataset(run, name, digest, context=context, source=source, profile=profile)

    def _write_training(self, campaign: str, round: int, trained: Trained) -> str:
        book, run = self._open(), self._round_run(campaign, round)
        book.points(
            run,
            [
                Point(f"train/{name}", value, step.step)
                for step in trained.history
                for name, value in _numbers(step).items()
                if math.isfinite(value)
            ],
        )
        tags = {CAMPAIGN: campaign, ROUND: str(round), "deltaloop.parent": trained.version.parent or ""}
        try:
            folder = self._checkpoints.path(trained.version.id)
        except KeyError:  # removed since: what is known of it is still worth showing
            folder = None
        return book.model(run, trained.version.id, folder, step=round, tags=tags)

    def _crown(self, campaign: str, round: int, verdict: Verdict) -> None:
        book, run = self._open(), self._round_run(campaign, round)
        model = book.find_model(run, verdict.student.id)
        if model is not None:
            crown(book.client, campaign, self._created(campaign), round, model, run)

    def _draw(self, campaign: str, round: int, stage: str) -> None:
        """The figure that a stage completes. One that cannot be drawn is missed, and no reason to stop tracking."""
        try:
            path, run, png = "", self._round_run(campaign, round), None
            row = self._ledger.find_round(campaign, round)
            if stage == "score" and row is not None:
                path, png = "figures/delta_histogram.png", delta_figure([row], self._read)
            elif stage == "target" and row is not None:
                path, png = "figures/region_map.png", region_figure(row, self._ledger, self._read)
            elif stage == "judge":
                path, run = "figures/accuracy.png", self._campaign_run(campaign)
                png = accuracy_figure(self._ledger.rounds(campaign), self._read)
        except Exception as error:
            log.warning("no figure of stage `%s`, round %d: %s: %s", stage, round, type(error).__name__, error)
            return
        if png is not None:
            self._open().file(run, path, png)

    def _teacher_accuracy(self, campaign: str) -> dict[str, float]:
        stage = self._ledger.find_stage(campaign, 0, "baseline_teacher")
        report = self._find_output(stage) if stage is not None else None
        return metrics_of("baseline_teacher", report) if report is not None else {}

    def _find_output(self, stage: StageRow) -> Any:
        """The output of a stage; None if it has none, or one that cannot be read: it must not hold up the others."""
        if stage.status is not Status.COMPLETED or stage.name not in OUTPUTS:
            return None
        try:
            return self._read(stage)
        except (KeyError, OSError, ValueError) as error:
            log.warning("stage `%s` is missing in MLflow: its output cannot be read: %s", stage.name, error)
            return None

    def _close_orphans(self, campaign: str) -> None:
        """End the runs that a killed process left running: MLflow would show them as running for ever."""
        book, own = self._open(), self._campaign_run(campaign)
        for run in book.running():
            tags = run.data.tags
            if run.info.run_id == own or tags.get(PARENT) == own:
                continue  # the ledger's word on these follows, in `_catch_up`
            status = self._end_of(tags)
            if status or not is_alive(tags.get(PROCESS, "")):
                book.end(run.info.run_id, status or "KILLED")

    def _end_of(self, tags: Mapping[str, str]) -> str | None:
        """How the ledger says that a run's campaign or round ended; None if it does not know, or it still runs."""
        row = self._ledger.find_campaign(tags.get(CAMPAIGN, ""))
        if row is None or row.created != tags.get(CREATED):
            return None
        if ROUND not in tags:
            return ENDS.get(row.status)
        round = self._ledger.find_round(row.name, int(tags[ROUND]))
        return ENDS.get(round.status) if round is not None else None

    def _open(self) -> MlflowBook:
        if self._book is None:
            self._book = MlflowBook(self._home)
        return self._book

    def _campaign_run(self, campaign: str) -> str:
        if (campaign, None) not in self._runs:
            self._runs[campaign, None] = self._open().campaign_run(campaign, self._created(campaign))
        return self._runs[campaign, None]

    def _round_run(self, campaign: str, round: int) -> str:
        if (campaign, round) not in self._runs:
            parent = self._campaign_run(campaign)
            self._runs[campaign, round] = self._open().round_run(parent, campaign, self._created(campaign), round)
        return self._runs[campaign, round]

    def _created(self, campaign: str) -> str:
        row = self._ledger.find_campaign(campaign)
        return row.created if row is not None else ""
