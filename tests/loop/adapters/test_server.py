"""The server engine against a server that fails as it is told to."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Iterator

import pytest
from PIL import Image

from loop.adapters.images import to_png
from loop.adapters.server import ServerSampler, server_version
from loop.config import Sampling
from loop.engine_settings import ServerEngine
from loop.ports import SamplingJob
from store.blobs import FileBlobs
from store.errors import DeltaloopError, ModelUnusable, ServerUnavailable, UsageError
from store.records import Prompt, Role, Sample, derive_seed
from tests.fake_server import (
    MODEL,
    FakeServer,
    Fault,
    broken_off,
    empty_choices,
    half_a_body,
    half_a_json,
    hang_up,
    images_of,
    question_of,
    stall,
    status,
)
from tests.fakes import FakeSampler, make_prompt

PROMPTS = [make_prompt("read", number) for number in range(6)]
SETTINGS = Sampling(temperature=0.7, max_tokens=32)


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as running:
        yield running


def sampler_of(blobs: FileBlobs, *servers: FakeServer, **changes: object) -> ServerSampler:
    settings = {"concurrency": 4, "timeout_seconds": 5.0, "retries": 3} | changes
    engine = ServerEngine.model_validate({"kind": "server", "endpoints": [one.url for one in servers]} | settings)
    return ServerSampler(engine, MODEL, blobs, first_rest=0.01)


def drawn(sampler: ServerSampler, n: int = 3, first_index: int = 0, prompts: list[Prompt] = PROMPTS) -> list[Sample]:
    chunks = sampler.sample(SamplingJob(prompts, n, 1, SETTINGS, first_index))
    return sorted((one for chunk in chunks for one in chunk), key=lambda one: (one.prompt_id, one.index))


def until_error(sampler: ServerSampler, n: int) -> tuple[list[Sample], DeltaloopError]:
    """What came before the error, and the error."""
    kept: list[Sample] = []
    with pytest.raises(DeltaloopError) as told:
        kept.extend(one for chunk in sampler.sample(SamplingJob(PROMPTS, n, 1, SETTINGS)) for one in chunk)
    return kept, told.value


def undisturbed(n: int = 3, first_index: int = 0) -> list[Sample]:
    """What the same model would say in process."""
    sampler = FakeSampler({}, 0.97, lambda name: None)
    chunks = sampler.sample(SamplingJob(PROMPTS, n, 1, SETTINGS, first_index))
    return sorted((one for chunk in chunks for one in chunk), key=lambda one: (one.prompt_id, one.index))


def test_each_sample_has_its_seed_and_index_whatever_the_order(blobs: FileBlobs, server: FakeServer) -> None:
    samples = drawn(sampler_of(blobs, server), n=3, first_index=2)
    assert samples == undisturbed(n=3, first_index=2)
    assert {one.seed for one in samples} == {derive_seed(1, p.id, index) for p in PROMPTS for index in (2, 3, 4)}
    assert {body["max_tokens"] for body in server.bodies} == {32}
    assert {body["temperature"] for body in server.bodies} == {0.7}


def test_requests_run_side_by_side_within_the_bound_on_reused_connections(blobs: FileBlobs, server: FakeServer) -> None:
    three = threading.Barrier(3)  # a request is answered only when two others are there
    server.before_reply = lambda number: three.wait(5) and None
    drawn(sampler_of(blobs, server, concurrency=3), n=8)
    assert len(server.bodies) == 48
    assert server.most_at_once == 3
    assert server.num_connections <= 4


def test_samples_are_handed_on_as_they_come(blobs: FileBlobs, server: FakeServer) -> None:
    last = threading.Event()
    server.before_reply = lambda number: last.wait(5) if number == 1 else None
    chunks = sampler_of(blobs, server).sample(SamplingJob(PROMPTS, 3, 1, SETTINGS))
    early = [one for chunk in (next(chunks) for _ in range(3)) for one in chunk]
    assert early
    last.set()
    assert len(early) + sum(len(chunk) for chunk in chunks) == 18


@pytest.mark.parametrize(
    "fault",
    [status(500), status(503), status(408), status(429), half_a_json, half_a_body, hang_up, empty_choices, broken_off],
    ids=["500", "503", "408", "429", "half_json", "half_body", "hang_up", "empty_choices", "abort"],
)
def test_failures_that_pass_leave_no_trace(blobs: FileBlobs, server: FakeServer, fault: Fault) -> None:
    server.faults.extend([fault, fault])
    assert drawn(sampler_of(blobs, server)) == undisturbed()
    assert len(server.bodies) == 18 + 2


def test_a_stalled_request_is_given_up_and_sent_again(blobs: FileBlobs, server: FakeServer) -> None:
    server.faults.append(stall)
    assert drawn(sampler_of(blobs, server, timeout_seconds=0.2)) == undisturbed()


def test_retry_after_is_honoured_by_all_requests(blobs: FileBlobs, server: FakeServer) -> None:
    times: list[float] = []
    server.before_reply = lambda number: times.append(time.monotonic())
    server.faults.append(status(429, Retry_After="0.4"))
    assert drawn(sampler_of(blobs, server, concurrency=1)) == undisturbed()
    assert times[1] - times[0] >= 0.4


def test_a_server_that_is_down_for_a_while_is_waited_for(blobs: FileBlobs, server: FakeServer) -> None:
    def restart() -> None:
        server.stop()
        time.sleep(0.1)
        server.start()

    server.before_reply = lambda number: threading.Thread(target=restart).start() if number == 5 else None
    assert drawn(sampler_of(blobs, server, retries=8)) == undisturbed()


def test_a_server_that_stays_down_costs_only_the_requests_in_flight(blobs: FileBlobs, server: FakeServer) -> None:
    server.before_reply = lambda number: server.stop() if number == 10 else None
    kept, error = until_error(sampler_of(blobs, server), n=3)
    assert isinstance(error, ServerUnavailable)
    assert f"after 3 retries: {server.url}" in str(error)
    assert "run again" in str(error)
    assert len(kept) >= len(server.bodies) - 4
    assert set(kept) <= set(undisturbed())


def test_a_server_that_never_answers_is_named(blobs: FileBlobs, server: FakeServer) -> None:
    server.stop()
    with pytest.raises(ServerUnavailable, match=server.url):
        drawn(sampler_of(blobs, server))


def test_another_endpoint_takes_over(blobs: FileBlobs, server: FakeServer) -> None:
    with FakeServer() as other:
        other.before_reply = lambda number: other.stop() if number == 3 else None
        assert drawn(sampler_of(blobs, other, server)) == undisturbed()
        assert len(other.bodies) < 8 < len(server.bodies)


def test_work_is_spread_over_endpoints(blobs: FileBlobs, server: FakeServer) -> None:
    with FakeServer() as other:
        for one in (server, other):
            one.before_reply = lambda number: time.sleep(0.005)
        drawn(sampler_of(blobs, server, other), n=8)
        assert min(len(server.bodies), len(other.bodies)) >= 16


@pytest.mark.parametrize("lists_models", [True, False])
def test_a_wrong_model_name_is_told_at_once(blobs: FileBlobs, lists_models: bool) -> None:
    with FakeServer(model="other", lists_models=lists_models) as server:
        with pytest.raises(ModelUnusable, match=rf"no model '{MODEL}'.*correct `served_name`"):
            drawn(sampler_of(blobs, server))
        assert server.bodies == []


def test_a_server_that_comes_back_with_another_model_is_told(blobs: FileBlobs, server: FakeServer) -> None:
    def restart(number: int) -> None:
        if number == 5:
            server.stop()
            server.model = "other"
            server.start()

    server.before_reply = restart
    with pytest.raises(ModelUnusable, match=rf"no model .{MODEL}.*correct `served_name`"):
        drawn(sampler_of(blobs, server))


def test_a_request_that_always_fails_ends_the_call_when_all_others_are_done(
    blobs: FileBlobs, server: FakeServer
) -> None:
    poison = derive_seed(1, PROMPTS[2].id, 1)

    def poisoned(body: dict[str, object]) -> dict[str, object]:
        if body["seed"] == poison:
            return {"content": "half", "finish_reason": "abort"}
        time.sleep(0.01)
        return {"content": "Answer: 1"}

    server.message = poisoned
    kept, error = until_error(sampler_of(blobs, server), n=8)
    assert isinstance(error, ServerUnavailable)
    assert "1 of 48 requests" in str(error)
    assert "abort" in str(error)
    assert len(kept) == 47


def test_a_refused_prompt_counts_as_unanswered_and_the_others_go_on(
    blobs: FileBlobs, server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    reasons = {
        PROMPTS[1].question: "aspect ratio must be smaller than 200",
        PROMPTS[4].question: "This model's maximum context length is 512 tokens. However, you requested 600",
    }
    server.refuses = lambda body: reasons.get(question_of(body))
    with caplog.at_level(logging.WARNING):
        samples = {(one.prompt_id, one.index): one for one in drawn(sampler_of(blobs, server))}
    assert len(samples) == 18
    bad, long = samples[PROMPTS[1].id, 0], samples[PROMPTS[4].id, 0]
    assert (bad.text, bad.truncated, bad.num_tokens) == ("", False, 0)
    assert (long.text, long.truncated) == ("", True)
    assert f"prompt {PROMPTS[1].id}" in caplog.text
    assert "aspect ratio" in caplog.text


def test_a_server_that_refuses_everything_is_unusable(blobs: FileBlobs, server: FakeServer) -> None:
    server.refuses = lambda body: "At most 0 image(s) may be provided" if images_of(body) else None
    digest = blobs.put(to_png(Image.new("RGB", (4, 4))))
    with pytest.raises(ModelUnusable, match=r"refuses every prompt with 1 image.*At most 0 image"):
        drawn(sampler_of(blobs, server), prompts=[Prompt.make("Which?", (digest,))])


def test_the_key_comes_from_the_environment_and_is_told_to_nobody(
    blobs: FileBlobs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with FakeServer(key="sk-right") as server:
        sampler = sampler_of(blobs, server, api_key_env="DRILL_KEY")
        monkeypatch.delenv("DRILL_KEY", raising=False)
        with pytest.raises(UsageError, match=r"DRILL_KEY.*not set"):
            drawn(sampler)
        monkeypatch.setenv("DRILL_KEY", "sk-wrong")
        with caplog.at_level(logging.DEBUG), pytest.raises(ModelUnusable, match="correct the key in DRILL_KEY") as told:
            drawn(sampler)
        assert "sk-wrong" not in str(told.value)
        monkeypatch.setenv("DRILL_KEY", "sk-right")
        with caplog.at_level(logging.DEBUG):
            assert drawn(sampler) == undisturbed()
        assert "sk-" not in caplog.text
        with pytest.raises(ModelUnusable, match="name the variable"):
            drawn(sampler_of(blobs, server))


def test_ctrl_c_cancels_the_requests_and_reaches_the_caller(blobs: FileBlobs, server: FakeServer) -> None:
    server.faults.extend([stall] * 18)
    main = threading.main_thread().ident
    assert main is not None
    server.before_reply = lambda number: signal.pthread_kill(main, signal.SIGINT) if number == 4 else None
    with pytest.raises(KeyboardInterrupt):
        drawn(sampler_of(blobs, server, timeout_seconds=60.0))
    assert len(server.bodies) == 4


def test_leaving_early_leaves_nothing_running(blobs: FileBlobs, server: FakeServer) -> None:
    chunks = sampler_of(blobs, server).sample(SamplingJob(PROMPTS, 8, 1, SETTINGS))
    next(chunks)
    chunks.close()  # type: ignore[attr-defined]
    time.sleep(0.05)
    assert len(server.bodies) <= 4, "what was in flight, and nothing after it"


def test_a_server_that_cannot_score_says_what_can(blobs: FileBlobs, server: FakeServer) -> None:
    with pytest.raises(ModelUnusable, match=r"chat/completions/render.*--enable-scale-out"):
        sampler_of(blobs, server).score(PROMPTS, [[1]] * len(PROMPTS), top=1)


def test_a_version_is_the_name_of_its_model_wherever_it_is_served() -> None:
    first, second = (server_version(name, Role.TEACHER) for name in ("Qwen/A", "Qwen/B"))
    assert first.id != second.id
    assert first == server_version("Qwen/A", Role.TEACHER)
    assert first.source == "Qwen/A"
