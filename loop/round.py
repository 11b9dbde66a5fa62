"""One round, and the preparation before the first.

    score -> target -> synthesize -> select -> distill -> evaluate -> judge

Each line of `run_round` is one stage: recorded when it ends, replayed from the ledger when the round is resumed. What a
stage does is in the module that its function comes from.
"""

from __future__ import annotations

from loop.aiming import aim
from loop.choosing import choose
from loop.distillation import distill
from loop.evaluation import evaluate, evaluate_whole
from loop.judging import judge
from loop.pool import fill_pool
from loop.ports import Ports
from loop.scoring import score_pool
from loop.stages import StageLog
from loop.synthesis import synthesize
from loop.work import Work
from store.records import Report, Verdict, Version


def prepare(work: Work, student: Version, ports: Ports, stage: StageLog) -> None:
    """Round 0: fill the pool, and measure both models before anything is trained."""
    stage("pool", fill_pool, work, using=ports)
    stage("baseline_teacher", evaluate, work, work.teacher, using=ports)
    stage("baseline_student", evaluate, work, student, using=ports)


def run_round(work: Work, student: Version, ports: Ports, stage: StageLog) -> Verdict:
    """One round. Each line is a recorded stage: done stages are replayed, never rerun."""
    scores = stage("score", score_pool, work, student, using=ports)
    aims = stage("target", aim, work, scores, using=ports)
    admitted = stage("synthesize", synthesize, work, student, aims, using=ports)
    batch = stage("select", choose, work, scores, admitted, using=ports)
    trained = stage("distill", distill, work, student, batch, using=ports)
    report = stage("evaluate", evaluate, work, trained.version, using=ports)
    return stage("judge", judge, work, student, scores, trained, report, using=ports)


def close(work: Work, student: Version, ports: Ports, stage: StageLog) -> Report:
    """After the last round: the student that is kept, on the whole suites."""
    return stage("close", evaluate_whole, work, student, using=ports)
