"""What reviewers forget: layout, import direction, file sizes, and that missing tools are not passed over in CI."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REQUIRE_TOOLS, ROOT

MAX_LINES = 500
HEAVY = ("torch", "transformers", "vllm", "mlflow", "optuna", "apscheduler", "sqlmodel", "sqlalchemy")
PACKAGES = ("loop", "store", "policies", "scripts", "tests")


def python_files() -> Iterator[Path]:
    for package in PACKAGES:
        yield from (ROOT / package).rglob("*.py")


def loaded_by(statement: str) -> set[str]:
    """The top-level modules that a statement loads in a fresh interpreter."""
    program = f"import sys; {statement}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_no_python_file_is_too_long() -> None:
    lengths = {path.relative_to(ROOT): len(path.read_text(encoding="utf-8").splitlines()) for path in python_files()}
    assert lengths, "no Python files were found"
    assert {path: lines for path, lines in lengths.items() if lines > MAX_LINES} == {}


def test_where_processes_share_the_suite_a_file_stays_in_one(request: pytest.FixtureRequest) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        assert request.node.nodeid.endswith(f"@{request.path}"), "the marks of conftest.py did not reach pytest-xdist"


@pytest.mark.parametrize("modules", ["loop.round", "loop.campaign, loop.stages, loop.config, loop.ports, loop.cli"])
def test_the_core_loads_nothing_heavy(modules: str) -> None:
    assert loaded_by(f"import {modules}").isdisjoint(HEAVY)


def test_looking_at_a_home_loads_neither_torch_nor_mlflow(tmp_path: Path) -> None:
    loaded = loaded_by(f"import pathlib, loop.bootstrap as b; b.open_home(pathlib.Path({str(tmp_path)!r}))")
    assert "sqlalchemy" in loaded
    assert loaded.isdisjoint({"torch", "transformers", "mlflow"})


def test_imports_point_one_way() -> None:
    lint = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_only_the_composition_root_imports_adapters() -> None:
    importing = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "loop").rglob("*.py")
        if "adapters" not in path.parts
        and re.search(r"^\s*(from|import) loop\.adapters", path.read_text(encoding="utf-8"), re.M)
    }
    assert importing == {"loop/bootstrap.py"}


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout: nothing is tracked")
def test_only_the_readme_of_mlruns_is_tracked() -> None:
    done = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "mlruns"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["mlruns/README.md"]


def test_the_campaign_files_say_their_rounds_at_the_start_of_a_line() -> None:
    from loop.config import load_settings

    files = {path.stem: path for path in (ROOT / "scripts" / "campaigns").glob("*.toml")}
    assert {"embedded", "smoke", "paper"} <= files.keys()
    for path in files.values():
        assert re.search(r"^rounds = \d+$", path.read_text(encoding="utf-8"), re.M), path
    assert [load_settings(files[name]).name for name in ("embedded", "smoke")] == ["embedded", "smoke"]


@pytest.mark.parametrize(("required", "code"), [("", 0), ("1", 1)])
def test_a_missing_tool_fails_only_where_tools_are_required(tmp_path: Path, required: str, code: int) -> None:
    (tmp_path / "test_needing.py").write_text(
        "import pytest\n\n"
        "@pytest.mark.skipif(True, reason='needs a tool: make test-tools')\n"
        "def test_with_tool(): ...\n\n"
        "@pytest.mark.skipif(True, reason='another platform')\n"
        "def test_elsewhere(): ...\n"
    )
    (tmp_path / "test_needing_more.py").write_text(
        "import pytest\n\npytest.skip('needs a tool: make test-tools', allow_module_level=True)\n"
    )
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "tests.conftest",
            "-p",
            "no:cacheprovider",
            "--rootdir",
            tmp_path,
            tmp_path,
        ],
        cwd=tmp_path,
        env=os.environ | {REQUIRE_TOOLS: required, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode != 0) == (code != 0), done.stdout
    assert ("another platform" in done.stdout) is False
    assert (REQUIRE_TOOLS in done.stdout) is bool(required)
