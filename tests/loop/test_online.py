"""A campaign that tunes its own budget: asked per round, recorded with it, rewarded from the ledger."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from loop.adapters.optuna_study import OptunaStudy
from loop.campaign import run_campaign
from loop.config import CampaignSettings
from loop.online import OnlineBudgets, reward_of
from loop.ports import Ports
from loop.tune_settings import Dimension, Tune
from tests.fakes import fake_ports, fake_settings

SPACE = {"selection.prompts": Dimension(low=4, high=16), "training.steps": Dimension(low=1, high=9)}
SETTINGS = fake_settings(rounds=3)


def study_in(home: Path) -> OptunaStudy:
    return OptunaStudy(home, "fake/online", SPACE, ratio=True, seed=0, settings="online")


def online(home: Path, ports: Ports, reward: str = "accuracy") -> OnlineBudgets:
    tune = Tune.model_validate({"online": True, "reward": reward, "space": SPACE})
    return OnlineBudgets(study_in(home), tune, ports.ledger, ports.blobs)


def budgets(ports: Ports) -> list[tuple[int, int]]:
    rows = [CampaignSettings.model_validate_json(row.settings) for row in ports.ledger.rounds("fake")]
    return [(row.selection.prompts, row.training.steps) for row in rows]


@pytest.mark.parametrize("reward", ["accuracy", "delta"])
def test_each_round_gets_a_budget_and_its_reward_is_told(tmp_path: Path, reward: str) -> None:
    ports, student, teacher = fake_ports(tmp_path)
    run_campaign(SETTINGS, replace(ports, budget=online(tmp_path, ports, reward)), student, teacher)
    used = budgets(ports)
    own = (SETTINGS.selection.prompts, SETTINGS.training.steps)
    assert used[:2] == [own, own], "the preparation, and the first round: the file's own"
    assert len({*used[1:]}) == 3
    rows = study_in(tmp_path)._study.trials
    assert [(row.params["selection.prompts"], row.params["training.steps"]) for row in rows] == used[1:]
    values = [row.value for row in rows]
    known = {"accuracy": 2, "delta": 1}[reward]  # of Δ, the next round's score tells, and that comes after the asking
    expected = [reward_of(ports.ledger, ports.blobs, "fake", index, reward) for index in range(1, known + 1)]  # type: ignore[arg-type]
    assert values == expected + [None] * (3 - known)


def test_an_interrupted_round_goes_on_with_the_budget_that_it_was_asked(tmp_path: Path) -> None:
    def beat(name: str) -> None:
        if name == "train" and len(ports.ledger.rounds("fake")) == 3 and not ended:
            ended.append(name)
            raise KeyboardInterrupt

    ended: list[str] = []
    ports, student, teacher = fake_ports(tmp_path, beat)
    with pytest.raises(KeyboardInterrupt):
        run_campaign(SETTINGS, replace(ports, budget=online(tmp_path, ports)), student, teacher)
    asked = budgets(ports)
    run_campaign(SETTINGS, replace(ports, budget=online(tmp_path, ports)), student, teacher)
    assert budgets(ports)[: len(asked)] == asked
    assert len(study_in(tmp_path)._study.trials) == 3


def test_a_budget_whose_round_never_began_is_dropped(tmp_path: Path) -> None:
    ports, student, teacher = fake_ports(tmp_path)
    run_campaign(fake_settings(rounds=1), replace(ports, budget=online(tmp_path, ports)), student, teacher)
    online(tmp_path, ports)(SETTINGS, 2)  # and then the process ends
    run_campaign(SETTINGS, replace(ports, budget=online(tmp_path, ports)), student, teacher)
    assert [row.state.name for row in study_in(tmp_path)._study.trials] == ["COMPLETE", "FAIL", "COMPLETE", "RUNNING"]
