"""The composition root: opens a home, and ties a campaign's settings to adapters. Nobody else imports adapters.

    <home>/ledger.db     the facts                    <home>/blobs/        images, stage outputs
    <home>/mlflow.db     the view for people          <home>/checkpoints/  model folders by digest
    <home>/artifacts/    MLflow's files               <home>/index/        FAISS files, rebuilt from the ledger
    <home>/work/         scratch of stages in progress    <home>/summaries/    of completed rounds, derived

Every heavy import is inside a function: opening a home loads neither torch nor MLflow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from store.errors import DeltaloopError, UsageError

if TYPE_CHECKING:
    from loop.adapters.engines import EngineSamplers
    from loop.adapters.model_synthesizer import ModelSynthesizer
    from loop.adapters.models import Models
    from loop.config import CampaignSettings
    from loop.engine_settings import ServerEngine
    from loop.export_prompts import Write
    from loop.intake import Source
    from loop.ports import Embedder, Evaluator, Index, Ports, Progress, Samplers, Spends, Synthesizer, Tracker, Trainer
    from loop.study import Study
    from loop.tune_settings import Tune
    from loop.tuning import Tried
    from store.blobs import FileBlobs
    from store.checkpoints import FileCheckpoints
    from store.ledger import Ledger
    from store.records import Prompt, Quarantined, SuiteReport, Version


@dataclass(frozen=True)
class Paths:
    """Where a home keeps what. MLflow's two are the tracker's own business."""

    home: Path

    @property
    def ledger(self) -> Path:
        """The SQLite file that is used unless a URL is given."""
        return self.home / "ledger.db"

    @property
    def blobs(self) -> Path:
        """Content-addressed bytes."""
        return self.home / "blobs"

    @property
    def checkpoints(self) -> Path:
        """Content-addressed model folders."""
        return self.home / "checkpoints"

    @property
    def index(self) -> Path:
        """FAISS files."""
        return self.home / "index"

    @property
    def summaries(self) -> Path:
        """Summaries of completed rounds; derived."""
        return self.home / "summaries"

    def progress(self, campaign: str) -> Path:
        """How far its running work has come; see `loop.work_done`."""
        return self.home / "progress" / f"{campaign}.json"

    @property
    def work(self) -> Path:
        """Scratch."""
        return self.home / "work"


@dataclass(frozen=True)
class Home:
    """The facts of a home, and where they lie."""

    ledger: Ledger
    blobs: FileBlobs
    checkpoints: FileCheckpoints
    paths: Paths

    def close(self) -> None:
        """Give back the ledger's connections."""
        self.ledger.close()


def open_home(home: Path, ledger_url: str | None = None) -> Home:
    """Open a home, made if absent, its ledger migrated. DeltaloopError if it cannot be."""
    from store.blobs import FileBlobs
    from store.checkpoints import FileCheckpoints

    paths = Paths(home.absolute())
    try:
        for folder in (paths.home, paths.blobs, paths.checkpoints, paths.index, paths.work):
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DeltaloopError(f"--home {home}: {error.strerror} ({error.filename}); name another folder") from None
    ledger = _open_ledger(ledger_url or paths.ledger)
    return Home(ledger, FileBlobs(paths.blobs), FileCheckpoints(paths.checkpoints), paths)


def holds_nothing(home: Path, ledger_url: str | None = None) -> bool:
    """Whether there is no ledger yet: who only looks need not make one."""
    return ledger_url is None and not Paths(home).ledger.exists()


def _open_ledger(url_or_path: str | Path) -> Ledger:
    from sqlalchemy.exc import ArgumentError

    from store.ledger import Ledger

    try:
        return Ledger(url_or_path)
    except (ArgumentError, ImportError) as error:
        # The URL may hold a password: it is not repeated.
        raise UsageError(
            f"--ledger: not a database URL that this installation can open: {error}; give sqlite:///PATH, a plain path,"
            " or install the driver"
        ) from error


def open_prompts(home: Home, source: Source) -> tuple[Iterator[Prompt | Quarantined], int | None]:
    """The prompts of a source, their pictures stored as they are read, and how many rows it has if that is known."""
    from loop.adapters import sources

    return sources.open_prompts(source, home.blobs, what="SOURCE")


def prompt_writer() -> Write:
    """What writes exported prompts."""
    from loop.adapters.parquet_shards import write_shards

    return write_shards


