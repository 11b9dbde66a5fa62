"""The pages of a finished fake campaign: what they show, how they link, and that hostile text stays text."""

from __future__ import annotations

import base64
import io
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import anyio
import pytest
from starlette.testclient import TestClient

from loop.api.app import create_app
from loop.api.guard import Guard
from loop.bootstrap import Home, open_home
from loop.dashboard.facts import Facts, Kept
from loop.dashboard.live import progress_events, progress_of
from loop.dashboard.report import report_html
from loop.progress import LineProgress
from loop.service_settings import LOOPBACK
from loop.work_done import EVERY_S, PublishedProgress
from store.records import Candidate, Fate, Order, Origin, Prompt, Score
from tests.conftest import deltaloop
from tests.loop.fake_runs import Interrupter, run

TOKEN = "correct horse battery staple"
HOSTILE = "<script>alert(1)</script>\ud800\x00\u202e \"'><img src=x onerror=alert(1)> {{ 7*7 }}"
CAMPAIGN = "/dashboard/campaigns/fake"


class Page(HTMLParser):
    """The tags of a page, with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    folder = tmp_path_factory.mktemp("home")
    run(folder, Interrupter(), rounds=2, pool={"name": "fake", "size": 12})
    opened = open_home(folder)
    first = opened.ledger.pool("fake")[0]
    hostile = Prompt.make(HOSTILE, (), Origin.SEED_GUIDED, first.id, {"skill": HOSTILE})
    opened.ledger.add_prompts([hostile], pool="fake")
    score = opened.ledger.scores("fake", 1)[0]
    opened.ledger.add_scores("fake", 1, [Score(**(vars(score) | {"prompt_id": hostile.id}))])
    rejected = Candidate(hostile, Fate.ZERO_DELTA, HOSTILE, 0, 0.0, 1.0)
    opened.ledger.add_candidates("fake", 1, [*opened.ledger.candidates("fake", 1), rejected])
    yield opened
    opened.close()


@pytest.fixture
def client(home: Home) -> TestClient:
    return TestClient(Guard(create_app(home, list, lambda: True), None, LOOPBACK), base_url="http://localhost:8642")


def addresses(client: TestClient) -> list[str]:
    """The pages that can be reached from the first one: of each kind, two."""
    seen, todo = {"/dashboard"}, ["/dashboard"]
    kinds: Counter[str] = Counter()
    for address in todo:
        page = Page(client.get(address).text)
        for tag, attributes in page.tags:
            link = (attributes.get("href") or attributes.get("xlink:href") or "") if tag == "a" else ""
            link = link if not link.startswith("?") else address.partition("?")[0] + link
            kind = re.sub(r"[0-9a-f]{64}|\d+|fate=\w+", "_", link)
            if link.startswith("/") and link not in seen and kinds[kind] < 2:
                kinds[kind] += 1
                seen.add(link)
                todo.append(link)
    return todo


def test_every_link_leads_to_a_page_that_is_fit_for_all(client: TestClient) -> None:
    reached = addresses(client)
    for kind in ("regions/", "/prompts/", "candidates?fate="):
        assert [address for address in reached if kind in address], kind
    for address in reached:
        answer = client.get(address)
        assert answer.status_code == 200, address
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        page = Page(answer.text)
        tags = [tag for tag, _ in page.tags]
        assert (tags.count("main"), tags.count("h1"), tags.count("title")) == (1, 1, 1)
        assert ("html", {"lang": "en"}) in page.tags
        assert "caption" in tags or "table" not in tags
        for tag, attributes in page.tags:
            assert not [name for name in attributes if name.startswith("on") or name == "style"], (address, tag)
            assert tag != "img" or attributes["alt"]
            for name in ("src", "href", "action", "xlink:href"):
                assert not re.match(r"(?i)(\w+:)?//|javascript:", attributes.get(name) or ""), (address, attributes)


def test_hostile_text_is_shown_as_text_everywhere(client: TestClient, home: Home) -> None:
    hostile = Prompt.make(HOSTILE).id
    for address in (f"/dashboard/prompts/{hostile}", f"{CAMPAIGN}/rounds/1/prompts", f"{CAMPAIGN}/rounds/1/candidates"):
        answer = client.get(address)
        assert "<script>alert(1)</script>" in Page(answer.text).text
        assert "<script>alert" not in answer.text
        assert "<img src=x" not in answer.text
        assert not re.search("[\x00\u202e]", answer.text)
        assert "{{ 7*7 }}" in answer.text


def test_a_prompt_tells_its_lineage_and_why_it_was_trained_on(client: TestClient, home: Home) -> None:
    lineage = home.ledger.lineage(Prompt.make(HOSTILE).id)
    page = client.get(f"/dashboard/prompts/{lineage[-1].id}").text
    assert f"/dashboard/prompts/{lineage[0].id}" in page
    assert "zero_delta" in page
    outcomes = [Page(client.get(f"/dashboard/prompts/{prompt.id}").text).text for prompt in home.ledger.pool("fake")]
    assert any("trained on: Δ" in text for text in outcomes)
    assert any("not trained on: " in text for text in outcomes)


def test_the_map_shows_every_scored_prompt_and_leads_to_the_regions(client: TestClient, home: Home) -> None:
    text = client.get(f"{CAMPAIGN}/rounds/2/regions").text
    row = home.ledger.find_round("fake", 2)
    assert row is not None
    facts = Facts(home)
    aims = facts.aims(row)
    assert aims is not None
    spots = facts.prompt_spots(row, aims)
    assert sum(spot.size for spot in spots) == len(home.ledger.scores("fake", 2))
    # One path each, the rings' with a link around it.
    assert text.count("mark-symbol") >= 2
    assert len(re.findall(r'href="[^"]*/rounds/2/regions/\d+"[^>]*><path', text)) == len(aims.regions)


def test_filters_and_search_narrow_the_list(client: TestClient) -> None:
    address = f"{CAMPAIGN}/rounds/1/prompts"
    assert "alert(1)" in client.get(address, params={"words": "ONERROR script"}).text
    assert "No scored prompt" in client.get(address, params={"words": "no such words"}).text
    assert "alert(1)" not in client.get(address, params={"origin": "seed"}).text
    for words in (
        "\x00",
        '"',
        "script*",
        "NEAR(a, b)",
        "question:script AND NOT",
        "x" * 10_000,
        "\u202e",
        "'; DROP TABLE prompts",
    ):
        assert client.get(address, params={"words": words}).status_code == 200, words
    odd = client.get(address, params={"origin": "x", "min_delta": "many", "answers": "?", "after": "\x00"})
    assert odd.status_code == 200


def test_pause_and_resume_are_orders(client: TestClient, home: Home) -> None:
    assert client.post(f"{CAMPAIGN}/pause", follow_redirects=False).status_code == 303
    assert home.ledger.find_order("fake") is Order.PAUSE
    assert '<span id="live-order">pause</span>' in client.get(CAMPAIGN).text
    foreign = client.post(f"{CAMPAIGN}/run", headers={"Origin": "http://elsewhere.example"})
    assert foreign.status_code == 403
    assert home.ledger.find_order("fake") is Order.PAUSE
    client.post(f"{CAMPAIGN}/run")
    assert home.ledger.find_order("fake") is Order.RUN
    assert client.post(f"{CAMPAIGN}/stop").status_code == 404


def test_what_is_not_there_is_a_page_that_says_so(client: TestClient) -> None:
    for address in (
        "/dashboard/campaigns/none",
        f"{CAMPAIGN}/rounds/99/prompts",
        f"{CAMPAIGN}/rounds/1/regions/999",
        f"/dashboard/prompts/{'0' * 64}",
        f"/dashboard/images/{'0' * 64}",
        "/dashboard/static/pages.py",
    ):
        answer = client.get(address)
        assert (answer.status_code, "<h1>Not found</h1>" in answer.text) == (404, True), address


def test_only_images_are_given_out(client: TestClient, home: Home) -> None:
    output = next(stage.output for row in home.ledger.rounds("fake") for stage in row.stages if stage.output)
    assert client.get(f"/dashboard/images/{output}").status_code == 404


def test_a_browser_gives_the_token_as_the_password(home: Home) -> None:
    client = TestClient(Guard(create_app(home, list, lambda: True), TOKEN, LOOPBACK), base_url="http://localhost")
    refused = client.get("/dashboard")
    assert refused.status_code == 401
    assert "Basic" in refused.headers["www-authenticate"]
    assert client.get("/dashboard", auth=("anybody", TOKEN)).status_code == 200
    assert client.get("/dashboard", auth=("anybody", TOKEN[:-1])).status_code == 401
    bare = base64.b64encode(TOKEN.encode()).decode()
    for broken in ("Basic", "Basic !", f"Basic {bare}", f"Basic {TOKEN}"):
        assert client.get("/dashboard", headers={"Authorization": broken}).status_code == 401, broken


def test_events_tell_the_stages_and_then_what_changes(home: Home) -> None:
    async def two() -> list[str]:
        events = progress_events(home, "fake")
        first = await anext(events)
        home.ledger.give_order("fake", Order.PAUSE)
        second = await anext(events)
        home.ledger.give_order("fake", Order.RUN)
        return [first, second]

    told = [json.loads(event.removeprefix("data: ")) for event in anyio.run(two)]
    assert [event["order"] for event in told] == ["run", "pause"]
    assert told[0]["stages"][0].keys() == {"name", "status", "seconds"}


def test_how_far_the_running_stage_is_shows_while_it_works(home: Home, client: TestClient) -> None:
    file = home.paths.progress("fake")
    times = itertools.count(step=EVERY_S)
    progress = PublishedProgress(LineProgress(io.StringIO()), file, clock=lambda: next(times))
    with progress.bar("student samples <b>", 40) as advance:
        advance(10)
        work = progress_of(home, "fake")["work"]
        page = Page(client.get(CAMPAIGN).text)
        assert client.get("/campaigns/fake").json()["work"]["done"] == 10
    assert (work["label"], work["done"], work["total"]) == ("student samples <b>", 10, 40)
    assert work["line"] in page.text
    assert {"id": "live-bar", "aria-labelledby": "live-line", "max": "40", "value": "10"} in [
        own for _, own in page.tags
    ]
    assert progress_of(home, "fake")["work"] is None
    assert ("p", {"id": "live-work", "hidden": None}) in Page(client.get(CAMPAIGN).text).tags


def test_the_report_is_one_page_that_needs_nothing_else(home: Home) -> None:
    row = home.ledger.find_campaign("fake")
    assert row is not None
    text = report_html(home, row)
    page = Page(text)
    assert {"svg", "style", "table"} <= {tag for tag, _ in page.tags}
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "link", "img", "form", "iframe"})
    assert "Regions of round 2" in page.text
    links = {value for _, attributes in page.tags for name, value in attributes.items() if name in ("href", "src")}
    assert links == {"#main"}


def test_the_report_is_written_by_a_command(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    done = deltaloop("report", "fake", file, "--home", home.paths.home)
    assert done.code == 0, done.err
    assert "Regions of round 2" in Page(file.read_text(encoding="utf-8")).text
    refused = deltaloop("report", "absent", file, "--home", home.paths.home)
    assert refused.code in (1, 2)
    assert "absent" in refused.err
    assert "Traceback" not in refused.err


def test_only_the_newest_values_are_kept() -> None:
    kept: Kept[int] = Kept(2)
    assert [kept.get(key, lambda key=key: key) for key in (1, 2, 3)] == [1, 2, 3]  # type: ignore[misc]
    assert kept.get(3, lambda: 0) == 3
    assert kept.get(1, lambda: 0) == 0
