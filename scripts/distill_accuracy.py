"""Held-out accuracy after equal steps, of our trainer and of TRL's, on the embedded pair.

    seed -> prompts -> each trainer -> its student -> greedy answers to the held-out suites -> paired difference

Both learn from the same prompts in the same order, with the settings of `scripts/campaigns/embedded.toml`; a seed draws
the prompts and seeds the training. The held-out questions are the same throughout.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from loop.adapters.models import Models, resolve_version
from loop.adapters.sampler import TransformersSamplers
from loop.adapters.sources import read_source
from loop.adapters.suites import SuiteEvaluator
from loop.adapters.trainer import DistillingTrainer
from loop.adapters.trl_trainer import TrlTrainer
from loop.config import CampaignSettings, load_settings
from loop.ports import Trainer, TrainingJob
from loop.progress import LineProgress
from scripts.campaign_arms import paired_difference
from store.blobs import FileBlobs
from store.checkpoints import FileCheckpoints, folder_digest
from store.records import Prompt, Report, Role, Version

CAMPAIGN = Path(__file__).parent / "campaigns" / "embedded.toml"
TRAINERS: dict[str, Callable[[Models], Trainer]] = {"ours": DistillingTrainer, "trl": TrlTrainer}
PROMPTS = 512


def compare_accuracy(seeds: int, *, steps: int = 50, questions: int = 300) -> dict[str, float]:
    """Ours less TRL's, with a 90 % interval over seeds and questions; and the accuracies themselves."""
    never = 10_000
    changes = [f"training.steps={steps}", f"training.checkpoint_steps={never}", f"evaluation.questions={questions}"]
    settings = load_settings(CAMPAIGN, changes)
    with TemporaryDirectory() as scratch:
        home = Path(scratch)
        blobs, checkpoints = FileBlobs(home / "blobs"), FileCheckpoints(home / "checkpoints")
        models = Models(blobs, checkpoints, device="cpu", threads=1)
        evaluator = SuiteEvaluator(
            TransformersSamplers(models),
            blobs,
            sampling=settings.sampling,
            evaluation=settings.evaluation,
            image_distance=settings.synthesis.image_distance,
        )

        def report(version: Version) -> Report:
            names = settings.evaluation.main
            suites = tuple(evaluator.evaluate(version, name, LineProgress()) for name in names)
            return Report(version.id, suites, names)

        before = report(resolve_version(settings.models.student, Role.STUDENT, checkpoints))
        print(f"before: {before.mean:.3f}", flush=True)
        reports: dict[str, list[Report]] = {name: [] for name in TRAINERS}
        for seed in range(seeds):
            job = _job(settings, seed, blobs, checkpoints)
            for name, make in TRAINERS.items():
                run = make(models).train(job, work_dir=home / f"{name}-{seed}", progress=LineProgress())
                if run.folder is None or run.steps < steps:
                    raise RuntimeError(f"{name}, seed {seed}: the training ended after {run.steps} steps: {run.alarm}")
                reports[name].append(report(Version(folder_digest(run.folder), Role.STUDENT, str(run.folder))))
                print(f"accuracy {name}, seed {seed}: {reports[name][-1].mean:.3f}", flush=True)
    difference, low, high = paired_difference(reports["ours"], reports["trl"])
    means = {f"accuracy_{name}": sum(one.mean for one in rows) / seeds for name, rows in reports.items()}
    told = {"accuracy_difference": difference, "low": low, "high": high, "accuracy_before": before.mean} | means
    return {name: round(value, 4) for name, value in told.items()}


def _job(settings: CampaignSettings, seed: int, blobs: FileBlobs, checkpoints: FileCheckpoints) -> TrainingJob:
    """The pair, and hard prompts of the embedded world."""
    pool = settings.pool.model_copy(update={"size": PROMPTS, "easy_share": 0.0, "easy_vqa_share": 0.0, "seed": seed})
    prompts = [one for one in read_source(pool, blobs) if isinstance(one, Prompt)]
    student, teacher = (
        resolve_version(getattr(settings.models, role), role, checkpoints) for role in (Role.STUDENT, Role.TEACHER)
    )
    return TrainingJob(student, teacher, prompts, [1.0] * len(prompts), settings.training, seed)