def make_ports(home: Home, settings: CampaignSettings, progress: Progress) -> tuple[Ports, Version, Version]:
    """What a campaign works with: its ports, and the student and teacher that it starts from."""
    from loop.adapters.engines import base_version, make_models, make_samplers
    from loop.adapters.sources import read_source
    from loop.pool_memory import check_fits
    from loop.ports import Ports
    from loop.spending import Spending
    from store.records import Role

    student = base_version(Role.STUDENT, settings, home.checkpoints)
    teacher = base_version(Role.TEACHER, settings, home.checkpoints)
    models = make_models(settings, home.blobs, home.checkpoints)
    samplers = make_samplers(settings, models)
    embedder = _embedder(settings, models, student, teacher)
    check_pool = partial(check_fits, settings, home.ledger, embedder.name)
    check_pool()
    spending = Spending(settings.limits, home.paths.home)
    writer = _writer(home, settings, samplers, teacher, spending.watching(progress), spending)
    ports = Ports(
        ledger=home.ledger,
        blobs=home.blobs,
        checkpoints=home.checkpoints,
        index=_index(home, settings.pool.name, embedder.name),
        samplers=samplers,
        embedder=embedder,
        synthesizer=writer or _synthesizer(settings),
        trainer=_trainer(home, settings, models, samplers),
        evaluator=_evaluator(home, settings, samplers),
        tracker=_tracker(home, settings),
        source=lambda pool: read_source(pool, home.blobs),
        progress=progress,
        work_dir=home.paths.work,
        spending=spending,
        check_pool=check_pool,
        skill_namer=writer,
    )
    return ports, student, teacher


def make_evaluator(home: Home, settings: CampaignSettings) -> Evaluator:
    """The suites that the settings name, to be asked by versions that the student's engine serves."""
    from loop.adapters.engines import make_models, make_samplers

    return _evaluator(home, settings, make_samplers(settings, make_models(settings, home.blobs, home.checkpoints)))


def base_student(home: Home, settings: CampaignSettings) -> Version:
    """The student that the settings start from. ModelUnusable if there is none."""
    from loop.adapters.engines import base_version
    from store.records import Role

    return base_version(Role.STUDENT, settings, home.checkpoints)


def open_study(home: Home, settings: CampaignSettings, tune: Tune) -> Study:
    """The study that tunes a campaign's budgets. UsageError if it was made of other settings."""
    from loop.adapters.optuna_study import OptunaStudy
    from loop.study import study_digest

    return OptunaStudy(
        home.paths.home,
        settings.name,
        tune.space,
        ratio=tune.objective == "ratio",
        seed=settings.seed,
        settings=study_digest(settings, tune),
    )


def online_budgets(
    home: Home, settings: CampaignSettings, tune: Tune
) -> Callable[[CampaignSettings, int], CampaignSettings]:
    """What gives each round its settings: the campaign's own, unless `tune.online` says that the study is asked."""
    if not tune.online:
        return lambda settings, index: settings
    from loop.adapters.optuna_study import OptunaStudy
    from loop.online import FIXED, OnlineBudgets

    space = {key: dimension for key, dimension in tune.space.items() if key not in FIXED}
    told = f"online: {tune.reward}"
    study = OptunaStudy(
        home.paths.home, f"{settings.name}/online", space, ratio=True, seed=settings.seed, settings=told
    )
    return OnlineBudgets(study, tune, home.ledger, home.blobs)


def make_studies(home: Home) -> None:
    """Make the database of studies if there is none: Optuna's pages need one to show."""
    from loop.adapters.optuna_study import make_studies

    make_studies(home.paths.home)


def trial_reporter(home: Path, study: str, trial: int) -> Any:
    """What a trial reports its rounds to, from whichever process runs it."""
    from loop.adapters.optuna_study import reporter

    return reporter(home, study, trial)


def note_trial(home: Home, campaign: str, tried: Tried) -> None:
    """Show a trial in MLflow, under the run of its study; a failure is a warning, as the study has it."""
    from loop.adapters.mlflow_trials import note_trial

    note_trial(home.paths.home, campaign, tried)


def note_evaluation(home: Home, version: Version, reports: Sequence[SuiteReport], campaign: str | None) -> None:
    """Show evaluations that belong to no round in MLflow; a failure is a warning, as the ledger has them."""
    from loop.adapters.mlflow_evaluations import note_evaluation

    note_evaluation(home.paths.home, home.ledger, version, reports, campaign)


def _evaluator(home: Home, settings: CampaignSettings, samplers: Samplers) -> Evaluator:
    from loop.adapters.harness.suites import HarnessEvaluator
    from loop.adapters.suites import SuiteEvaluator

    own = SuiteEvaluator(
        samplers,
        home.blobs,
        sampling=settings.sampling,
        evaluation=settings.evaluation.own(),
        image_distance=settings.synthesis.image_distance,
    )
    if settings.evaluation.harness == "none":
        return own
    return HarnessEvaluator(
        own,
        samplers,
        home.blobs,
        sampling=settings.sampling,
        evaluation=settings.evaluation,
        work_dir=home.paths.work,
    )


