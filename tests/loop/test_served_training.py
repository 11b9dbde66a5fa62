"""A teacher that exists only behind a server trains: a campaign against a scripted server that scores given tokens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from loop.adapters.models import Models
from loop.adapters.sampler import TransformersSamplers
from store.blobs import FileBlobs
from store.checkpoints import FileCheckpoints
from tests.conftest import Calls
from tests.fake_server import FakeServer, images_of
from tests.tiny_campaign import held_out, write_campaign, write_rows
from tests.tiny_models import WORDS, make_prompts, picture, version_of, write_model

NOWHERE = "behind/a-server"
"""The name of a model that no folder and no hub has."""


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer(model=NOWHERE) as running:
        yield running


@pytest.fixture
def campaign(tmp_path: Path, server: FakeServer) -> tuple[str | Path, ...]:
    """The command that runs a campaign of prompts with a picture, with two, and with none."""
    write_model(tmp_path / "student", seed=1, sharpness=4)
    for number in range(8):
        (tmp_path / f"{number}.png").write_bytes(picture(number))
    images = [[], ["0.png"], ["1.png", "2.png"], *([f"{number}.png"] for number in range(3, 7))]
    rows = [{"question": f"what {WORDS[1 + n]} is this", "images": own} for n, own in enumerate(images)]
    write_rows(tmp_path / "prompts.jsonl", rows)
    write_rows(tmp_path / "held_out.jsonl", [held_out("how many", "two", "7.png")])
    file = write_campaign(tmp_path, "served", teacher=NOWHERE, student="student")
    changes = (
        'engines.teacher.kind="server"',
        f'engines.teacher.endpoints=["{server.url}"]',
        "training.steps=12",
        "training.learning_rate=0.01",
        "training.teacher_top=4",
    )
    sets = [part for change in changes for part in ("--set", change)]
    return ("run", file, *sets, "--home", tmp_path / "home")


def test_a_teacher_that_no_folder_holds_trains_through_its_server(
    campaign: tuple[str | Path, ...], server: FakeServer, call: Calls, tmp_path: Path
) -> None:
    server.likes = liked = tokens_of(tmp_path / "student", ["three", "two", "one", "blue"])
    ran = call(*campaign)
    assert ran.code == 0, ran.err
    check, *scored = server.scored
    assert check["content_parts"] == []
    assert len(scored) == 12 * 4, "one request per response"
    shown = {part["url"] for body in scored for part in body["content_parts"]}
    assert shown
    assert shown <= {url for body in server.bodies for url in images_of(body)}, (
        "the pictures as the sampling sends them"
    )
    written = tmp_path / "trained"
    assert call("student", "served", written, "--round", "1", "--home", tmp_path / "home").code == 0
    before, after = (log_prob(folder, liked[0], tmp_path) for folder in (tmp_path / "student", written))
    assert after > before + 0.5, "the student must come to like what the server likes"


def test_a_response_that_is_too_long_for_the_server_costs_itself_only(
    campaign: tuple[str | Path, ...], server: FakeServer, call: Calls, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.likes = tokens_of(tmp_path / "student", ["three", "two", "one", "blue"])
    assert call(*campaign).code == 0
    lengths = sorted(len(body["token_ids"]) for body in server.scored[1:])
    server.context = lengths[len(lengths) // 2]
    assert lengths[0] <= server.context < lengths[-1]
    ran = call(*campaign[:-1], tmp_path / "another_home")
    assert ran.code == 0, ran.err
    assert "is not scored" in caplog.text


def test_a_server_that_cannot_score_is_told_before_anything_is_paid(
    campaign: tuple[str | Path, ...], server: FakeServer, call: Calls, tmp_path: Path
) -> None:
    ran = call(*campaign)
    assert ran.code == 1
    assert "--enable-scale-out" in ran.err
    server.likes = [1, 2]
    ran = call(*campaign)
    assert ran.code == 1
    assert "--max-logprobs" in ran.err
    assert len(ran.err.strip().splitlines()) == 1, "one line"
    ran = call(*campaign, "--set", "training.loss_temperature=2.0")
    assert ran.code == 2
    assert "training.loss_temperature = 2.0" in ran.err
    assert server.bodies == []
    assert json.loads(call("status", "--json", "--home", tmp_path / "home").out) is None, "no campaign"


def tokens_of(folder: Path, words: list[str]) -> list[int]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    return [tokenizer.convert_tokens_to_ids(word) for word in words]


def log_prob(folder: Path, token: int, tmp_path: Path) -> float:
    """Mean log-probability of a token as the first of a response."""
    blobs = FileBlobs(tmp_path / "blobs")
    models = Models(blobs, FileCheckpoints(tmp_path / "checkpoints"), device="cpu", threads=1)
    prompts = make_prompts(8, blobs)
    scores = TransformersSamplers(models).open(version_of(folder)).score(prompts, [[token]] * 8, top=1)
    return float(sum(one.given[0] for one in scores) / 8)
