"""A campaign whose teacher is behind a real `vllm serve`: a whole round, and the Δ that it gives in this process."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from loop.adapters.server import ServerSampler
from loop.bootstrap import check_endpoint, make_ports, open_home, shows_images
from loop.campaign import run_campaign
from loop.config import CampaignSettings, Sampling, load_settings
from loop.engine_settings import ServerEngine
from loop.ports import SamplingJob
from loop.progress import make_progress
from scripts.compare_served_teacher import changed, compare
from store.blobs import FileBlobs
from store.records import Prompt, Status
from store.verify import verify
from tests.conftest import SMOKE
from tests.vllm_environment.serving import Served

pytestmark = pytest.mark.slow


def smoke(**changes: object) -> CampaignSettings:
    settings = load_settings(SMOKE)
    tables = {name: getattr(settings, name).model_dump() | own for name, own in changes.items()}  # type: ignore[operator]
    return changed(settings, tracking={"mlflow": False}, **tables)


def engine_of(served: Served) -> ServerEngine:
    return ServerEngine(endpoints=(served.url,), served_name=served.name)


def test_a_round_with_the_teacher_behind_a_server(vllm_server: Served, tmp_path: Path) -> None:
    settings = smoke(engines={"teacher": engine_of(vllm_server).model_dump()})
    place = open_home(tmp_path / "home")
    ports, student, teacher = make_ports(place, settings, make_progress(sys.stderr))
    run_campaign(settings, ports, student, teacher)
    assert all(stage.status is Status.COMPLETED for row in place.ledger.rounds("smoke") for stage in row.stages)
    checked = verify(place.ledger, place.blobs, place.checkpoints)
    assert not checked.problems
    assert {score.teacher for score in place.ledger.scores("smoke", 1)} == {teacher.id}
    assert teacher.id != make_ports(place, smoke(), make_progress(sys.stderr))[2].id, "another than the folder's"
    place.close()


def test_the_delta_of_a_served_teacher_is_that_of_the_teacher_in_process(vllm_server: Served, tmp_path: Path) -> None:
    settings = smoke(scoring={"teacher_samples": 16}, pool={"size": 40})
    found = compare(settings, vllm_server.url, vllm_server.name, tmp_path)
    assert found.prompts == 40
    assert found.significant_share <= 0.05
    assert abs(found.mean_delta_here - found.mean_delta_served) < 0.2


def test_the_probe_sees_that_pictures_reach_the_model(vllm_server: Served) -> None:
    engine = engine_of(vllm_server)
    check_endpoint(engine, "embedded:teacher", vllm_server.url)
    assert shows_images(engine, "embedded:teacher", vllm_server.url, max_tokens=32)


def test_the_server_holds_responses_to_a_schema(vllm_server: Served, tmp_path: Path) -> None:
    sampler = ServerSampler(engine_of(vllm_server), vllm_server.name, FileBlobs(tmp_path / "blobs"))
    prompts = [Prompt.make(f"how many {colour} bars are there ?") for colour in ("red", "blue")]
    schema = {"type": "integer", "enum": [3, 7]}
    job = SamplingJob(prompts, 8, 0, Sampling(temperature=1.0, max_tokens=8), schema=schema)
    said = [one.text for chunk in sampler.sample(job) for one in chunk]
    assert len(said) == 16
    assert set(said) <= {"3", "7"}
