"""One of several processes that train together: `torchrun -m tests.train_worker FOLDER ACCUMULATION`.

FOLDER holds `student` and `teacher`; `result.json` and `work/model` come from the first process.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from loop.adapters.models import Models
from loop.training_settings import Hardware
from store.blobs import FileBlobs
from store.checkpoints import FileCheckpoints
from tests.tiny_models import make_prompts, version_of
from tests.trainings import SHORT, train


def main(folder: Path, accumulation: int) -> None:
    """Train as the environment says, alone or with others."""
    blobs = FileBlobs(folder / f"blobs-{os.environ.get('RANK', '0')}")
    models = Models(blobs, FileCheckpoints(folder / "checkpoints"), device="cpu", threads=1)
    pair = (version_of(folder / "student"), version_of(folder / "teacher"))
    settings = SHORT.model_copy(update={"sync_steps": 2, "hardware": Hardware(accumulation=accumulation)})
    run = train(models, pair, make_prompts(5, blobs), folder / f"work-{accumulation}", settings)
    if os.environ.get("RANK", "0") == "0":
        rows = [[step.loss, step.grad_norm, step.response_tokens, step.entropy] for step in run.history]
        found = {"rows": rows, "train_tokens": run.train_tokens, "model": str(run.folder)}
        (folder / "result.json").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
