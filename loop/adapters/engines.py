"""Which engine draws the responses of a version: the campaign's settings say it, by the version's role.

settings -> the versions that a campaign starts from, LoRA adapters merged
version -> its role -> the engine of that role -> a sampler
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from loop.adapters.lora import merged_source
from loop.adapters.models import Models, resolve_version
from loop.adapters.sampler import TransformersSamplers
from loop.adapters.server import ServerSamplers, server_version
from loop.adapters.vllm_engine import VllmSamplers
from loop.config import CampaignSettings
from loop.engine_settings import Engine, ServerEngine, TransformersEngine, VllmEngine
from loop.ports import Blobs, Checkpoints, Sampler, Samplers, Scorer
from store.records import Role, Version


class EngineSamplers:
    """Opens a sampler on the engine of the version's role."""

    def __init__(self, by_role: Mapping[Role, Samplers]) -> None:
        self.by_role = by_role

    def open(self, version: Version) -> Sampler:
        """A sampler of one version. ModelUnusable if its engine cannot load it."""
        return self.by_role[version.role].open(version)


def base_version(role: Role, settings: CampaignSettings, checkpoints: Checkpoints) -> Version:
    """The version of a role that a campaign starts from. ModelUnusable if there is none."""
    source, engine = getattr(settings.models, role), _engine(role, settings)
    if isinstance(engine, ServerEngine):
        return server_version(source, role)
    adapter = engine.adapter
    if adapter is not None:
        source = merged_source(source, adapter, checkpoints)
    return resolve_version(source, role, checkpoints)


def make_models(settings: CampaignSettings, blobs: Blobs, checkpoints: Checkpoints) -> Models:
    """What loads models in this process, each role's in the way that its engine says."""
    pair = settings.models
    engines = {role: _engine(role, settings) for role in Role}
    return Models(
        blobs,
        checkpoints,
        device=pair.device,
        dtype=pair.dtype,
        threads=pair.threads,
        engines={role: engine for role, engine in engines.items() if isinstance(engine, TransformersEngine)},
    )


def make_samplers(settings: CampaignSettings, models: Models) -> EngineSamplers:
    """The engines that the settings name; each starts when a version is opened on it."""
    return EngineSamplers({role: _samplers(role, settings, models) for role in Role})


def teacher_scorer(samplers: EngineSamplers) -> Callable[[Version], Scorer] | None:
    """What opens the teacher for the trainer; None where the trainer is to load its weights into this process."""
    engine = samplers.by_role[Role.TEACHER]
    return engine.open if isinstance(engine, VllmSamplers | ServerSamplers) else None


def _engine(role: Role, settings: CampaignSettings) -> Engine:
    engine: Engine = getattr(settings.engines, role)
    return engine


def _samplers(role: Role, settings: CampaignSettings, models: Models) -> Samplers:
    engine = _engine(role, settings)
    if isinstance(engine, ServerEngine):
        return ServerSamplers(engine, models.blobs)
    if isinstance(engine, VllmEngine):
        trains = role is Role.STUDENT and engine.serve_adapters
        rank = settings.training.lora.rank if trains else 0
        return VllmSamplers(engine, models.blobs, models.checkpoints, dtype=models.dtype, lora_rank=rank)
    return TransformersSamplers(models)
