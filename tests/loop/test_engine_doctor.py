"""What the doctor says of a campaign's engines: what can start here, what fits, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from loop import engine_doctor
from loop.config import CampaignSettings, load_settings
from loop.doctor import examine
from loop.engine_doctor import examine_engines
from loop.findings import Finding
from tests.conftest import ROOT, Calls
from tests.fake_server import FakeServer, images_of

TEACHER = "Qwen/Qwen3-VL-235B-A22B-Thinking"
PAPER = ROOT / "scripts" / "campaigns" / "paper.toml"
KEY = "sk-of-the-doctor"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    monkeypatch.setenv("TEACHER_API_KEY", KEY)
    with FakeServer(model=TEACHER, key=KEY) as running:
        running.likes = range(64)
        yield running


def paper(server: FakeServer, **teacher: object) -> CampaignSettings:
    changes = {"endpoints": f'["{server.url}"]', **teacher}
    return load_settings(PAPER, [f"engines.teacher.{key}={value}" for key, value in changes.items()])


def found(settings: CampaignSettings, *, probe: bool = False) -> dict[str, Finding]:
    return {finding.what: finding for finding in examine_engines(settings, probe=probe)}


@pytest.mark.skipif(bool(engine_doctor.gpu_bytes()), reason="there are GPUs here")
def test_the_papers_campaign_lacks_nothing_but_gpus_and_the_harness(tmp_path: Path, server: FakeServer) -> None:
    findings = examine(paper(server), tmp_path / "home", None)
    missing = {finding.what: finding for finding in findings if finding.missing}
    missing.pop("lmms-eval", None)  # which `make test-tools` installs
    assert missing.keys() == {"engines.student", "memory for training", "models.device"}
    assert "0 of 1 GPUs" in missing["engines.student"].found
    assert "no GPU" in missing["memory for training"].found
    assert missing["models.device"].found == "cuda"
    assert server.bodies == []


def test_the_papers_models_are_weighed_by_their_names(server: FakeServer) -> None:
    told = found(paper(server))
    assert "student 8 B parameters by its name x 16 bytes 119 GiB" in told["memory for training"].found
    for what in ("memory for training", "memory for sampling"):
        assert "teacher" not in told[what].found, "which the server holds"


def test_a_server_that_answers_is_named_and_one_that_does_not_is_missing(server: FakeServer) -> None:
    told = f"{server.url} serves {TEACHER}, and scores responses for the training"
    assert found(paper(server))["engines.teacher"] == Finding("engines.teacher", told)
    settings = paper(server)
    server.stop()
    down = found(settings)["engines.teacher"]
    assert down.missing
    assert server.url in down.found
    assert "start the server" in down.remedy


def test_a_server_that_cannot_score_lacks_a_flag_that_training_needs(server: FakeServer) -> None:
    for likes, flag in ((None, "--enable-scale-out"), ([1, 2], "--max-logprobs")):
        server.likes = likes
        told = found(paper(server))["engines.teacher"]
        assert told.missing
        assert flag in told.remedy
    own = paper(server)
    traces = own.training.model_copy(update={"mode": "off_policy"})
    for change in ({"rounds": 0}, {"training": traces}):
        assert not found(own.model_copy(update=change))["engines.teacher"].missing


def test_another_model_a_wrong_key_and_no_key_are_told_apart(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = found(paper(server, served_name="other"))["engines.teacher"]
    assert wrong.missing
    assert f"it has {TEACHER}" in wrong.found
    assert "served_name" in wrong.remedy
    monkeypatch.setenv("TEACHER_API_KEY", "sk-other")
    refused = found(paper(server))["engines.teacher"]
    assert "401" in refused.found
    assert "sk-other" not in refused.found
    assert "TEACHER_API_KEY" in refused.remedy
    monkeypatch.delenv("TEACHER_API_KEY")
    assert found(paper(server))["engines.teacher.api_key_env"].remedy == "export TEACHER_API_KEY=..."


def test_a_probe_tells_a_server_that_sees_from_one_that_drops_pictures(server: FakeServer) -> None:
    pictures: list[str] = []

    def colour(body: dict[str, object]) -> dict[str, object]:
        (url,) = images_of(body)
        pictures.append(url)
        return {"content": "Red." if url == pictures[0] else "Blue."}

    server.message = colour
    seeing = found(paper(server), probe=True)["engines.teacher"]
    assert not seeing.missing
    assert "pictures reach it" in seeing.found
    assert len(set(pictures)) == 2
    server.message = lambda body: {"content": ["Red.", "Blue."][int(str(body["seed"])[-1]) % 2]}
    blind = found(paper(server), probe=True)["engines.teacher"]
    assert blind.missing
    assert "do not depend on the picture" in blind.found
    assert "chat template" in blind.remedy


def test_a_pair_that_does_not_fit_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = CampaignSettings(name="mine")
    assert not any(finding.missing for finding in examine_engines(settings, probe=False))
    monkeypatch.setattr(engine_doctor, "gpu_bytes", lambda: [1 << 20])
    small = found(settings)
    assert small["memory for sampling"].missing
    assert "of 1 MiB (1 GPU(s))" in small["memory for training"].found


def test_the_command_takes_the_probe(call: Calls, server: FakeServer, tmp_path: Path) -> None:
    change = f'engines.teacher.endpoints=["{server.url}"]'
    done = call("doctor", PAPER, "--set", change, "--probe", "--home", tmp_path / "home", TEACHER_API_KEY=KEY)
    assert done.code == 1
    assert "engines.teacher is missing: check its chat template" in " ".join(done.err.split())
