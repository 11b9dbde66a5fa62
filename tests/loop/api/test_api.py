"""The HTTP API: what it tells, what it refuses, and that no request that its schema allows breaks it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import pytest
import schemathesis
from starlette.testclient import TestClient

from loop.api.app import create_app
from loop.api.guard import MAX_BODY_BYTES, Guard
from loop.api.server import answering, check_token
from loop.bootstrap import Home, open_home
from loop.service import JobState, Ran
from loop.service_settings import LOOPBACK, Serving
from loop.status import status_of
from scripts.drill_api import ask
from store.errors import DeltaloopError, UsageError
from store.owners import this_process
from store.records import Order, Prompt
from tests.loop.fake_runs import Interrupter, run
from tests.test_project import loaded_by

TOKEN = "correct horse battery staple"
ALLOWED = {"Authorization": f"Bearer {TOKEN}"}
JOBS = [
    JobState("rounds", "6h", "2026-01-01T00:00:00+00:00", None),
    JobState("backup", "0 3 * * *", None, Ran("2026-01-01T03:00:00+00:00", 1.5, "the disk is full")),
]
ODD = "Which \ud800 is it,\x00 and \N{BAR CHART}?"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    folder = tmp_path_factory.mktemp("home")
    run(folder, Interrupter(), rounds=1, pool={"name": "fake", "size": 12})
    opened = open_home(folder)
    opened.ledger.add_prompts([Prompt.make(ODD)], pool="fake")
    yield opened
    opened.close()


def client_of(home: Home, token: str | None = None, *, ready: bool = True) -> TestClient:
    app = Guard(create_app(home, lambda: JOBS, lambda: ready), token, LOOPBACK)
    return TestClient(app, base_url="http://localhost:8642")


def test_supervisors_are_told_whether_it_lives_and_takes_work(home: Home) -> None:
    assert client_of(home).get("/health").json() == {"status": "ok"}
    assert client_of(home).get("/ready").json() == {"status": "ready"}
    ending = client_of(home, ready=False).get("/ready")
    assert (ending.status_code, ending.json()) == (503, {"status": "ending"})


def test_campaigns_and_rounds_are_those_of_the_ledger(home: Home) -> None:
    client = client_of(home)
    (row,) = client.get("/campaigns").json()
    assert (row["name"], row["status"], row["order"]) == ("fake", "completed", "run")
    campaign = home.ledger.find_campaign("fake")
    assert campaign is not None
    assert client.get("/campaigns/fake").json() == json.loads(json.dumps(status_of(home, campaign)))
    assert [entry["index"] for entry in client.get("/campaigns/fake/rounds").json()] == [0, 1]
    round_ = client.get("/campaigns/fake/rounds/1").json()
    assert [stage["name"] for stage in round_["stages"]][:2] == ["score", "target"]
    assert round_["settings"]["rounds"] == 1
    for absent in ("/campaigns/gone", "/campaigns/gone/rounds", "/campaigns/fake/rounds/9", f"/prompts/{'0' * 64}"):
        assert client.get(absent).status_code == 404


def test_pages_together_are_the_whole(home: Home) -> None:
    client = client_of(home)
    for path, key, id, whole in (
        ("/campaigns/fake/prompts", "prompts", "id", home.ledger.pool("fake")),
        ("/campaigns/fake/rounds/1/scores", "scores", "prompt_id", home.ledger.scores("fake", 1)),
    ):
        found, after = [], ""
        while after is not None:
            page = client.get(path, params={"limit": 5, "after": after}).json()
            assert len(page[key]) <= 5
            found += page[key]
            after = page["next"]
        assert found == json.loads(json.dumps([asdict(row) for row in whole]))
        assert [row[id] for row in found] == sorted(row[id] for row in found)


def test_text_that_no_encoding_has_is_told(home: Home) -> None:
    (prompt,) = (row for row in home.ledger.pool("fake") if row.question == ODD)
    assert client_of(home).get(f"/prompts/{prompt.id}").json()["question"] == ODD


def test_metrics_tell_campaigns_and_jobs(home: Home) -> None:
    lines = client_of(home).get("/metrics").text.splitlines()
    assert 'deltaloop_campaign_status{campaign="fake",status="completed"} 1.0' in lines
    assert 'deltaloop_rounds_completed{campaign="fake"} 1.0' in lines
    assert 'deltaloop_job_failed{job="backup"} 1.0' in lines
    for name in ("deltaloop_delta_mean", "deltaloop_accuracy", "deltaloop_spent_total", "process_open_fds"):
        assert any(line.startswith(name) for line in lines), name


def test_orders_arrive_in_the_ledger(home: Home) -> None:
    client = client_of(home)
    assert client.post("/campaigns/fake/pause").json() == {"campaign": "fake", "order": "pause"}
    assert home.ledger.find_order("fake") is Order.PAUSE
    assert client.post("/campaigns/fake/resume").status_code == 202
    assert home.ledger.find_order("fake") is Order.RUN
    assert client.post("/campaigns/fake/stop").status_code == 409
    for order in ("pause", "resume", "stop"):
        assert client.post(f"/campaigns/gone/{order}").status_code == 404
        assert client.get(f"/campaigns/fake/{order}").status_code == 405
    lease = home.ledger.take_lease("fake", this_process(), lease_s=30)
    assert client.post("/campaigns/fake/stop").status_code == 202
    assert home.ledger.find_order("fake") is Order.STOP
    home.ledger.release_lease(lease)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Basic {TOKEN}",
        TOKEN,
        f"Bearer {TOKEN.upper()}",
        "Bearer \xe4\xf6",
    ],
)
def test_without_the_token_only_supervisors_are_answered(home: Home, header: str | None) -> None:
    client = client_of(home, TOKEN)
    headers = {} if header is None else {"Authorization": header.encode("latin-1")}
    for path in ("/campaigns", "/metrics", "/openapi.json", "/nothing"):
        refused = client.get(path, headers=headers)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == 'Bearer, Basic realm="deltaloop"'
        assert TOKEN not in refused.text
    assert client.post("/campaigns/fake/pause", headers=headers).status_code == 401
    assert home.ledger.find_order("fake") is not Order.PAUSE
    assert client.get("/health", headers=headers).status_code == 200
    assert client.get("/ready", headers=headers).status_code == 200


def test_the_token_opens_everything(home: Home) -> None:
    client = client_of(home, TOKEN)
    assert client.get("/campaigns", headers=ALLOWED).status_code == 200
    assert client.get("/campaigns", headers={"Authorization": f"bearer {TOKEN}"}).status_code == 200


def test_this_machine_is_asked_by_its_own_names_only(home: Home) -> None:
    client = client_of(home)
    for host in ("evil.example", "evil.example:8642", "localhost.evil.example", "[::1", ""):
        assert client.get("/campaigns", headers={"Host": host}).status_code == 421, host
    for host in ("localhost", "127.0.0.1:8642", "[::1]:8642"):
        assert client.get("/campaigns", headers={"Host": host}).status_code == 200, host


def test_pages_of_other_origins_give_no_orders(home: Home) -> None:
    client = client_of(home)
    for origin in ("https://evil.example", "null", "http://[", "", "http://localhost:8642.evil.example"):
        refused = client.post("/campaigns/fake/pause", headers={"Origin": origin})
        assert refused.status_code == 403, origin
    assert home.ledger.find_order("fake") is not Order.PAUSE
    assert client.post("/campaigns/fake/resume", headers={"Origin": "http://localhost:8642"}).status_code == 202


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/campaigns/..%2f..%2fetc%2fpasswd",
        "/campaigns/%2e%2e/rounds",
        "/campaigns/..",
        "/campaigns/fake%00/rounds",
        "/prompts/..%2f..%2fledger.db",
        "/campaigns/fake/rounds/..%2f1",
        "/campaigns//etc/passwd",
    ],
)
def test_no_path_leads_out(home: Home, path: str) -> None:
    answer = client_of(home).get(path)
    assert answer.status_code in (404, 422)
    assert "root:" not in answer.text


def test_long_bodies_are_refused_whether_they_say_so_or_not(home: Home) -> None:
    client = client_of(home)
    body = b"x" * (MAX_BODY_BYTES + 1)
    assert client.post("/campaigns/fake/resume", content=body).status_code == 413
    assert client.post("/campaigns/fake/resume", content=iter([body[:-1], b"xx"])).status_code == 413
    assert client.post("/campaigns/fake/resume", content=body[:-1]).status_code == 202


def test_a_damaged_home_is_told_without_its_paths(home: Home, tmp_path: Path) -> None:
    opened = open_home(tmp_path)
    opened.close()
    (tmp_path / "ledger.db").write_bytes(b"no database" * 1000)
    answer = client_of(opened).get("/campaigns")
    assert answer.status_code == 503
    assert str(tmp_path) not in answer.text


def test_no_generated_request_breaks_it(home: Home) -> None:
    client = client_of(home)
    schema = schemathesis.openapi.from_dict(client.get("/openapi.json").json())

    def call(case: schemathesis.Case) -> object:
        made = case.as_transport_kwargs(base_url="http://localhost:8642")
        return client.request(
            made["method"], made["url"], params=made.get("params"), headers=made.get("headers"), content=b""
        )

    home.ledger.give_order("fake", Order.RUN)
    statuses = ask(schema, 200, call, {"name": "fake", "index": 1}, 0)
    assert {200, 202, 404, 422} <= statuses.keys()
    assert max(statuses) < 500
    assert statuses.total() == 200


class Serves:
    """What the API asks a service."""

    def jobs(self) -> list[JobState]:
        return JOBS

    def takes_work(self) -> bool:
        return True


@pytest.fixture
def port(home: Home) -> Iterator[int]:
    with answering(home, Serves(), Serving(port=0), TOKEN) as url:
        yield int(url.rpartition(":")[2])


def exchanged(port: int, request: bytes) -> bytes:
    """The answer to raw bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(request)
        answer = b""
        with suppress(ConnectionResetError):  # it is cut where more came than is read
            while part := connection.recv(65536):
                answer += part
        return answer


