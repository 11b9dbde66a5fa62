"""The distill stage: train the student on the training set; the new version is a content-addressed checkpoint."""

from __future__ import annotations

from loop.ports import Ports, TrainingJob
from loop.teacher_answers import teacher_traces
from loop.work import Work
from store.records import Role, Spent, Trained, TrainingSet, Version


def distill(work: Work, student: Version, batch: TrainingSet, ports: Ports) -> Trained:
    """Train, store the checkpoint under its digest, and record the version.

    Nothing to train on changes nothing, and neither does a training that went wrong before its first checkpoint.
    """
    job = _job(work, student, batch, ports)
    if not job.prompts:
        return Trained(student, 0, 0, (), Spent())
    run = ports.trainer.train(job, work_dir=ports.work_dir / work.key("distill"), progress=ports.progress)
    spent = Spent(train_tokens=run.train_tokens)
    if run.folder is None:
        return Trained(student, 0, len(job.prompts), run.history, spent, run.alarm)
    digest = ports.checkpoints.add(run.folder)
    version = Version(digest, Role.STUDENT, f"checkpoint:{digest}", student.id, work.campaign, work.round)
    ports.ledger.add_version(version)
    return Trained(version, run.steps, len(job.prompts), run.history, spent, run.alarm)


def _job(work: Work, student: Version, batch: TrainingSet, ports: Ports) -> TrainingJob:
    """Off-policy, without the prompts to which no response of the teacher gives its majority answer."""
    settings = work.settings.training
    weights = dict(zip(batch.prompts, batch.weights, strict=True))
    traces = {}
    if settings.mode == "off_policy":
        traces = teacher_traces(work, batch.prompts, ports)
        weights = {id: weight for id, weight in weights.items() if id in traces}
    prompts = ports.ledger.prompts(list(weights))
    return TrainingJob(student, work.teacher, prompts, list(weights.values()), settings, work.seed("distill"), traces)
