"""The study: asks for budgets, runs them as trials, and tells what they were worth, until enough are done.

    study -> ask -> seeds of a trial, one after the other -> Worth -> tell          (this process alone asks and tells)
                    in this process, or several trials at a time in processes of their own

Killed at any moment, it goes on: trials that were running are failed and tried again, in the homes that they have.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from loop.config import CampaignSettings
from loop.tune_settings import Tune, Value, current, with_params
from loop.tuning import Pruned, Task, Tried, prepare_base, run_trial, trial_settings
from policies.tuning import Worth, may_be_best, pooled
from store.errors import DeltaloopError
from store.records import digest_of

if TYPE_CHECKING:
    from loop.bootstrap import Home
    from loop.control import Control
    from loop.ports import Progress

FAILURES = 3
"""Trials in a row that fail before the study ends: then it is not the budgets."""
PARENT_EVERY_S = 1.0


class Study(Protocol):
    """What remembers trials and proposes new ones; `loop.adapters.optuna_study` implements it.

    `ask` returns Optuna's trial, which only goes back to `tell` and `fail`.
    """

    def retry(self) -> int:
        """Fail what an ended process left running, each to be tried again; returns how many there were."""
        ...

    def waiting(self) -> bool:
        """Whether a retry waits."""
        ...

    def counted(self) -> int:
        """Trials that are done or under way; an interrupted one counts as its retry."""
        ...

    def ask(self, first: Mapping[str, Value]) -> Any:
        """The next trial; the very first one has the params `first`."""
        ...

    def tell(self, trial: Any, worth: Worth, *, pruned: bool) -> None:
        """A trial has ended."""
        ...

    def fail(self, trial: Any, reason: str) -> None:
        """A trial could not be run; it is not tried again."""
        ...

    def trials(self) -> tuple[Tried, ...]:
        """All that ran, in order; an interrupted one as its retry."""
        ...

    def importances(self) -> dict[str, float]:
        """Share of the variance that each param explains; empty if unknown."""
        ...


@dataclass(frozen=True)
class Trial:
    """A trial as a worker gets it: all of its seeds, and where its reports go."""

    id: int
    study: str
    home: Path
    """Of the study."""
    seeds: tuple[Task, ...]
    best: float | None
    """Accuracy of the best trial when this one began."""
    reports: bool
    """Whether rounds are reported, and the trial may be pruned."""


@dataclass(frozen=True)
class Ended:
    """What a worker returns."""

    worth: Worth
    pruned: bool


def folder_of(place: Home, settings: CampaignSettings) -> Path:
    """Where the homes of a campaign's trials are."""
    return place.paths.home / "tune" / settings.name


def study_digest(settings: CampaignSettings, tune: Tune) -> str:
    """What two trials must share to be compared."""
    kept = settings.model_dump(mode="json", exclude={"tracking"})
    return digest_of({"settings": kept, "objective": tune.objective, "seeds": tune.seeds})


def run_study(
    study: Study,
    settings: CampaignSettings,
    tune: Tune,
    place: Home,
    *,
    trials: int,
    jobs: int,
    control: Control,
    progress: Progress,
    ended: Callable[[int, dict[str, Value], Ended | None, str], None],
) -> int:
    """Run trials until so many are done; returns the samples that the shared base has paid for.

    `ended` hears of each trial: number, params, what it came to, and why it failed.
    """
    folder = folder_of(place, settings)
    shared = prepare_base(settings, tune.space, place, folder / "base", progress)
    study.retry()
    failures = 0
    with _workers(jobs, progress, control.look) as submit:
        running: dict[Future[Ended], tuple[Any, int]] = {}
        while True:
            while len(running) < jobs and (study.waiting() or study.counted() < trials):
                control.look()
                asked = study.ask(current(settings, list(tune.space)))
                trial, number = _trial(asked, study, settings, tune, place)
                running[submit(trial)] = (asked, number)
            if not running:
                return shared
            for future in wait(running, timeout=PARENT_EVERY_S, return_when=FIRST_COMPLETED).done:
                asked, number = running.pop(future)
                try:
                    found = future.result()
                except DeltaloopError as error:
                    study.fail(asked, str(error))
                    ended(number, asked.params, None, str(error))
                    failures += 1
                    if failures == FAILURES:
                        raise DeltaloopError(f"{FAILURES} trials in a row failed, the last one: {error}") from error
                    continue
                study.tell(asked, found.worth, pruned=found.pruned)
                ended(number, asked.params, found, "")
                failures = 0
            control.look()


def work(trial: Trial, progress: Progress, look: Callable[[], None]) -> Ended:
    """Run the seeds of a trial; further ones only while it may be the best."""
    parts: list[Worth] = []

    def told(round: int, worth: Worth) -> None:
        """Report the first seed's rounds: the study's pruner compares trials round by round."""
        if not trial.reports or parts:
            return
        from loop.bootstrap import trial_reporter

        reporter = trial_reporter(trial.home, trial.study, trial.id)
        reporter.report(worth.ratio, round)
        if round < trial.seeds[0].settings.rounds and reporter.should_prune():
            pruned.append(worth)
            raise Pruned

    pruned: list[Worth] = []
    for task in trial.seeds:
        try:
            parts.append(run_trial(task, told, progress, look))
        except Pruned:
            return Ended(pruned[0], pruned=True)
        if not may_be_best(pooled(parts), trial.best):
            break
    return Ended(pooled(parts), pruned=False)


def _trial(asked: Any, study: Study, settings: CampaignSettings, tune: Tune, place: Home) -> tuple[Trial, int]:
    number, folder = asked.user_attrs["root"], folder_of(place, settings)
    changed = with_params(settings, asked.params, where=f"trial {number}")
    seeds = tuple(
        Task(trial_settings(changed, seed), folder / f"trial-{number}-seed-{seed}", folder / "base")
        for seed in range(tune.seeds)
    )
    best = max((row.worth.accuracy for row in study.trials() if row.worth and row.state == "complete"), default=None)
    return Trial(asked._trial_id, settings.name, place.paths.home, seeds, best, tune.objective == "ratio"), number


@contextmanager
def _workers(jobs: int, progress: Progress, look: Callable[[], None]) -> Iterator[Callable[[Trial], Future[Ended]]]:
    """How a trial is run: at once and here, or in one of several processes."""
    if jobs == 1:
        yield lambda trial: _at_once(lambda: work(trial, progress, look))
        return
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _end_with_parent, (os.getpid(),))
    try:
        yield lambda trial: pool.submit(_work_apart, trial)
    except BaseException:
        for process in list(pool._processes.values()):  # what they have committed is kept, as after any end
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _at_once(call: Callable[[], Ended]) -> Future[Ended]:
    future: Future[Ended] = Future()
    try:
        future.set_result(call())
    except DeltaloopError as error:
        future.set_exception(error)
    return future


def _work_apart(trial: Trial) -> Ended:
    from loop.progress import LineProgress

    return work(trial, LineProgress(sys.stderr), lambda: None)


def _end_with_parent(parent: int) -> None:
    """A worker whose parent was killed would go on, and hold what the next one retries."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_EVERY_S)
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()