def test_a_real_server_answers_and_does_not_tell_what_it_is(port: int) -> None:
    answer = exchanged(port, b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert body == b'{"status":"ok"}'
    assert b"server:" not in head.lower()


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Odd: a\rSet-Cookie: b\r\n\r\n",
        b"GET /health\r\nX-Injected: 1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nBad Name: 1\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Null: a\x00b\r\n\r\n",
        b"POST /campaigns/fake/pause HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /campaigns/fake/pause HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"a" * 100_000 + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_what_is_no_request_is_refused(port: int, request_: bytes) -> None:
    answer = exchanged(port, request_)
    assert answer[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 431")
    assert b"set-cookie" not in answer.lower()


def test_nothing_that_a_client_sends_becomes_a_header(home: Home) -> None:
    answer = client_of(home).get("/campaigns/fake%0d%0aSet-Cookie:%20a=b")
    assert answer.status_code in (404, 422)
    assert "set-cookie" not in answer.headers


def test_a_port_that_is_taken_is_named(home: Home, port: int) -> None:
    with pytest.raises(DeltaloopError, match=rf"service.port = {port}: .*name others"):
        answering(home, Serves(), Serving(port=port), None).__enter__()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.org"])
def test_other_machines_need_a_token(host: str) -> None:
    with pytest.raises(UsageError, match="DELTALOOP_TOKEN"):
        check_token(host, None)
    check_token(host, TOKEN)


@pytest.mark.parametrize("token", ["", "too short", "a" * 15, "\N{GREEK SMALL LETTER DELTA}" * 20, "line\nbreak" * 4])
def test_tokens_that_are_none(token: str) -> None:
    with pytest.raises(UsageError, match="DELTALOOP_TOKEN is") as refused:
        check_token("127.0.0.1", token)
    assert not token or token not in str(refused.value)


def test_neither_the_api_nor_the_service_loads_torch() -> None:
    assert loaded_by("import loop.api.app, loop.api.server, loop.service").isdisjoint(
        {"torch", "transformers", "mlflow"}
    )
