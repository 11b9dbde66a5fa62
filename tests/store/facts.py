"""Small records for the tests of the store, and a home that is filled with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from store.blobs import FileBlobs
from store.checkpoints import FileCheckpoints
from store.index import PoolIndex
from store.ledger import Ledger
from store.records import (
    Aims,
    Candidate,
    Fate,
    HarnessResult,
    HarnessScore,
    Order,
    Origin,
    Posterior,
    Prompt,
    Quarantined,
    Region,
    Role,
    Rollout,
    RolloutStatus,
    Score,
    Status,
    SuiteReport,
    Version,
    digest,
    digest_of,
)

TEACHER = Version("t" * 64, Role.TEACHER, "embedded:teacher")
STUDENT = Version("s" * 64, Role.STUDENT, "embedded:student")
PROMPTS = tuple(sorted((Prompt.make(f"How many bars exceed {n}?") for n in range(8)), key=lambda prompt: prompt.id))


def score_of(prompt: Prompt, delta: float = 0.5) -> Score:
    """A score of the fixed pair."""
    return Score(
        prompt.id,
        STUDENT.id,
        TEACHER.id,
        delta,
        low=0.1,
        high=0.9,
        num_student=8,
        num_teacher=8,
        estimator="plug_in",
        settings={"smoothing": 0.05},
        zero_delta=delta == 0.0,
        consistency=0.875,
        student_agreement=0.25,
    )


def rollout_of(prompt: Prompt, index: int, version: Version = TEACHER, sampling: str = "hot") -> Rollout:
    """A rollout that answered."""
    return Rollout(
        prompt.id,
        version.id,
        sampling,
        index,
        7 + index,
        f"I see 12. Answer: {index}",
        RolloutStatus.ANSWERED,
        "1",
        "1",
        9,
    )


def aims_of(prompts: tuple[Prompt, ...], centroids: str, num: int = 2) -> Aims:
    """Regions that take the prompts in turns."""
    regions = tuple(
        Region(
            index=index,
            size=len(prompts[index::num]),
            posterior=Posterior(0.1 * index, 0.01, 12.5),
            skills=("count_over", "difference")[: index + 1],
            budget=10 * index,
            seeds=tuple(prompt.id for prompt in prompts[index::num]),
        )
        for index in range(num)
    )
    return Aims(regions, centroids, {prompt.id: row % num for row, prompt in enumerate(prompts)})


def candidates_of(parent: Prompt) -> tuple[Candidate, ...]:
    """One admitted, one rejected by its Δ, one that is a duplicate of the first, one that was never scored."""
    made = [Prompt.make(text, (), Origin.SEED_GUIDED, parent.id, {"skill": "sum"}) for text in ("What?", "Why?", "")]
    return (
        Candidate(made[0], Fate.ADMITTED, "", 0, 0.7, 1.0),
        Candidate(made[1], Fate.ZERO_DELTA, "delta 0.00", 1, 0.0, 1.0),
        Candidate(made[0], Fate.DUPLICATE, "same content", 1),
        Candidate(made[2], Fate.UNPARSED, "empty question", 0),
    )


def report_of(prompts: tuple[Prompt, ...], suite: str = "chart") -> SuiteReport:
    """Every second answer is right."""
    values = tuple(float(row % 2) for row in range(len(prompts)))
    return SuiteReport(suite, "relaxed_accuracy", tuple(p.id for p in prompts), values, ("read",) * len(prompts))


def harness_report_of(prompts: tuple[Prompt, ...], samples: str) -> SuiteReport:
    """The same, as a harness tells it: two metrics, in an order that is not the alphabet's."""
    scores = (HarnessScore("relaxed_overall", 0.5, 0.19), HarnessScore("anls", 0.25, None))
    return replace(report_of(prompts, "chartqa"), harness=HarnessResult("lmms-eval", "0.7.3", scores, samples))


def start(ledger: Ledger, campaign: str = "demo", rounds: int = 2) -> None:
    """The versions, a campaign and its first rounds."""
    ledger.add_version(TEACHER)
    ledger.add_version(STUDENT)
    ledger.start_campaign(campaign, seed=3, pool="pool", identity="pair-and-seed")
    for index in range(rounds):
        ledger.start_round(campaign, index, settings='{"seed":3}', commit="abc", dirty=False)


def unit_vectors(ids: list[str], seed: int = 0, d: int = 8) -> dict[str, np.ndarray]:
    """A random direction for each id, whatever the order of the ids."""
    made = np.random.default_rng(seed).normal(size=(len(ids), d))
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    return dict(zip(sorted(ids), made.astype(np.float32), strict=True))


ADAPTER = "adapter/adapter_model.safetensors"
"""The checkpoint was trained as an adapter, which belongs to it like any other file."""


class FilledHome:
    """A home that `fill` puts one of everything into."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.ledger = Ledger(folder / "ledger.db")
        self.blobs = FileBlobs(folder / "blobs")
        self.checkpoints = FileCheckpoints(folder / "checkpoints")
        self.indices = folder / "index"
        self.image = digest(b"an image")
        self.output = digest(b'{"stage": "output"}')
        self.checkpoint = digest_of({"model.safetensors": digest(b"weights"), ADAPTER: digest(b"low rank")})

    def fill(self, order: Callable[[list], list] = list) -> None:
        """Fill it; `order` shuffles whatever has no order of its own."""
        ledger = self.ledger
        for data in (b"an image", b'{"stage": "output"}'):
            self.blobs.put(data)
        made = sorted((Prompt.make(f"Question {n}?", (self.image,)) for n in range(6)), key=lambda prompt: prompt.id)
        prompts = order(made)
        start(ledger)
        for prompt in prompts:
            ledger.add_prompts([prompt], pool="pool")
        ledger.quarantine("pool", order([Quarantined(f"file:{n}", "", "empty question") for n in range(3)]))
        ledger.add_rollouts(order([rollout_of(prompt, index) for prompt in prompts for index in range(2)]))
        ledger.add_scores("demo", 1, order([score_of(prompt) for prompt in prompts]))
        ledger.add_aims("demo", 1, aims_of(tuple(made), self.blobs.put(b"centroids")))
        ledger.add_candidates("demo", 1, candidates_of(made[0]))
        self._train()
        for version in order([TEACHER.id, STUDENT.id, self.checkpoint]):
            ledger.add_evaluation(version, "chart@conditions", report_of(tuple(made)))
        answers = self.blobs.put(b"answers of a harness")
        ledger.add_evaluation(STUDENT.id, "chartqa@conditions", harness_report_of(tuple(made), answers))
        for stage in order(["score", "target"]):
            ledger.start_stage("demo", 1, stage, {"work": "1" * 64})
            ledger.end_stage("demo", 1, stage, Status.COMPLETED, seconds=1.5, output=self.output, error=None)
        ledger.give_order("demo", Order.PAUSE)
        vectors = unit_vectors([prompt.id for prompt in prompts])
        ledger.add_embeddings("embedder", vectors)
        PoolIndex.open(self.indices, "pool", vectors).save()

    def _train(self) -> None:
        trained = self._folder / "trained"
        trained.mkdir()
        (trained / "model.safetensors").write_bytes(b"weights")
        (trained / ADAPTER).parent.mkdir()
        (trained / ADAPTER).write_bytes(b"low rank")
        made = self.checkpoints.add(trained)
        self.ledger.add_version(Version(made, Role.STUDENT, f"checkpoint:{made}", STUDENT.id, "demo", 1))
