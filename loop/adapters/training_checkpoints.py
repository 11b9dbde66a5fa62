"""Checkpoints of a training that is under way: made whole by a manifest, checked before use.

    <work_dir>/inputs                     digest of what this training is: another one starts afresh here
    <work_dir>/checkpoint-<step>/         what transformers.Trainer writes: weights, optimizer, schedule, RNG, log
    <work_dir>/checkpoint-<step>/rollouts-<rank>.json   responses that are drawn and not yet used, of each process
    <work_dir>/checkpoint-<step>/manifest.json          the sha256 of every other file; written last

A folder without a manifest was being written when the process died; one whose files do not match it was damaged since.
Both are removed, and the training goes on from the checkpoint before.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import shutil
from pathlib import Path

log = logging.getLogger(__name__)

KEPT = 2
"""Checkpoints: the last one, and the one before in case that it is damaged."""
MANIFEST = "manifest.json"


def seal(checkpoint: Path) -> None:
    """Write the manifest of a checkpoint that is complete."""
    unfinished = checkpoint / f"{MANIFEST}.part"
    unfinished.write_text(json.dumps(_digests(checkpoint), indent=1), encoding="utf-8")
    unfinished.replace(checkpoint / MANIFEST)


def last_checkpoint(work_dir: Path, inputs: str) -> Path | None:
    """The newest whole checkpoint of this very training; whatever else the folder holds is removed."""
    marker = work_dir / "inputs"
    if not marker.is_file() or marker.read_text(encoding="utf-8") != inputs:
        shutil.rmtree(work_dir, ignore_errors=True)
        work_dir.mkdir(parents=True)
        marker.write_text(inputs, encoding="utf-8")
        return None
    return newest_whole(work_dir)


def newest_whole(work_dir: Path, before: float = math.inf) -> Path | None:
    """The newest checkpoint before a step whose files are what was written; newer ones that are not are removed."""
    older = [checkpoint for checkpoint in work_dir.glob("checkpoint-*") if step_of(checkpoint) < before]
    for checkpoint in sorted(older, key=step_of, reverse=True):
        fault = _fault(checkpoint)
        if fault is None:
            return checkpoint
        log.warning("%s is not used: %s; the training goes on from the checkpoint before it", checkpoint, fault)
        shutil.rmtree(checkpoint)
    return None


def step_of(checkpoint: Path) -> int:
    """The step after which a checkpoint was written."""
    return int(checkpoint.name.rpartition("-")[2])


def _fault(checkpoint: Path) -> str | None:
    try:
        written = json.loads((checkpoint / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "its writing was cut off"
    found = _digests(checkpoint)
    wrong = sorted(name for name in written.keys() | found.keys() if written.get(name) != found.get(name))
    return f"{wrong[0]} is not what was written" if wrong else None


def _digests(checkpoint: Path) -> dict[str, str]:
    files = {path.relative_to(checkpoint).as_posix(): path for path in sorted(checkpoint.rglob("*")) if path.is_file()}
    return {name: _sha256(path) for name, path in files.items() if not name.startswith(MANIFEST)}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
