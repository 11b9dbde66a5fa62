"""What this machine has, what a campaign needs of it, and what is missing, with the remedy.

settings (or none) -> examine() -> findings -> a table, and exit code 1 if something is missing
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from loop.config import CampaignSettings
from loop.engine_doctor import examine_engines
from loop.engine_settings import ServerEngine
from loop.findings import Finding, installed
from loop.harness_place import SETUP, installed_version
from loop.memory import GIB, gib
from loop.paths import EMBEDDED, EMBEDDED_MODELS
from loop.pool_memory import REMEDY, Pool, allowed_bytes, dimension_of, fit_line, held_pool, samples_of
from store.errors import DeltaloopError

REQUIRED = ("torch", "transformers", "mlflow", "sqlmodel", "alembic", "pydantic", "scipy")
OPTIONAL = {
    "vllm": "only for engines of kind `vllm`; tests have one of their own (make test-tools)",
    "sentence-transformers": "only for `embedding.model` other than `student` and `teacher`",
}
LOW_DISK_BYTES = GIB


def examine(settings: CampaignSettings | None, home: Path, ledger: str | None, *, probe: bool = False) -> list[Finding]:
    """Look at the machine, the installation and the home, and at what the campaign needs if one is given."""
    findings = [*_machine(), *_packages(), *_accelerator(), *_home(home, ledger)]
    if settings is None:
        return findings
    return [*findings, *_campaign(settings, probe=probe), *_pool(settings, home, ledger)]


def _machine() -> Iterator[Finding]:
    supported = (3, 11) <= sys.version_info[:2] < (3, 14)
    yield Finding("Python", platform.python_version(), not supported, "" if supported else "use Python 3.11 to 3.13")
    yield Finding("cores", str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()))
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        yield Finding("memory", gib(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")))


def _packages() -> Iterator[Finding]:
    for name in REQUIRED:
        found = installed(name)
        yield Finding(name, found or "not installed", not found, "" if found else "pip install -e '.[cpu,dev]'")
    yield _faiss()
    yield _harness(needed=False)
    for name, purpose in OPTIONAL.items():
        yield Finding(name, installed(name) or f"not installed: {purpose}")


def _harness(*, needed: bool) -> Finding:
    found = installed_version()
    return Finding(
        "lmms-eval", found or "not installed: only for evaluation.harness", needed and not found, "" if found else SETUP
    )


def _faiss() -> Finding:
    found = {name: installed(name) for name in ("faiss-cpu", "faiss-gpu")}
    names = [f"{name} {number}" for name, number in found.items() if number]
    if len(names) == 1:
        return Finding("faiss", names[0])
    if names:
        return Finding(
            "faiss", " and ".join(names), True, "they collide: pip uninstall one of them, reinstall the other"
        )
    if importlib.util.find_spec("faiss") is not None:
        return Finding("faiss", "installed otherwise than by pip")
    return Finding("faiss", "not installed", True, "pip install faiss-cpu, or faiss-gpu")


def _accelerator() -> Iterator[Finding]:
    if importlib.util.find_spec("torch") is None:
        return
    import torch

    if not torch.cuda.is_available():
        yield Finding("CUDA", "none: models run on the CPU")
        return
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        yield Finding(f"CUDA device {index}", f"{properties.name}, {gib(properties.total_memory)}")


def _home(home: Path, ledger: str | None) -> Iterator[Finding]:
    parent = next(path for path in (home.absolute(), *home.absolute().parents) if path.exists())
    writable = parent.is_dir() and os.access(parent, os.W_OK)
    remedy = "" if writable else "choose another with --home DIR"
    yield Finding("home", f"{home}{'' if home.exists() else ' (not there yet)'}", not writable, remedy)
    free = shutil.disk_usage(parent).free
    low = free < LOW_DISK_BYTES
    yield Finding("free disk", gib(free), low, "free some, or choose another home with --home DIR" if low else "")
    if ledger is None and not home.exists():
        return
    from loop.bootstrap import open_home

    try:
        names = [row.name for row in open_home(home, ledger).ledger.campaigns()]
    except DeltaloopError as error:
        yield Finding("ledger", str(error), True, "correct --ledger or DELTALOOP_LEDGER, or repair the file")
        return
    yield Finding("ledger", f"campaigns: {', '.join(names) or 'none'}")


def _campaign(settings: CampaignSettings, *, probe: bool) -> Iterator[Finding]:
    """Paths are checked by the loading of the file already."""
    for role in ("teacher", "student"):
        yield _model(settings, role)
    if settings.synthesis.synthesizer == "model":
        yield from _generator(settings)
    yield from examine_engines(settings, probe=probe)
    if settings.models.device.startswith("cuda") and importlib.util.find_spec("torch") is not None:
        import torch

        lacking = not torch.cuda.is_available()
        remedy = 'set `models.device` to "auto" or "cpu"' if lacking else ""
        yield Finding("models.device", settings.models.device, lacking, remedy)
    if settings.embedding.model not in ("student", "teacher"):
        lacking = installed("sentence-transformers") is None
        remedy = "pip install -e '.[text-encoder]', or set `embedding.model` to \"student\"" if lacking else ""
        yield Finding("embedding.model", settings.embedding.model, lacking, remedy)
    if settings.training.backend == "trl":
        found = installed("trl")
        remedy = "" if found else "pip install 'deltaloop[trl]', or set `training.backend` to \"deltaloop\""
        yield Finding("training.backend", f"trl {found or 'is not installed'}", found is None, remedy)
    if settings.training.lora.bits:
        found = installed("bitsandbytes")
        remedy = "" if found else "pip install 'deltaloop[qlora]', or set `training.lora.bits` to 0"
        yield Finding("training.lora.bits", f"bitsandbytes {found or 'is not installed'}", found is None, remedy)
    yield Finding("pool.source", settings.pool.source)
    yield Finding("evaluation.source", settings.evaluation.source)
    if settings.evaluation.harness != "none":
        yield _harness(needed=True)


def _pool(settings: CampaignSettings, home: Path, ledger: str | None) -> Iterator[Finding]:
    """Of a pool that is not filled yet only one that the program makes has a size."""
    from loop.bootstrap import holds_nothing, open_home

    held = Pool(settings.pool.size, 0, dimension_of(settings), samples_of(settings))
    try:
        if not holds_nothing(home, ledger):
            held = held_pool(settings, open_home(home, ledger).ledger)
    except DeltaloopError:  # told above
        return
    if held.prompts or settings.pool.source == EMBEDDED:
        lacking = held.num_bytes > allowed_bytes(settings.limits)
        yield Finding("memory for the pool", fit_line(held, settings.limits), lacking, REMEDY if lacking else "")


def _generator(settings: CampaignSettings) -> Iterator[Finding]:
    if settings.models.generator == "teacher":
        yield Finding("models.generator", "the teacher")
    else:
        yield _model(settings, "generator")
    if settings.generation.charts:
        found = installed("vl-convert-python")
        remedy = "" if found else "pip install 'deltaloop[charts]', or set `generation.charts` to 0"
        yield Finding("generation.charts", f"vl-convert-python {found or 'is not installed'}", found is None, remedy)


def _model(settings: CampaignSettings, role: str) -> Finding:
    key, source = f"models.{role}", getattr(settings.models, role)
    if isinstance(getattr(settings.engines, role), ServerEngine):
        return Finding(key, f"{source}, behind a server")
    if source in EMBEDDED_MODELS:
        folder = Path(__file__).parent / "embedded" / source.partition(":")[2]
        there = (folder / "model.safetensors").is_file()
        remedy = "" if there else "python -m scripts.train_embedded_pair writes it"
        return Finding(key, source if there else f"{source}: no weights in {folder}", not there, remedy)
    if Path(source).is_dir():
        there = (Path(source) / "config.json").is_file()
        remedy = "" if there else "name a folder that `save_pretrained` wrote"
        return Finding(key, source if there else f"{source}: no config.json", not there, remedy)
    return Finding(key, f"{source}: a hub name, fetched at first use")
