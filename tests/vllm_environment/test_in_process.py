"""The adapter of vLLM in process, tested where vLLM is: in `.venv-vllm`, which pins what others do not."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.vllm_environment.serving import ENVIRONMENT, NEEDED, PYTHON

TESTS = (
    "test_engine_contract.py",
    "test_vllm_engine.py",
    "test_vllm_adapters.py::test_vllm_answers_and_scores_as_each_adapter_on_one_engine",
)
ONE_PROCESS = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
"""The engine then starts in 4 seconds, not in 30."""


@pytest.mark.slow
@pytest.mark.skipif(not PYTHON.exists(), reason=NEEDED)
def test_the_contract_of_engines_and_the_tests_of_the_adapter_pass_with_a_real_vllm(tmp_path: Path) -> None:
    tests = [ROOT / "tests" / "loop" / "adapters" / name for name in TESTS]
    options = ["-q", "-p", "no:cacheprovider", "-k", "vllm", "-rs", "--basetemp", tmp_path / "base"]
    done = subprocess.run(
        [PYTHON, "-m", "pytest", *options, *tests],
        cwd=ROOT,
        env=os.environ | ENVIRONMENT | ONE_PROCESS,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-2000:]}"
    assert "skipped" not in done.stdout, done.stdout[-2000:]