def _trainer(home: Home, settings: CampaignSettings, models: Models, samplers: EngineSamplers) -> Trainer:
    """UsageError if it is one that is not installed."""
    if settings.training.backend == "trl":
        from loop.adapters.trl_trainer import TrlTrainer

        return TrlTrainer(models)
    if settings.training.hardware.is_launched:
        from loop.adapters.launching import LaunchedTrainer, check_config

        check_config(settings.training.hardware)
        return LaunchedTrainer(settings, models, blobs=home.paths.blobs, checkpoints=home.paths.checkpoints)
    from loop.adapters.adapting import check_quantization
    from loop.adapters.engines import teacher_scorer
    from loop.adapters.trainer import DistillingTrainer

    check_quantization(settings.training.lora)
    return DistillingTrainer(models, teacher_scorer(samplers))


def train_as_ordered(folder: Path, progress: Progress, *, first: bool) -> int:
    """What a process that was started to train does; returns its exit code."""
    from loop.adapters.launched import train_as_ordered

    return train_as_ordered(folder, progress, first=first)


def _embedder(settings: CampaignSettings, models: Models, student: Version, teacher: Version) -> Embedder:
    from loop.adapters.embedder import ModelEmbedder, SentenceTransformerEmbedder

    name = settings.embedding.model
    own = {"student": student, "teacher": teacher}
    return (
        ModelEmbedder(models, own[name])
        if name in own
        else SentenceTransformerEmbedder(name, models.blobs, device=models.device)
    )


def _index(home: Home, pool: str, embedder: str) -> Index:
    """What of the pool is embedded already; the saved index is checked against the ledger."""
    from store.index import PoolIndex, index_name

    vectors = home.ledger.embeddings(embedder, [prompt.id for prompt in home.ledger.pool(pool)])
    return PoolIndex.open(home.paths.index, index_name(pool, embedder), vectors)


def _writer(
    home: Home,
    settings: CampaignSettings,
    samplers: Samplers,
    teacher: Version,
    progress: Progress,
    spending: Spends,
) -> ModelSynthesizer | None:
    """The model that writes questions and names skills, if the settings want one."""
    if settings.synthesis.synthesizer != "model":
        return None
    from loop.adapters.engines import base_version
    from loop.adapters.model_synthesizer import ModelSynthesizer
    from loop.adapters.templates import Templates
    from loop.generator import Generator
    from store.records import Role

    own = settings.models.generator != "teacher"
    version = base_version(Role.GENERATOR, settings, home.checkpoints) if own else teacher
    generator = Generator(version, home.ledger, samplers, progress, spending)
    return ModelSynthesizer(generator, home.blobs, Templates(settings.generation.templates))


def _synthesizer(settings: CampaignSettings) -> Synthesizer:
    from loop.adapters.procedural import NoSynthesizer, ProceduralSynthesizer

    return ProceduralSynthesizer() if settings.synthesis.synthesizer == "procedural" else NoSynthesizer()


def _tracker(home: Home, settings: CampaignSettings) -> Tracker:
    from loop.adapters.mlflow_tracker import MlflowTracker, NullTracker

    if not settings.tracking.mlflow:
        return NullTracker()
    measured = settings.tracking.system_metrics
    return MlflowTracker(home.paths.home, home.ledger, home.blobs, home.checkpoints, system_metrics=measured)


def check_endpoint(engine: ServerEngine, source: str, url: str) -> None:
    """ServerUnavailable if an endpoint does not answer; ModelUnusable if it refuses the key, or lacks the model."""
    from loop.adapters.server import check_endpoint

    check_endpoint(engine, source, url)


def shows_images(engine: ServerEngine, source: str, url: str, *, max_tokens: int) -> bool:
    """Whether what a server answers depends on the picture; costs two dozen responses."""
    from loop.adapters.server_probe import shows_images

    return shows_images(engine.model_copy(update={"endpoints": (url,)}), source, max_tokens=max_tokens)


def check_scoring(engine: ServerEngine, source: str, *, top: int, num_images: int = 0) -> None:
    """ModelUnusable if a server does not tell the `top` likeliest tokens of a response, which training asks for."""
    from loop.adapters.server_scorer import check_scoring

    check_scoring(engine, engine.served_name or source, top=top, num_images=num_images)


def check_teacher(settings: CampaignSettings) -> None:
    """Before a campaign pays for anything: can training ask the teacher, if an engine has it?

    UsageError for settings of the training that no engine can serve; else errors of `check_scoring`.
    """
    from loop.adapters.teaching import check_told
    from loop.engine_settings import ServerEngine, TransformersEngine

    engine = settings.engines.teacher
    is_asked = settings.rounds > 0 and settings.training.mode == "on_policy"
    if not is_asked or isinstance(engine, TransformersEngine):
        return
    check_told(settings.training)
    if isinstance(engine, ServerEngine):
        check_scoring(engine, settings.models.teacher, top=settings.training.teacher_top)
