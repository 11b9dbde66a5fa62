"""The distill stage: train the student on the training set; the new version is a content-addressed checkpoint."""

from __future__ import annotations

from loop.ports import Ports, TrainingJob
from loop.work import Work
from store.records import Role, Spent, Trained, TrainingSet, Version


def distill(work: Work, student: Version, batch: TrainingSet, ports: Ports) -> Trained:
    """Train, store the checkpoint under its digest, and record the version.

    Nothing to train on changes nothing, and neither does a training that went wrong before its first checkpoint.
    """
    if not batch.prompts:
        return Trained(student, 0, 0, (), Spent())
    job = TrainingJob(
        student,
        work.teacher,
        ports.ledger.prompts(batch.prompts),
        batch.weights,
        settings=work.settings.training,
        seed=work.seed("distill"),
    )
    run = ports.trainer.train(job, work_dir=ports.work_dir / work.key("distill"), progress=ports.progress)
    spent = Spent(train_tokens=run.train_tokens)
    if run.folder is None:
        return Trained(student, 0, len(batch.prompts), run.history, spent, run.alarm)
    digest = ports.checkpoints.add(run.folder)
    version = Version(digest, Role.STUDENT, f"checkpoint:{digest}", student.id, work.campaign, work.round)
    ports.ledger.add_version(version)
    return Trained(version, run.steps, len(batch.prompts), run.history, spent, run.alarm)
