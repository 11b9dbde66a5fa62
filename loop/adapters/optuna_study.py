"""The Optuna side of tuning: a study in `<home>/optuna.db`, asked and told by one process.

    ask      params of the next trial: the file's own budget first, then retries of interrupted trials, then new ones
    tell     what it was worth -> (accuracy, tokens), or their ratio
    retry    what an ended process left running is failed, and its params wait for another try in the same home

The sampler is seeded anew for each trial by its number: a resumed study goes on as an undisturbed one would, and does
not propose again what it has proposed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from loop.tune_settings import Dimension, Space, Value
from loop.tuning import Tried
from policies.tuning import Worth
from store.errors import UsageError
from store.records import derive_seed

ROOT, REASON, SETTINGS, WORTH = "root", "reason", "settings", "worth"
ROUND, UNSTARTED = "round", 1_000_000
"""A trial whose round was not noted stands for one that never comes."""
STARTUP = 4
"""Trials before the pruner compares."""


class OptunaStudy:
    """One study. Whoever holds the tuning lease asks and tells; workers only report to it."""

    def __init__(self, home: Path, name: str, space: Space, *, ratio: bool, seed: int, settings: str) -> None:
        """Open or make it. UsageError if it was made of other settings, or for another objective."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._distributions = {key: _distribution(dimension) for key, dimension in space.items()}
        self._ratio, self._seed = ratio, seed
        self._storage = _storage(home)
        up, down = StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE
        self._study = optuna.create_study(
            storage=self._storage, study_name=name, directions=[up] if ratio else [up, down], load_if_exists=True
        )
        if self._study.user_attrs.get(SETTINGS, settings) != settings:
            raise UsageError(
                f"study `{name}` was made of other settings of the campaign file, or for another objective; its trials"
                " cannot be compared with new ones: give the campaign another `name`, or restore the file"
            )
        self._study.set_user_attr(SETTINGS, settings)

    def retry(self) -> int:
        """Fail what an ended process left running, each to be tried again; returns how many there were."""
        orphans = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        known = {(row.user_attrs.get(ROOT), row.number) for row in self._study.trials}
        for orphan in orphans:
            root = orphan.user_attrs.get(ROOT, orphan.number)
            # Enqueued first: an end between the two must not lose the trial, and one that waits is not doubled.
            if not any(own == root and number > orphan.number for own, number in known):
                self._study.enqueue_trial(dict(orphan.params), user_attrs={ROOT: root})
            self._study.tell(orphan.number, state=TrialState.FAIL)
        return len(orphans)

    def counted(self) -> int:
        """Trials that are done or under way; an interrupted one counts as its retry."""
        rows = self._study.get_trials(deepcopy=False)
        return len({row.user_attrs.get(ROOT, row.number) for row in rows if row.state is not TrialState.WAITING})

    def waiting(self) -> bool:
        """Whether a retry waits."""
        return bool(self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,)))

    def ask(self, first: Mapping[str, Value]) -> Trial:
        """The next trial; the very first one has the params `first`."""
        number = len(self._study.get_trials(deepcopy=False))
        if not number:
            self._study.enqueue_trial(dict(first))
        self._study.sampler = _sampler(derive_seed(self._seed, "tune", number))
        trial = self._study.ask(self._distributions)
        trial.set_user_attr(ROOT, trial.user_attrs.get(ROOT, trial.number))
        return trial

    def tell(self, trial: Trial, worth: Worth, *, pruned: bool) -> None:
        """A trial has ended."""
        trial.set_user_attr(WORTH, vars(worth))  # at once: others read while this is written
        if pruned:
            self._study.tell(trial, state=TrialState.PRUNED)
            return
        self._study.tell(trial, worth.ratio if self._ratio else (worth.accuracy, worth.tokens))

    def fail(self, trial: Trial, reason: str) -> None:
        """A trial could not be run; it is not tried again."""
        trial.set_user_attr(REASON, reason)
        self._study.tell(trial, state=TrialState.FAIL)

    def rounds(self) -> dict[int, int]:
        """Trials of an online study whose reward is not told yet, by round."""
        rows = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return {row.user_attrs.get(ROUND, UNSTARTED + row.number): row.number for row in rows}

    def note_round(self, trial: Trial, round: int) -> None:
        """Which round got this budget."""
        trial.set_user_attr(ROUND, round)

    def reward(self, number: int, value: float) -> None:
        """What a round was worth."""
        self._study.tell(number, value)

    def drop(self, number: int) -> None:
        """The round of this trial never started with its budget."""
        self._study.tell(number, state=TrialState.FAIL)

    def trials(self) -> tuple[Tried, ...]:
        """All that ran, in order; the interrupted ones that were tried again are left out."""
        rows = [row for row in self._study.trials if row.state is not TrialState.WAITING]
        last = {row.user_attrs.get(ROOT, row.number): row for row in rows}
        return tuple(_tried(row) for row in last.values())

    def importances(self) -> dict[str, float]:
        """The share of the variance of accuracy, or ratio, that each param explains (fANOVA); empty if unknown."""
        done = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if len({row.values[0] for row in done}) < 2:
            return {}
        try:
            evaluator = optuna.importance.FanovaImportanceEvaluator(seed=self._seed % 2**32)
            found = optuna.importance.get_param_importances(
                self._study, evaluator=evaluator, target=lambda row: row.values[0]
            )
        except (ValueError, RuntimeError):  # params of which all trials have the same value, or too few trials
            return {}
        return {key: float(value) for key, value in found.items()}


def reporter(home: Path, name: str, trial_id: int) -> Any:
    """The trial, to report to from another process and to ask whether it should be pruned."""
    return Trial(optuna.load_study(storage=_storage(home), study_name=name, pruner=_pruner()), trial_id)


def _pruner() -> optuna.pruners.BasePruner:
    """Half of the trials are worse than the median; rather than by one round, they are judged from the first on."""
    return optuna.pruners.MedianPruner(n_startup_trials=STARTUP)


def _sampler(seed: int) -> optuna.samplers.BaseSampler:
    """`constant_liar`: of trials that run at the same time, none repeats another."""
    return optuna.samplers.TPESampler(seed=seed % 2**32, constant_liar=True)


def make_studies(home: Path) -> None:
    """Make the database of studies if there is none: Optuna's own pages show one, and make none."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    _storage(home)


def _storage(home: Path) -> optuna.storages.RDBStorage:
    engine = {"connect_args": {"timeout": 60}}
    return optuna.storages.RDBStorage(f"sqlite:///{home.resolve() / 'optuna.db'}", engine_kwargs=engine)


def _distribution(dimension: Dimension) -> BaseDistribution:
    if dimension.choices:
        return CategoricalDistribution(dimension.choices)
    low, high = dimension.low, dimension.high
    assert low is not None
    assert high is not None
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=dimension.log)
    return FloatDistribution(low, high, log=dimension.log)


def _tried(row: FrozenTrial) -> Tried:
    attrs = row.user_attrs
    worth = Worth(**attrs[WORTH]) if WORTH in attrs else None
    root = attrs.get(ROOT, row.number)
    return Tried(root, row.state.name.lower(), row.params, worth, attrs.get(REASON, ""))
