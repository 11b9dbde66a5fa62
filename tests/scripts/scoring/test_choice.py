"""The benchmark of scoring: what it counts and refuses, and that it tells a good policy from a blind one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scripts.bench_scoring import main
from scripts.scoring.choice import moves, quality, run_schemes, worst
from scripts.scoring.choice import summarise as table_of
from scripts.scoring.rounds import count, delta, load_recorded, nearest, simulated_rounds


def test_quality_is_one_for_the_truth_and_the_mean_ratio_for_blind_choice() -> None:
    truth = np.concatenate([np.zeros(900), np.full(100, 2.0)])
    assert quality(truth, truth, np.random.default_rng(0)) == 1.0
    blind = [quality(np.zeros(1_000), truth, np.random.default_rng(seed)) for seed in range(50)]
    assert np.mean(blind) == pytest.approx(0.1, abs=0.02)
    assert quality(np.zeros(5), np.zeros(5), np.random.default_rng(0)) == 1.0


def test_the_divergence_is_zero_for_equals_and_largest_for_strangers() -> None:
    same, other = np.array([[0.5, 0.5, 0.0]]), np.array([[0.0, 0.0, 1.0]])
    assert delta(same, same)[0] == 0
    assert delta(same, other)[0] == pytest.approx(np.log(20))


def test_counts_and_neighbours() -> None:
    assert count(np.array([[0, 2, 2], [1, 1, 1]], dtype=np.int16), 3).tolist() == [[1, 0, 2], [0, 3, 0]]
    points = np.array([[1, 0], [0.9, 0.1], [0, 1]], dtype=np.float32)
    assert nearest(points, 4)[:2].tolist() == [[1, 2, -1, -1], [0, 2, -1, -1]]
    assert nearest(np.ones((3, 2), dtype=np.float32), 2).shape == (3, 2)


def test_two_rounds_stay_within_the_budgets_and_beat_as_many_samples_everywhere() -> None:
    table = table_of([run_schemes(simulated_rounds("confident", 1_500, 2, seed), seed) for seed in (0,)])
    shares = worst({"confident": table})
    assert shares["student_sample_share"] <= 0.2
    assert shares["total_sample_share"] <= 0.125
    for rows in table:
        assert rows["adaptive"]["quality"] > rows["fixed 4"]["quality"]
        assert rows["fixed 16"]["ratio"] == 1.0
        assert rows["uniform"]["quality"] < 0.4
    assert shares["quality_ratio"] > 0.9


def test_a_student_that_stays_makes_no_moves_and_one_that_learns_all_only_downward_ones() -> None:
    rounds = list(simulated_rounds("confident", 1_000, 2, 0))
    assert moves([rounds[0], rounds[0]]) == pytest.approx(np.eye(3))
    learnt = replace(rounds[0], student=rounds[0].teacher)
    assert moves([rounds[0], learnt])[:, 0] == pytest.approx(np.ones(3))


def test_recorded_rollouts_are_read_and_the_last_line_is_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    teacher, first, second = rng.choice(3, size=(3, 400, 64), p=[0.9, 0.05, 0.05]).astype(np.int16)
    first[:100] = second[50:150] = 2
    embeddings = rng.normal(size=(400, 4)).astype(np.float16)
    file = tmp_path / "rollouts.npz"
    np.savez(file, student=np.stack([first, second]), teacher=teacher, embeddings=embeddings)
    main(["--recorded", str(file), "--seeds", "2", "--parts", "recorded"])
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["quality_ratio"] == found["quality_ratio_recorded"] > 0.9
    assert found["student_sample_share"] <= 0.2
    assert found["total_sample_share"] <= 0.125


def test_recordings_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    codes = np.zeros((4, 64), dtype=np.int16)
    file = tmp_path / "rollouts.npz"
    np.savez(file, student=codes[None], teacher=codes)
    with pytest.raises(ValueError, match="no array embeddings"):
        load_recorded(file)
    for student in (codes, codes[None, :3]):
        np.savez(file, student=student, teacher=codes, embeddings=np.zeros((4, 2)))
        with pytest.raises(ValueError, match="do not fit"):
            load_recorded(file)
    np.savez(file, student=codes[None, :, :16], teacher=codes[:, :16], embeddings=np.zeros((4, 2)))
    with pytest.raises(ValueError, match="give over 32"):
        load_recorded(file)
