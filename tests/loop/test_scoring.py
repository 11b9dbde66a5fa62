"""The score stage, fixed and adaptive, and the samples that report what was chosen, on fake models and a real store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from loop.campaign import run_campaign
from loop.ports import Ports
from loop.rollouts import REPORTING, sampling_key
from loop.stages import recorded
from store.records import Scores, TrainingSet
from tests.fakes import fake_ports, fake_settings
from tests.loop.fake_runs import Interrupter, run

SAMPLES = {"teacher_samples": 4, "student_samples": 4}
ADAPTIVE = {
    "pool": {"name": "fake", "size": 300},
    "scoring": {"rule": "adaptive", "teacher_samples": 8, "student_samples": 16, "reporting_samples": 2},
    "adaptive": {"budget": 0.12, "revisit": 4},
    "selection": {"prompts": 30},
}


def scores_of(ports: Ports, round: int) -> Scores:
    found = recorded(ports.ledger, ports.blobs, "fake", round, "score", Scores)
    assert found is not None
    return found


def choice_of(ports: Ports, round: int) -> TrainingSet:
    found = recorded(ports.ledger, ports.blobs, "fake", round, "select", TrainingSet)
    assert found is not None
    return found


def test_adaptive_scoring_spends_within_its_budget_and_predicts_the_rest(tmp_path: Path) -> None:
    ports, student, teacher = fake_ports(tmp_path)
    run_campaign(fake_settings(**ADAPTIVE), ports, student, teacher)
    for round in (1, 2):
        found, choice = scores_of(ports, round), choice_of(ports, round)
        budget = 0.12 * 16 * len(found.scores)
        assert 0 < found.spent.student_samples + choice.spent.student_samples + choice.spent.teacher_samples <= budget
        assert all(row.predicted == (row.num_student == 0) for row in found.scores)
        assert all(row.num_student <= 16 and row.low <= row.delta <= row.high for row in found.scores)
    assert any(row.predicted for row in scores_of(ports, 2).scores)


def test_reports_that_the_budget_cannot_pay_leave_most_of_it_to_the_choice(tmp_path: Path) -> None:
    ports, student, teacher = fake_ports(tmp_path)
    scoring = ADAPTIVE["scoring"] | {"reporting_samples": 8, "reported_chosen": 1.0, "reported_pool": 1.0}
    run_campaign(fake_settings(**(ADAPTIVE | {"rounds": 1, "scoring": scoring})), ports, student, teacher)
    found, choice = scores_of(ports, 1), choice_of(ports, 1)
    budget = 0.12 * 16 * len(found.scores)
    assert 0.7 * budget < found.spent.student_samples <= 0.75 * budget
    assert choice.pool is not None
    assert 0 < choice.pool.prompts < len(found.scores)
    assert choice.spent.student_samples + choice.spent.teacher_samples <= budget - found.spent.student_samples


def test_adaptive_scoring_puts_samples_where_the_models_differ(tmp_path: Path) -> None:
    ports, student, teacher = fake_ports(tmp_path)
    run_campaign(fake_settings(**(ADAPTIVE | {"rounds": 1, "adaptive": {"budget": 0.2}})), ports, student, teacher)
    skills = {prompt.id: prompt.attributes["skill"] for prompt in ports.ledger.pool("fake")}
    by_skill: dict[str, list[int]] = {}
    for row in scores_of(ports, 1).scores:
        by_skill.setdefault(skills[row.prompt_id], []).append(row.num_student)
    assert np.mean(by_skill["subtract"]) > 1.5 * np.mean(by_skill["read"])


def test_every_prompt_is_revisited_within_the_stated_number_of_rounds(tmp_path: Path) -> None:
    ports, student, teacher = fake_ports(tmp_path)
    run_campaign(
        fake_settings(**(ADAPTIVE | {"rounds": 4, "adaptive": {"budget": 0.2, "revisit": 2}})), ports, student, teacher
    )
    for round in range(2, 5):
        before, now = scores_of(ports, round - 1), scores_of(ports, round)
        sampled = {row.prompt_id for found in (before, now) for row in found.scores if row.num_student}
        assert {row.prompt_id for row in before.scores} <= sampled


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Interrupter]:
    beat = Interrupter()
    return run(tmp_path_factory.mktemp("undisturbed"), beat, **ADAPTIVE), beat


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.7, 0.95])
def test_interrupted_adaptive_scoring_ends_like_undisturbed(
    tmp_path: Path, undisturbed: tuple[str, Interrupter], share: float
) -> None:
    fingerprint, whole = undisturbed
    places = [index for index, name in enumerate(whole.names) if name == "sample"]
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Interrupter(at=places[round(share * (len(places) - 1))]), **ADAPTIVE)
    assert run(tmp_path, Interrupter(), **ADAPTIVE) == fingerprint


def test_reporting_samples_are_others_than_those_that_select(tmp_path: Path) -> None:
    ports, student, teacher = fake_ports(tmp_path)
    settings = fake_settings(rounds=1, scoring=SAMPLES | {"reported_chosen": 1.0})
    run_campaign(settings, ports, student, teacher)
    choice, scores = choice_of(ports, 1), scores_of(ports, 1)
    assert choice.reported is not None
    assert (choice.reported.prompts, choice.reported.samples) == (len(choice.prompts), 4)
    rows = ports.ledger.rollouts(
        student.id, sampling_key(settings.sampling, settings.answers.settings()), choice.prompts
    )
    assert all([row.index for row in own] == [0, 1, 2, 3, *range(REPORTING, REPORTING + 4)] for own in rows.values())
    assert all(row.num_student == 4 for row in scores.scores)


def test_fresh_samples_show_a_smaller_delta_than_those_that_selected(tmp_path: Path) -> None:
    ports, student, teacher = fake_ports(tmp_path)
    changes = {"pool": {"name": "fake", "size": 300}, "scoring": SAMPLES | {"reported_chosen": 1.0}}
    run_campaign(fake_settings(rounds=1, **changes), ports, student, teacher)
    choice = choice_of(ports, 1)
    assert choice.reported is not None
    assert choice.reported.high < choice.mean_delta


def test_no_reporting_samples_are_drawn_where_none_are_wanted(tmp_path: Path) -> None:
    ports, student, teacher = fake_ports(tmp_path)
    run_campaign(fake_settings(rounds=1, scoring=SAMPLES | {"reporting_samples": 0}), ports, student, teacher)
    choice = choice_of(ports, 1)
    assert (choice.reported, choice.pool, choice.spent.student_samples) == (None, None, 0)
