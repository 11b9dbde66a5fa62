"""Paths in a campaign file: relative to the file, checked before anything runs.

A model is one of `EMBEDDED_MODELS`, a folder, or a hub name; what starts with `.`, `/` or `~`, or cannot
be a hub name, must be a folder. A source of prompts is `embedded`, `imported`, a file, a folder, or a data set of the
hub (owner/name); one of held-out questions is `embedded` or a file. An adapter is a folder.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from store.errors import UsageError

if TYPE_CHECKING:
    from loop.config import CampaignSettings
    from loop.engine_settings import Engines
    from loop.training_settings import Training

EMBEDDED_MODELS = (
    "embedded:teacher",
    "embedded:student",
    "embedded:direct_student",
    "embedded:llava_teacher",
    "embedded:llava_student",
)
EMBEDDED = "embedded"
IMPORTED = "imported"
"""A source of prompts that is no source: the pool was filled before."""
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
DATASET_NAME = re.compile(r"(?!.*\.(jsonl?|csv|parquet|txt|zip)$)[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
"""A data set of the hub; what looks like a file is one that is missing."""


def model_folder(source: str) -> str:
    """The folder of a model that this package ships; any other name as it is."""
    return str(Path(__file__).parent / "embedded" / source.partition(":")[2]) if source in EMBEDDED_MODELS else source


def with_paths(settings: CampaignSettings, file: Path) -> CampaignSettings:
    """The settings with every path made absolute. UsageError names the key, the value and the remedy."""
    base = file.parent.resolve()
    models, pool, evaluation, embedding = settings.models, settings.pool, settings.evaluation, settings.embedding
    generation = settings.generation
    own_encoder = embedding.model in ("student", "teacher")
    return settings.model_copy(
        update={
            "models": models.model_copy(
                update={
                    role: _model(file, f"models.{role}", getattr(models, role), base)
                    for role in ("teacher", "student", "generator")
                    if (role, getattr(models, role)) != ("generator", "teacher")
                }
            ),
            "pool": pool.model_copy(update={"source": _prompts(file, pool.source, base)}),
            "evaluation": evaluation.model_copy(
                update={
                    "source": _held_out(file, evaluation.source, base),
                    "task_files": _folder(file, "evaluation.task_files", evaluation.task_files, base),
                }
            ),
            "embedding": embedding
            if own_encoder
            else embedding.model_copy(update={"model": _model(file, "embedding.model", embedding.model, base)}),
            "engines": _engines(file, settings.engines, base),
            "generation": generation.model_copy(update={"templates": _templates(file, generation.templates, base)}),
            "training": _training(file, settings.training, base),
        }
    )


def _engines(file: Path, engines: Engines, base: Path) -> Engines:
    """The engines with absolute adapter folders."""
    changed: dict[str, object] = {}
    for role in type(engines).model_fields:
        engine = getattr(engines, role)
        adapter = getattr(engine, "adapter", None)
        if adapter is None:
            continue
        folder = base / Path(adapter).expanduser()
        if not (folder / "adapter_config.json").is_file():
            raise UsageError(
                f"{file}: `engines.{role}.adapter` = {adapter!r}: {folder} holds no adapter_config.json; name a folder"
                " that PEFT's `save_pretrained` wrote"
            )
        changed[role] = engine.model_copy(update={"adapter": str(folder)})
    return engines.model_copy(update=changed)


def _training(file: Path, training: Training, base: Path) -> Training:
    value = training.hardware.accelerate_config
    if value is None:
        return training
    path = base / Path(value).expanduser()
    if not path.is_file():
        raise UsageError(
            f"{file}: `training.hardware.accelerate_config` = {value!r}: there is no file {path}; `accelerate config"
            " --config_file FILE` writes one"
        )
    hardware = training.hardware.model_copy(update={"accelerate_config": str(path)})
    return training.model_copy(update={"hardware": hardware})


def _model(file: Path, key: str, value: str, base: Path) -> str:
    if value in EMBEDDED_MODELS:
        return value
    folder = base / Path(value).expanduser()
    if value and folder.is_dir():
        return str(folder)
    if value.startswith((".", "/", "~")) or not HUB_NAME.fullmatch(value):
        raise UsageError(
            f"{file}: `{key}` = {value!r}: there is no folder {folder}; correct the path, or give a hub name"
            f" or one of {', '.join(EMBEDDED_MODELS)}"
        )
    return value


def _folder(file: Path, key: str, value: str | None, base: Path) -> str | None:
    if value is None:
        return None
    path = base / Path(value).expanduser()
    if not path.is_dir():
        raise UsageError(f"{file}: `{key}` = {value!r}: there is no folder {path}; correct the path")
    return str(path.resolve())


def _prompts(file: Path, value: str, base: Path) -> str:
    if value in (EMBEDDED, IMPORTED):
        return value
    path = base / Path(value).expanduser()
    if path.exists():
        return str(path)
    if DATASET_NAME.fullmatch(value):
        return value
    raise UsageError(
        f"{file}: `pool.source` = {value!r}: there is no file or folder {path}; correct the path, or say `{EMBEDDED}`,"
        f" or `{IMPORTED}` for a pool that `deltaloop import` filled"
    )


def _held_out(file: Path, value: str, base: Path) -> str:
    if value == EMBEDDED:
        return value
    path = base / Path(value).expanduser()
    if not path.is_file():
        raise UsageError(
            f"{file}: `evaluation.source` = {value!r}: there is no file {path}; correct the path, or say `{EMBEDDED}`"
        )
    return str(path)


def _templates(file: Path, value: str | None, base: Path) -> str | None:
    if value is None:
        return None
    folder = base / Path(value).expanduser()
    if not folder.is_dir():
        raise UsageError(
            f"{file}: `generation.templates` = {value!r}: there is no folder {folder}; correct the path, or leave the"
            " key out"
        )
    return str(folder)
