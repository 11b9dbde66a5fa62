"""What one of several processes does with its orders: it trains, and the first one tells what came out.

orders.json -> models, teacher -> `DistillingTrainer` -> run.json, or error.json      see `launching`
"""

from __future__ import annotations

import os
from pathlib import Path

import torch
from pydantic import TypeAdapter

from loop.adapters.engines import make_models, make_samplers, teacher_scorer
from loop.adapters.launching import ERROR, ORDERS, RUN, Failure, Orders
from loop.adapters.trainer import DistillingTrainer
from loop.config import CampaignSettings
from loop.ports import Progress, TrainingJob, TrainingRun
from store.blobs import FileBlobs
from store.checkpoints import FileCheckpoints
from store.errors import DeltaloopError, UsageError
from store.files import write_whole


def train_as_ordered(folder: Path, progress: Progress, *, first: bool) -> int:
    """The exit code. Expected failures are told in the folder, others raised."""
    orders = TypeAdapter(Orders).validate_json((folder / ORDERS).read_bytes())
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))  # "cuda" is then this process's own
    try:
        run = _train(orders, progress)
    except DeltaloopError as error:
        failure = Failure(type(error).__name__, str(error))
        _write(folder / ERROR, TypeAdapter(Failure).dump_json(failure))
        return 1
    if first:
        _write(folder / RUN, TypeAdapter(TrainingRun).dump_json(run))
    return 0


def _train(orders: Orders, progress: Progress) -> TrainingRun:
    settings = CampaignSettings.model_validate(orders.settings)
    started, wanted = int(os.environ.get("WORLD_SIZE", "1")), settings.training.hardware.processes
    if started != wanted:
        raise UsageError(
            f"training.hardware.processes = {wanted}, but {started} were started; set distributed_type in"
            f" {settings.training.hardware.accelerate_config} to what starts them, MULTI_GPU for instance"
        )
    models = make_models(settings, FileBlobs(Path(orders.blobs)), FileCheckpoints(Path(orders.checkpoints)))
    trainer = DistillingTrainer(models, teacher_scorer(make_samplers(settings, models)))
    job = TrainingJob(
        orders.student,
        orders.teacher,
        orders.prompts,
        orders.weights,
        settings.training,
        orders.seed,
        orders.traces,
    )
    return trainer.train(job, work_dir=Path(orders.work_dir), progress=progress)


def _write(file: Path, data: bytes) -> None:
    write_whole(file, lambda temporary: temporary.write_bytes(data))
