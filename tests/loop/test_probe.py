"""What the probe of a training takes for its start, and what for a step."""

from __future__ import annotations

from pathlib import Path

import pytest

from loop import probe
from loop.config import CampaignSettings
from loop.ports import Progress, TrainingJob, TrainingRun
from store.records import Prompt, Role, Version

STUDENT, TEACHER = Version("s", Role.STUDENT, "s"), Version("t", Role.TEACHER, "t")
SETTINGS = CampaignSettings.model_validate({"name": "probed", "training": {"batch": 4}})


class Trainer:
    """Takes its time on a clock of its own: to load libraries once, for each start, and for each step."""

    def __init__(self, load_s: float, start_s: float, step_s: float) -> None:
        self.now = 0.0
        self._load_s, self._start_s, self._step_s = load_s, start_s, step_s

    def train(self, job: TrainingJob, *, work_dir: Path, progress: Progress) -> TrainingRun:
        self.now += self._load_s + self._start_s + self._step_s * job.settings.steps
        self._load_s = 0.0
        return TrainingRun(work_dir, job.settings.steps, 10 * 4 * job.settings.steps, (), "")


class Ports:
    progress = None

    def __init__(self, trainer: Trainer, work_dir: Path) -> None:
        self.trainer, self.work_dir = trainer, work_dir


@pytest.mark.parametrize(
    ("load_s", "start_s", "step_s", "told"),
    [
        (0.0, 1.0, 0.5, (1.0, 0.125)),
        (30.0, 1.0, 0.5, (1.0, 0.125)),  # libraries are no part of a step
        (30.0, 1.0, 60.0, (0.0, 15.25)),  # no time for several steps
    ],
)
def test_what_is_loaded_once_is_no_part_of_a_step(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    load_s: float,
    start_s: float,
    step_s: float,
    told: tuple[float, float],
) -> None:
    trainer = Trainer(load_s, start_s, step_s)
    monkeypatch.setattr(probe.time, "monotonic", lambda: trainer.now)
    ports = Ports(trainer, tmp_path)
    speed, length, _ = probe._train(SETTINGS, ports, STUDENT, TEACHER, [Prompt.make("Which?")])  # type: ignore[arg-type]
    assert (speed.start_s, speed.prompt_s) == pytest.approx(told)
    assert length == 10
