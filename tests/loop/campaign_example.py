"""A small campaign with known numbers: records of every stage, and a ledger that holds what a test puts into it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from loop.summary import OUTPUTS
from store.records import (
    Admitted,
    Aims,
    AnswerCount,
    CampaignRow,
    Filled,
    Order,
    Origin,
    Posterior,
    Prompt,
    Region,
    Report,
    Reported,
    Role,
    Rollout,
    RolloutStatus,
    RoundRow,
    Score,
    Scores,
    Spent,
    StageRow,
    StageYield,
    Status,
    SuiteReport,
    Trained,
    TrainedStep,
    TrainingSet,
    Verdict,
    Version,
    digest,
    digest_of,
)

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SETTINGS = '{"name":"example","pool":{"name":"pool","size":4},"evaluation":{"main":["chart","document"]},"budget":null}'
STUDENT = Version(digest_of("student"), Role.STUDENT, "embedded:student")


def score(prompt: str, delta: float, consistency: float = 1.0) -> Score:
    return Score(
        prompt,
        "s",
        "t",
        delta,
        max(delta - 0.1, 0.0),
        delta + 0.3,
        8,
        8,
        "plugin",
        {"smoothing": 0.05},
        zero_delta=delta == 0,
        consistency=consistency,
        student_agreement=0.5,
        p_value=0.01 if delta else 1.0,
        differs=delta > 0,
        noise_floor=0.25,
    )


def report(version: str, chart: Sequence[float], document: Sequence[float], unseen: Sequence[float]) -> Report:
    def suite(name: str, values: Sequence[float]) -> SuiteReport:
        ids = tuple(f"{name}-{place}" for place in range(len(values)))
        return SuiteReport(name, "exact", ids, tuple(values), ("",) * len(values))

    return Report(
        version,
        (suite("chart", chart), suite("document", document), suite("unseen", unseen)),
        mean_over=("chart", "document"),
    )


def outputs(round: int) -> dict[str, Any]:
    """Output of each stage of round 0 or of a later round."""
    if round == 0:
        return {
            "pool": Filled("pool", 4, 1, digest_of("pool")),
            "baseline_teacher": report("t", [1, 1], [1, 0.5], [1, 0]),
            "baseline_student": report("s", [1, 0], [0, 0], [0, 0]),
        }
    candidate = Version(digest_of(f"candidate {round}"), Role.STUDENT, "folder", STUDENT.id, "example", round)
    deltas = [0.0, 0.0, 1.0, 2.0]
    scores = Scores(
        "s", tuple(score(f"p{i}", delta, 0.25 * (i + 1)) for i, delta in enumerate(deltas)), Spent(32, 16, 320, 160)
    )
    regions = (
        Region(0, 2, Posterior(0.25, 0.1, 2.0), (), 10, ("p0",)),
        Region(1, 2, Posterior(1.5, 0.1, 2.0), ("compare",), 30, ("p2", "p3")),
    )
    history = (
        TrainedStep(1, 0.9, 1.0, 1e-4, 10.0, 0.5),
        TrainedStep(2, 0.4, 0.5, 5e-5, 12.0, 0.25),
    )
    return {
        "score": scores,
        "target": Aims(
            regions,
            digest(b"centroids"),
            {"p0": 0, "p1": 0, "p2": 1, "p3": 1},
            "encoder",
            contrasts=4,
            named=3,
            spent=Spent(generator_samples=4, generator_tokens=400),
        ),
        "synthesize": Admitted(
            ("p4", "p5"),
            (score("p4", 1.5), score("p5", 0.5)),
            {"seed_guided": StageYield(10, 8, 2, 1), "skill_guided": StageYield(10, 5, 4, 1)},
            Spent(8, 8, 80, 70, generator_samples=2, generator_tokens=200),
        ),
        "select": TrainingSet(
            ("p3", "p4", "p2"),
            (1.0, 1.0, 1.0),
            digest_of("batch"),
            mean_delta=1.5,
            reported=Reported(3, 4, 1.25, 1.0, 1.5, 0.75),
            spent=Spent(12, 12, 120, 110),
        ),
        "distill": Trained(candidate, 2, 3, history, Spent(train_tokens=500)),
        "evaluate": report(candidate.id, [1, 1], [0.5, 0], [1, 0]),
        "judge": Verdict(True, candidate, 0.375, 0.1, 0.6, False, "better"),
    }


class ExampleLedger:
    """The part of a ledger, and of a blob store, that a view of it reads."""

    def __init__(self) -> None:
        self.campaign = CampaignRow("example", Status.RUNNING, 0, "pool", "identity", "2026-01-01T00:00:00+00:00")
        self.rows: dict[int, RoundRow] = {}
        self.blobs: dict[str, bytes] = {}

    # what a campaign does
    def begin(self, round: int) -> None:
        known = self.rows.get(round)
        self.rows[round] = RoundRow(
            "example", round, Status.RUNNING, SETTINGS, COMMIT, True, known.stages if known else ()
        )

    def complete(self, round: int, stage: str, output: Any, seconds: float = 2.0) -> None:
        data = TypeAdapter(OUTPUTS[stage]).dump_json(output)
        self.blobs[digest(data)] = data
        row = StageRow(stage, Status.COMPLETED, seconds, 1, {}, digest(data), None)
        known = self.rows[round]
        self.rows[round] = dataclasses.replace(known, stages=(*known.stages, row))

    def end(self, round: int, status: Status) -> None:
        self.rows[round] = dataclasses.replace(self.rows[round], status=status)

    # what a view reads
    def get(self, digest: str) -> bytes:
        return self.blobs[digest]

    def find_campaign(self, name: str) -> CampaignRow | None:
        return self.campaign if name == self.campaign.name else None

    def find_order(self, campaign: str) -> Order:
        return Order.RUN

    def rounds(self, campaign: str) -> tuple[RoundRow, ...]:
        return tuple(self.rows[index] for index in sorted(self.rows))

    def find_round(self, campaign: str, round: int) -> RoundRow | None:
        return self.rows.get(round)

    def find_stage(self, campaign: str, round: int, name: str) -> StageRow | None:
        stages = self.rows[round].stages if round in self.rows else ()
        return next((stage for stage in stages if stage.name == name), None)

    def embeddings(self, embedder: str, ids: Sequence[str]) -> Mapping[str, NDArray[np.float32]]:
        rng = np.random.default_rng(0)
        vectors = {id: rng.normal(size=8).astype(np.float32) for id in sorted(ids)}
        return vectors if embedder == "encoder" else {}

    def prompts(self, ids: Sequence[str]) -> tuple[Prompt, ...]:
        return tuple(Prompt(id, f"=cmd() <b>{id}</b>", () if id == "p1" else ("picture",), Origin.SEED) for id in ids)

    def rollouts(self, version: str, sampling: str, ids: Sequence[str]) -> dict[str, tuple[Rollout, ...]]:
        def rollout(id: str, index: int, answer: str) -> Rollout:
            text = f"<script>{version}</script>\x1b[31m {id}: {answer}"
            return Rollout(id, version, sampling, index, 0, text, RolloutStatus.ANSWERED, answer, answer, 6)

        return {id: (rollout(id, 0, "other"), rollout(id, 1, f"of {version}")) for id in ids}

    def answers(self, id: str, versions: Sequence[str]) -> tuple[AnswerCount, ...]:
        answered = RolloutStatus.ANSWERED
        return tuple(AnswerCount(version, "t=1", f"of {version}", answered, 8) for version in versions)
