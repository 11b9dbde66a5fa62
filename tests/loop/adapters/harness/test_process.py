"""The harness's process is asked, answered, ended in time, and its failures say what to do."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from loop import harness_place
from loop.adapters.harness.process import HarnessRun, Request, run_task
from store.errors import HarnessFailed, UsageError
from store.records import HarnessScore

pytestmark = pytest.mark.usefixtures("fake_harness")


def run(task: str, folder: Path, *, limit: int | None = None, time_limit_s: float = 60) -> HarnessRun:
    return run_task(
        task, lambda requests: ["2"] * len(requests), folder, include=None, limit=limit, time_limit_s=time_limit_s
    )


def test_a_task_is_answered_in_its_order_and_leaves_nothing_behind(tmp_path: Path) -> None:
    asked: list[Request] = []

    def answer(requests: Sequence[Request]) -> list[str]:
        asked.extend(requests)
        with Image.open(requests[0].images[0]) as picture:
            assert picture.size == (8, 8)
        return ["2", "four\u2028", "3"]

    found = run_task("arithmetic", answer, tmp_path / "job", include=None, limit=None, time_limit_s=60)
    assert [len(request.images) for request in asked] == [1, 0, 0]
    assert asked[1].text.startswith("How much is 2 + 2?")
    assert [request.max_tokens for request in asked] == [16, 16, 16]
    assert [question.response for question in found.questions] == ["2", "four\u2028", "3"]
    assert [question.scores["right"] for question in found.questions] == [1.0, 0.0, 0.0]
    assert found.scores == (HarnessScore("right", pytest.approx(1 / 3), 0.25),)
    assert found.harness_version == "0.7.3"
    assert not (tmp_path / "job").exists()


def test_a_limit_is_handed_on(tmp_path: Path) -> None:
    assert len(run("arithmetic", tmp_path / "job", limit=2).questions) == 2


def test_a_crash_tells_its_last_words_and_keeps_the_log(tmp_path: Path) -> None:
    with pytest.raises(HarnessFailed, match=r"exit code 3 .*log\.txt; its log ends: first line \| segmentation fault"):
        run("crash", tmp_path / "job")
    assert "segmentation fault" in (tmp_path / "job" / "log.txt").read_text()


def test_one_that_ends_while_it_is_answered_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(HarnessFailed, match="exit code 1 and no result"):
        run("gone", tmp_path / "job")


@pytest.mark.parametrize(
    ("task", "error", "message"),
    [
        ("unknown", UsageError, "near it are known, unkown; .* lists all"),
        ("hub", HarnessFailed, "'hub' needs data of the hub.*HF_HUB_OFFLINE=1"),
        ("likelihoods", HarnessFailed, "asks for likelihoods; leave it out"),
        ("broken", HarnessFailed, "failed in task 'broken': KeyError: 'image'; the whole log is"),
    ],
)
def test_a_refusal_says_what_to_do(tmp_path: Path, task: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        run(task, tmp_path / "job")


@pytest.mark.parametrize("task", ["hang", "orphan"])
def test_time_that_is_up_ends_the_process_and_its_children(tmp_path: Path, task: str) -> None:
    folder = tmp_path / "job"
    with pytest.raises(HarnessFailed, match=r"ended after evaluation\.time_limit_s = 6 seconds"):
        run(task, folder, time_limit_s=6)
    assert is_gone(int((folder / "pid").read_text()))


def test_a_result_is_taken_even_if_the_process_does_not_end(tmp_path: Path) -> None:
    assert len(run("slow end", tmp_path / "job").questions) == 3


def test_an_interruption_ends_the_process(tmp_path: Path) -> None:
    folder, seen = tmp_path / "job", []

    def interrupt(requests: Sequence[Request]) -> list[str]:
        seen.append(len(requests))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_task("arithmetic", interrupt, folder, include=None, limit=None, time_limit_s=60)
    assert seen == [3]
    assert (folder / "log.txt").exists()


def is_gone(pid: int) -> bool:
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        stat = Path(f"/proc/{pid}/stat")  # an orphan stays a zombie where nobody waits for orphans
        if stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False


def test_without_an_environment_the_way_to_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(harness_place.VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(HarnessFailed, match=r"nowhere is no file.*sh scripts/setup_lmms_eval\.sh"):
        run("arithmetic", tmp_path / "job")
    monkeypatch.delenv(harness_place.VARIABLE)
    monkeypatch.setattr(harness_place, "_folders", lambda: (tmp_path, tmp_path))
    with pytest.raises(HarnessFailed, match=r"there is no .*\.venv-lmms-eval.bin.python"):
        run("arithmetic", tmp_path / "job")
    assert harness_place.installed_version() is None


def test_the_version_is_read_from_the_environment_without_starting_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "env" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("")
    monkeypatch.setenv(harness_place.VARIABLE, str(python))
    assert harness_place.installed_version() is None
    (tmp_path / "env/lib/python3.11/site-packages/lmms_eval-0.7.3.dist-info").mkdir(parents=True)
    assert harness_place.installed_version() == "0.7.3"
