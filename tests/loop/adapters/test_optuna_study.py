"""The study: what an end in the wrong moment leaves behind, and what a resumed one goes on with."""

from __future__ import annotations

from pathlib import Path

import pytest
from optuna.trial import Trial

from loop.adapters.optuna_study import OptunaStudy, reporter
from loop.tune_settings import Dimension, Value
from policies.tuning import Worth
from store.errors import UsageError

SPACE = {
    "training.learning_rate": Dimension(low=1e-4, high=1e-2, log=True),
    "selection.prompts": Dimension(low=1, high=9),
}
OWN: dict[str, Value] = {"training.learning_rate": 1e-3, "selection.prompts": 4}


def opened(home: Path, *, ratio: bool = False, settings: str = "same") -> OptunaStudy:
    return OptunaStudy(home, "mine", SPACE, ratio=ratio, seed=0, settings=settings)


def worth(accuracy: float, tokens: float = 100.0) -> Worth:
    return Worth(accuracy, 0.01, 0.5, tokens, tokens)


def finished(study: OptunaStudy, accuracy: float, *, pruned: bool = False) -> Trial:
    trial = study.ask(OWN)
    study.tell(trial, worth(accuracy), pruned=pruned)
    return trial


def test_an_interrupted_trial_is_tried_again_once(tmp_path: Path) -> None:
    first = opened(tmp_path)
    finished(first, 0.6)
    lost = first.ask(OWN)
    assert first.counted() == 2
    study = opened(tmp_path)
    assert (study.retry(), study.retry()) == (1, 0)
    assert study.waiting()
    assert study.counted() == 2
    again = study.ask(OWN)
    assert (again.params, again.user_attrs["root"]) == (lost.params, lost.number)
    study.tell(again, worth(0.7), pruned=False)
    assert [(row.number, row.state) for row in study.trials()] == [(0, "complete"), (1, "complete")]


def test_an_end_between_the_two_steps_of_a_retry_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = opened(tmp_path)
    first.ask(OWN)
    with monkeypatch.context() as patch:
        patch.setattr(first._study, "tell", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            first.retry()
    study = opened(tmp_path)
    study.retry()
    study.ask(OWN)
    assert not study.waiting()


def test_a_retry_that_is_interrupted_is_still_the_same_trial(tmp_path: Path) -> None:
    for _ in range(3):
        study = opened(tmp_path)
        study.retry()
        trial = study.ask(OWN)
        assert trial.user_attrs["root"] == 0
        assert trial.params == OWN
    assert study.counted() == 1


def test_a_resumed_study_proposes_what_an_undisturbed_one_does(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    whole = opened(tmp_path / "one")
    straight = [finished(whole, 0.6 + place / 100).params for place in range(6)]
    (tmp_path / "two").mkdir()
    resumed = [finished(opened(tmp_path / "two"), 0.6 + place / 100).params for place in range(6)]
    assert straight[0] == OWN
    assert resumed == straight
    assert len({str(params) for params in straight}) == 6


def test_a_failed_trial_keeps_its_reason_and_is_not_tried_again(tmp_path: Path) -> None:
    study = opened(tmp_path)
    study.fail(study.ask(OWN), "out of memory")
    study.retry()
    assert not study.waiting()
    assert [(row.state, row.reason) for row in study.trials()] == [("fail", "out of memory")]


def test_a_trial_behind_the_median_is_pruned_where_there_is_one_objective(tmp_path: Path) -> None:
    study = opened(tmp_path, ratio=True)
    for _ in range(4):
        good = study.ask(OWN)
        reporter(tmp_path, "mine", good._trial_id).report(1.0, 1)
        study.tell(good, worth(0.9), pruned=False)
    bad = study.ask(OWN)
    told = reporter(tmp_path, "mine", bad._trial_id)
    told.report(0.1, 1)
    assert told.should_prune()
    study.tell(bad, worth(0.51), pruned=True)
    assert [row.state for row in study.trials()] == ["complete"] * 4 + ["pruned"]


def test_importances_need_trials_that_differ(tmp_path: Path) -> None:
    study = opened(tmp_path)
    assert study.importances() == {}
    for accuracy in (0.5, 0.6, 0.7, 0.55):
        finished(study, accuracy)
    assert study.importances().keys() == SPACE.keys()
    assert sum(study.importances().values()) == pytest.approx(1)


def test_a_study_of_other_settings_is_refused(tmp_path: Path) -> None:
    opened(tmp_path)
    with pytest.raises(UsageError, match="cannot be compared"):
        opened(tmp_path, settings="others")
