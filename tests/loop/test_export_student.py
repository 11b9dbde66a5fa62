"""The student as a folder: the right version, with a card of its lineage."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from loop.campaign import run_campaign
from loop.export_student import card, export_student, lineage_of
from loop.ports import Ports, Progress, TrainingJob, TrainingRun
from loop.stages import recorded
from store.errors import DeltaloopError
from store.records import Trained, TrainingSet, Version
from tests.fakes import FakeTrainer, fake_ports, fake_settings, knowledge_of


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ports, Version]:
    ports, student, teacher = fake_ports(tmp_path_factory.mktemp("finished"))
    return ports, run_campaign(fake_settings(), ports, student, teacher)


def test_the_promoted_student_is_written_with_its_lineage(finished: tuple[Ports, Version], tmp_path: Path) -> None:
    ports, kept = finished
    folder = tmp_path / "new" / "student"
    lineage = export_student(ports.ledger, ports.blobs, ports.checkpoints, "fake", folder)
    assert lineage.version.id == kept.id
    assert json.loads((folder / "knowledge.json").read_text()) == knowledge_of(kept, ports.checkpoints)  # type: ignore[arg-type]
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in folder.parent.iterdir()] == ["student"], "no scratch stays behind"
    for index in (1, 2):
        batch = recorded(ports.ledger, ports.blobs, "fake", index, "select", TrainingSet)
        trained = recorded(ports.ledger, ports.blobs, "fake", index, "distill", Trained)
        assert batch is not None
        assert trained is not None
        assert batch.digest in text
        assert trained.version.id in text
    for fact in ("fake:student", "fake:teacher", "| base student |", "| round 2 |", "hard", "Python", "torch"):
        assert fact in text


class AdapterTrainer(FakeTrainer):
    """Leaves the adapter that it trained in the student's folder."""

    def train(self, job: TrainingJob, *, work_dir: Path, progress: Progress) -> TrainingRun:
        run = super().train(job, work_dir=work_dir, progress=progress)
        assert run.folder is not None
        (run.folder / "adapter").mkdir(exist_ok=True)
        (run.folder / "adapter" / "adapter_config.json").write_text(job.student.id)
        return run


def test_the_adapter_of_a_student_goes_with_it(tmp_path: Path) -> None:
    ports, student, teacher = fake_ports(tmp_path)
    ports = replace(ports, trainer=AdapterTrainer(ports.checkpoints, lambda _: None))  # type: ignore[arg-type]
    run_campaign(fake_settings(rounds=1), ports, student, teacher)
    export_student(ports.ledger, ports.blobs, ports.checkpoints, "fake", tmp_path / "student", round=1)
    assert (tmp_path / "student" / "adapter" / "adapter_config.json").read_text() == student.id


def test_a_round_s_candidate_has_the_lineage_up_to_it(finished: tuple[Ports, Version]) -> None:
    ports, _ = finished
    lineage = lineage_of(ports.ledger, ports.blobs, "fake", 1)
    trained = recorded(ports.ledger, ports.blobs, "fake", 1, "distill", Trained)
    assert trained is not None
    assert lineage.version == trained.version
    assert [entry.row.index for entry in lineage.rounds] == [1]
    assert lineage.base.source == "fake:student"
    assert "round 2" not in card(lineage)


def test_an_absent_round_or_student_is_named(finished: tuple[Ports, Version], tmp_path: Path) -> None:
    ports, _ = finished
    with pytest.raises(DeltaloopError, match="round 7 of `fake`"):
        lineage_of(ports.ledger, ports.blobs, "fake", 7)
    other, student, teacher = fake_ports(tmp_path)
    run_campaign(fake_settings(rounds=0), other, student, teacher)
    with pytest.raises(DeltaloopError, match="no round of `fake` has promoted a student"):
        lineage_of(other.ledger, other.blobs, "fake", None)


def test_a_folder_in_use_is_left_alone(finished: tuple[Ports, Version], tmp_path: Path) -> None:
    ports, _ = finished
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(DeltaloopError, match="is there already"):
        export_student(ports.ledger, ports.blobs, ports.checkpoints, "fake", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]
