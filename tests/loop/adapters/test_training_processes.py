"""Two processes that train together learn what one learns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.tiny_models import write_model
from tests.train_worker import main

ROOT = Path(__file__).resolve().parents[3]


def test_two_processes_learn_what_one_learns(tmp_path: Path) -> None:
    """Responses differ in length, so that a mean of the processes' means would not be the mean over all tokens."""
    write_model(tmp_path / "student", seed=1, sharpness=4)
    write_model(tmp_path / "teacher", seed=2, sharpness=8)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, "-m", "tests.train_worker", str(tmp_path), "2"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    two = json.loads((tmp_path / "result.json").read_text())
    main(tmp_path, 1)
    one = json.loads((tmp_path / "result.json").read_text())
    assert two["train_tokens"] == one["train_tokens"]
    for ours, theirs in zip(one["rows"], two["rows"], strict=True):
        assert theirs == pytest.approx(ours, rel=1e-3)
    weights = [load_file(Path(run["model"]) / "model.safetensors") for run in (one, two)]
    for name, value in weights[0].items():
        assert weights[1][name].numpy() == pytest.approx(value.numpy(), abs=1e-4), name
