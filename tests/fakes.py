"""Fakes of the ports, written by hand: a world in which a model is a table of how often it is right, by skill.

    teacher   right 97 % of the time      student   right as often as its checkpoint's `knowledge.json` says
    training  raises the knowledge of the skills that it trains on, and of no other

Each operation first calls `beat`, so that a test can count them, or interrupt one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from loop.adapters.model_synthesizer import ModelSynthesizer
from loop.adapters.templates import Templates
from loop.config import CampaignSettings, Limits, Pool, Sampling
from loop.generator import Generator
from loop.ports import (
    Advance,
    Ports,
    Progress,
    Proposal,
    Proposed,
    Sampler,
    SamplingJob,
    TrainingJob,
    TrainingRun,
    Wanted,
)
from loop.spending import Spending
from loop.work import Work
from store.blobs import FileBlobs
from store.checkpoints import FileCheckpoints, folder_digest
from store.index import PoolIndex
from store.ledger import Ledger
from store.records import (
    HeldOutQuestion,
    Origin,
    Prompt,
    Quarantined,
    Role,
    Sample,
    SuiteReport,
    TrainedStep,
    Version,
    derive_seed,
)

SKILLS = {"read": 0.97, "count": 0.95, "compare": 0.3, "subtract": 0.2}
"""What the student knows at the start."""

Beat = Callable[[str], None]


def gold(prompt: Prompt) -> str:
    return prompt.attributes.get("known_answer") or str(derive_seed(prompt.question) % 1000)


def make_prompt(skill: str, number: int, origin: Origin = Origin.SEED) -> Prompt:
    return Prompt.make(f"{skill} number {number}?", (), origin, None, {"skill": skill, "family": skill})


class Scripted:
    """A sampler and its samplers: answers each prompt by a function, and remembers what it was asked."""

    def __init__(self, answer: Callable[[Prompt], str], *, truncated: bool = False) -> None:
        self._answer = answer
        self._truncated = truncated
        self.batches: list[list[Prompt]] = []
        self.settings: list[tuple[int, Sampling]] = []

    def open(self, version: Version) -> Scripted:
        return self

    def sample(self, job: SamplingJob) -> Iterator[list[Sample]]:
        self.batches.append(list(job.prompts))
        self.settings.append((job.n, job.settings))
        for prompt in reversed(job.prompts):
            yield [Sample(prompt.id, 0, job.seed, self._answer(prompt), 5, truncated=self._truncated)]


class FakeSampler:
    """Answers right with the probability that the model's knowledge of the prompt's skill says."""

    def __init__(self, knowledge: dict[str, float], otherwise: float, beat: Beat) -> None:
        self._knowledge = knowledge
        self._otherwise = otherwise
        self._beat = beat

    def sample(self, job: SamplingJob) -> Iterator[list[Sample]]:
        for prompt in job.prompts:
            self._beat("sample")
            yield [self._one(prompt, index, job.seed, job.settings) for index in job.indices]

    def _one(self, prompt: Prompt, index: int, seed: int, settings: Sampling) -> Sample:
        own = derive_seed(seed, prompt.id, index)
        chance = np.random.default_rng(own).random()
        right = chance < self._knowledge.get(prompt.attributes.get("skill", ""), self._otherwise)
        answer = gold(prompt) if right or settings.temperature == 0 > chance else f"{int(chance * 5)} wrong"
        return Sample(prompt.id, index, own, f"I see. Answer: {answer}", 6, truncated=False)


class FakeSamplers:
    """A generator is opened only where a test gives one."""

    def __init__(self, checkpoints: FileCheckpoints, beat: Beat, generator: Sampler | None = None) -> None:
        self._checkpoints = checkpoints
        self._beat = beat
        self._generator = generator

    def open(self, version: Version) -> Sampler:
        if version.role is Role.GENERATOR:
            assert self._generator is not None
            return self._generator
        if version.role is Role.TEACHER:
            return FakeSampler({}, 0.97, self._beat)
        return FakeSampler(knowledge_of(version, self._checkpoints), 0.5, self._beat)


def knowledge_of(version: Version, checkpoints: FileCheckpoints) -> dict[str, float]:
    text = (checkpoints.path(version.id) / "knowledge.json").read_text()
    return {str(skill): float(value) for skill, value in json.loads(text).items()}


class FakeEmbedder:
    name = "fake"

    def __init__(self, beat: Beat) -> None:
        self._beat = beat

    def embed(self, prompts: Sequence[Prompt]) -> NDArray[np.float32]:
        self._beat("embed")
        rows = []
        for prompt in prompts:
            row = np.random.default_rng(derive_seed("embed", prompt.id)).normal(0, 0.2, 8)
            if prompt.attributes["skill"] in SKILLS:
                row[list(SKILLS).index(prompt.attributes["skill"])] += 1.0
            rows.append(row / np.linalg.norm(row))
        return np.array(rows, dtype=np.float32)


class FakeSynthesizer:
    def __init__(self, beat: Beat) -> None:
        self._beat = beat

    def propose(self, work: Work, origin: Origin, wanted: Sequence[Wanted]) -> Proposed:
        return Proposed(tuple(self._write(one) for one in wanted))

    def _write(self, wanted: Wanted) -> tuple[Proposal, ...]:
        self._beat("propose")
        rng = np.random.default_rng(wanted.seed)
        made = []
        for _ in range(wanted.num):
            parent = wanted.seeds[rng.integers(len(wanted.seeds))]
            skill = str(rng.choice(list(wanted.skills or SKILLS)))
            question = f"{skill} number {rng.integers(10_000)}?" if rng.random() < 0.95 else ""
            made.append(Proposal(question, (), parent.id, {"skill": skill, "family": skill}))
        return tuple(made)


class FakeTrainer:
    """Half of what is missing in a trained skill is learnt; a checkpoint file says which step was reached."""

    def __init__(self, checkpoints: FileCheckpoints, beat: Beat) -> None:
        self._checkpoints = checkpoints
        self._beat = beat

    def train(self, job: TrainingJob, *, work_dir: Path, progress: Progress) -> TrainingRun:
        knowledge = knowledge_of(job.student, self._checkpoints)
        for skill in sorted({prompt.attributes["skill"] for prompt in job.prompts}):
            self._beat("train")
            known = knowledge.get(skill, 0.5)
            knowledge[skill] = round(known + (0.97 - known) / 2, 6)
        folder = write_student(work_dir / "out", knowledge)
        settings = job.settings
        history = (TrainedStep(1, 0.5, 1.0, settings.learning_rate, 6.0, 0.0),)
        return TrainingRun(folder, settings.steps, settings.steps * settings.batch, history)


class FakeEvaluator:
    def __init__(self, samplers: FakeSamplers, beat: Beat) -> None:
        self._samplers = samplers
        self._beat = beat
        self._questions = {
            suite: tuple(
                HeldOutQuestion(make_prompt(skill, 100_000 + number, Origin.HELD_OUT), ("any",))
                for skill in skills
                for number in range(40)
            )
            for suite, skills in {"easy": ("read", "count"), "hard": ("compare", "subtract")}.items()
        }

    def suites(self, *, whole: bool) -> tuple[str, ...]:
        return ("hard_whole",) if whole else ("easy", "hard")

    def size(self, suite: str) -> int:
        return len(self._questions[suite.removesuffix("_whole")])

    def contaminated(self, prompt: Prompt) -> str | None:
        held_out = {question.prompt.id for suite in self._questions.values() for question in suite}
        return prompt.id if prompt.id in held_out else None

    def evaluate(self, version: Version, suite: str, progress: Progress) -> SuiteReport:
        self._beat("evaluate")
        prompts = [question.prompt for question in self._questions[suite.removesuffix("_whole")]]
        chunks = self._samplers.open(version).sample(SamplingJob(prompts, 1, 7, Sampling()))
        answers = {sample.prompt_id: sample.text for chunk in chunks for sample in chunk}
        values = tuple(float(answers[prompt.id].endswith(f" {gold(prompt)}")) for prompt in prompts)
        families = tuple(prompt.attributes["family"] for prompt in prompts)
        return SuiteReport(suite, "exact_match", tuple(prompt.id for prompt in prompts), values, families)


class QuietProgress:
    @contextmanager
    def bar(self, label: str, total: int | None) -> Iterator[Advance]:
        yield lambda done: None


class ListTracker:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    def round_started(self, campaign: str, round: int, settings: object, tags: object) -> None:
        self.calls.append(("round_started", round))

    def stage_ended(self, campaign: str, round: int, stage: str, output: object, seconds: float) -> None:
        self.calls.append(("stage_ended", round, stage, output))

    def round_ended(self, campaign: str, round: int, status: str) -> None:
        self.calls.append(("round_ended", round, status))

    def campaign_ended(self, campaign: str, status: str) -> None:
        self.calls.append(("campaign_ended", status))


def fake_source(pool: Pool) -> Iterator[Prompt | Quarantined]:
    """Easy skills dominate, as in sets as they come; one entry is bad."""
    for number in range(pool.size):
        yield make_prompt(("read", "count", "read", "compare", "count", "subtract")[number % 6], number)
    yield Quarantined("fake:1", "", "the question is empty")


def write_student(folder: Path, knowledge: dict[str, float]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "knowledge.json").write_text(json.dumps(knowledge, sort_keys=True))
    return folder


def fake_settings(**changes: object) -> CampaignSettings:
    """A campaign of two small rounds."""
    data: dict[str, object] = {
        "name": "fake",
        "rounds": 2,
        "pool": {"name": "fake", "size": 48},
        "sampling": {"batch": 10},
        "scoring": {"teacher_samples": 4, "student_samples": 4},
        "targeting": {"regions": 4},
        "synthesis": {"seed_guided": 12, "skill_guided": 12},
        "selection": {"prompts": 16},
        "training": {"steps": 2, "batch": 4},
        "evaluation": {"main": ["easy", "hard"]},
    }
    return CampaignSettings.model_validate(data | changes)


def fake_ports(
    home: Path,
    beat: Beat = lambda name: None,
    *,
    ledger_url: str | None = None,
    generator: Sampler | None = None,
    limits: Limits = Limits(),  # noqa: B008 - frozen
) -> tuple[Ports, Version, Version]:
    """Real store, fake models; returns the ports, the student and the teacher. A generator writes, if there is one."""
    blobs, checkpoints = FileBlobs(home / "blobs"), FileCheckpoints(home / "checkpoints")
    start = write_student(home / "start", SKILLS)
    student = Version(folder_digest(start), Role.STUDENT, "fake:student")
    checkpoints.add(start)
    samplers = FakeSamplers(checkpoints, beat, generator)
    ledger = Ledger(ledger_url or home / "ledger.db")
    spending = Spending(limits, home)
    writer = None
    if generator is not None:
        version = Version("g" * 64, Role.GENERATOR, "fake:generator")
        writer = ModelSynthesizer(Generator(version, ledger, samplers, QuietProgress(), spending), blobs, Templates())
    ports = Ports(
        ledger=ledger,
        blobs=blobs,
        checkpoints=checkpoints,
        index=PoolIndex.open(home / "index", "fake", ledger.embeddings("fake", [p.id for p in ledger.pool("fake")])),
        samplers=samplers,
        embedder=FakeEmbedder(beat),
        synthesizer=writer or FakeSynthesizer(beat),
        trainer=FakeTrainer(checkpoints, beat),
        evaluator=FakeEvaluator(samplers, beat),
        tracker=ListTracker(),
        source=fake_source,
        progress=QuietProgress(),
        work_dir=home / "work",
        spending=spending,
        skill_namer=writer,
    )
    return ports, student, Version("t" * 64, Role.TEACHER, "fake:teacher")
