"""Whatever a question, an answer, a skill, an error or a name holds, every page and the report show it as text."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from loop.api.app import create_app
from loop.api.guard import Guard
from loop.bootstrap import Home, open_home
from loop.campaign import run_campaign
from loop.dashboard.charts import accuracy_chart, region_chart
from loop.dashboard.report import report_html
from loop.intake import take_in
from loop.service_settings import LOOPBACK
from loop.text import clean
from store.records import Candidate, Fate, Origin, Prompt, Status
from tests.conftest import BACKENDS
from tests.fakes import fake_ports, fake_settings
from tests.hazards import ACTING, HAZARDS
from tests.loop.dashboard.test_pages import Page

ROUND = "/dashboard/campaigns/fake/rounds/1"
NAME = "<b>\"'`=x<i> \x9b31m\u202e{{ 7*7 }}"
"""Of a campaign that no file could name, written into the ledger by hand."""


def prompts(hazard: str) -> list[Prompt]:
    text = HAZARDS[hazard]
    skill = text.encode("utf-8", "ignore").decode("utf-8")  # as imports and generators let it through
    attributes = {"skill": skill, "family": text, "known_answer": text}
    return [Prompt.make(f"{text} number {number}?", (), Origin.SEED, None, attributes) for number in range(3)]


@pytest.fixture(scope="module", params=BACKENDS)
def home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A round over hostile prompts of hostile skills with hostile answers; then a hostile candidate and campaign."""
    url = None if request.param == "sqlite" else request.getfixturevalue("postgresql").new_database()
    folder = tmp_path_factory.mktemp("home")
    ports, student, teacher = fake_ports(folder, ledger_url=url)
    every = [prompt for hazard in HAZARDS for prompt in prompts(hazard)]
    take_in(iter(every), "fake", ports.ledger, lambda done: None)
    settings = fake_settings(rounds=1, pool={"name": "fake", "size": 6}, targeting={"regions": 8})
    run_campaign(settings, ports, student, teacher)
    rejected = [
        Candidate(prompt, Fate.ZERO_DELTA, HAZARDS[hazard], 0, 0.0, 1.0)
        for hazard in HAZARDS
        for prompt in prompts(hazard)
    ]
    ports.ledger.add_candidates("fake", 1, [*ports.ledger.candidates("fake", 1), *rejected])
    ports.ledger.start_campaign(NAME, seed=0, pool=NAME, identity="i")
    ports.ledger.start_round(NAME, 1, settings="{}", commit=NAME, dirty=False)
    ports.ledger.start_stage(NAME, 1, "score", {})
    ports.ledger.end_stage(NAME, 1, "score", Status.FAILED, seconds=1.0, error=NAME)
    ports.ledger.close()
    opened = open_home(folder, url)
    yield opened
    opened.close()


@pytest.fixture
def client(home: Home) -> TestClient:
    return TestClient(Guard(create_app(home, list, lambda: True), None, LOOPBACK), base_url="http://localhost:8642")


def read(text: str) -> Page:
    """A page on which nothing acts."""
    page = Page(text)
    assert not ACTING.search(text)
    assert [attributes.get("src") for tag, attributes in page.tags if tag == "script"] in (
        [],
        ["/dashboard/static/live.js"],
    )
    for tag, attributes in page.tags:
        assert tag not in ("b", "iframe", "object", "embed", "base")
        assert tag != "img" or str(attributes["src"]).startswith("/dashboard/images/")
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        for link in ("href", "xlink:href", "action", "data-events"):
            assert (attributes.get(link) or "/").startswith(("/", "?", "#")), (tag, attributes)
    return page


def shown(page: Page) -> str:
    """Its text and the names of its things, as a browser tells them; all white space alike."""
    names = [value for _, attributes in page.tags for name, value in attributes.items() if name == "aria-label"]
    return " ".join(" ".join([page.text, *map(str, names)]).split())


def as_text(hazard: str) -> str:
    return " ".join(clean(HAZARDS[hazard]).split())


@pytest.mark.parametrize("hazard", HAZARDS)
def test_a_prompt_s_page_shows_its_question_skill_and_answers(client: TestClient, hazard: str) -> None:
    told = shown(read(client.get(f"/dashboard/prompts/{prompts(hazard)[0].id}").text))
    assert told.count(as_text(hazard)) >= 3


def test_lists_show_questions_skills_and_details(client: TestClient, home: Home) -> None:
    pages = {
        "prompts": client.get(f"{ROUND}/prompts").text + client.get(f"{ROUND}/prompts?words=number").text,
        "candidates": "".join(client.get(f"{ROUND}/candidates?fate=zero_delta&after={n}").text for n in (-1, 30, 60)),
        "regions": client.get(f"{ROUND}/regions").text,
    }
    told = {name: shown(read(text)) for name, text in pages.items()}
    assert all(as_text(hazard) in told["candidates"] for hazard in HAZARDS)
    assert sum(as_text(hazard) in told["prompts"] for hazard in HAZARDS) >= len(HAZARDS) / 2
    assert sum(as_text(hazard) in told["regions"] for hazard in HAZARDS) >= 3
    row = home.ledger.find_round("fake", 1)
    assert row is not None
    for number in range(8):
        read(client.get(f"{ROUND}/regions/{number}").text)


def test_the_report_holds_nothing_that_acts(home: Home) -> None:
    row = home.ledger.find_campaign("fake")
    assert row is not None
    told = shown(read(report_html(home, row)))
    assert sum(as_text(hazard) in told for hazard in HAZARDS) >= 3


def test_a_campaign_that_no_file_could_name_has_its_pages(client: TestClient) -> None:
    assert " ".join(clean(NAME).split()) in shown(read(client.get("/dashboard").text))
    for path in ("", "/rounds/1/regions", "/rounds/1/prompts", "/rounds/1/candidates"):
        answer = client.get(f"/dashboard/campaigns/{quote(NAME)}{path}")
        assert answer.status_code == 200, path
        assert clean(NAME) in read(answer.text).text
    paused = client.post(f"/dashboard/campaigns/{quote(NAME)}/pause", follow_redirects=False)
    assert paused.headers["location"] == f"/dashboard/campaigns/{quote(NAME)}"


@pytest.mark.parametrize("hazard", HAZARDS)
def test_charts_show_names_as_text(hazard: str) -> None:
    text = HAZARDS[hazard]
    lines = read(accuracy_chart([{"round": 0, "suite": text, "accuracy": 0.5}]))
    assert as_text(hazard)[:20] in shown(lines)
    spot = {"x": 0.0, "y": 0.0, "size": 3, "delta": 1.0}
    ring = read(region_chart([spot | {"label": text, "link": f"/dashboard/{quote(clean(text))}"}], [spot]))
    assert as_text(hazard) in shown(ring)


@pytest.mark.parametrize(
    "odd", ["%00", "fake%00", "%ED%A0%80", "%FF", "%0A", "fake%0AERROR", "%1B%5B31m", "%E2%80%AE", "%2e%2e", "%27"]
)
def test_no_odd_character_in_an_address_breaks_anything(client: TestClient, odd: str) -> None:
    for address in (
        f"/dashboard/campaigns/{odd}",
        f"/dashboard/campaigns/{odd}/events",
        f"/dashboard/campaigns/{odd}/rounds/1/regions",
        f"/dashboard/campaigns/{odd}/rounds/1/regions/0",
        f"/dashboard/campaigns/{odd}/rounds/1/prompts",
        f"/dashboard/campaigns/{odd}/rounds/1/candidates",
        f"{ROUND}/regions/{odd}",
        f"/dashboard/prompts/{odd}",
        f"/dashboard/images/{odd}",
        f"/dashboard/static/{odd}",
        f"/campaigns/{odd}",
        f"/campaigns/{odd}/rounds",
        f"/campaigns/{odd}/rounds/{odd}",
        f"/campaigns/fake/rounds/1/scores?after={odd}",
        f"/campaigns/fake/prompts?after={odd}&limit={odd}",
        f"/prompts/{odd}",
        f"/{odd}",
    ):
        answer = client.get(address)
        assert answer.status_code in (404, 422), address
        assert not ACTING.search(answer.text), address
    for address in (f"/campaigns/{odd}/pause", f"/dashboard/campaigns/{odd}/run", f"/dashboard/campaigns/fake/{odd}"):
        assert client.post(address).status_code in (404, 422), address
    for address in (
        f"{ROUND}/prompts?words={odd}&after={odd}&origin={odd}&answers={odd}&min_delta={odd}",
        f"{ROUND}/prompts?words=number&after={odd}",
        f"{ROUND}/regions/0?after={odd}",
        f"{ROUND}/candidates?fate={odd}",
    ):
        answer = client.get(address)
        assert answer.status_code == 200, address
        read(answer.text)


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e999", "9" * 400])
def test_no_odd_number_in_an_address_breaks_anything(client: TestClient, number: str) -> None:
    assert client.get(f"{ROUND}/prompts?min_delta={number}").status_code == 200
    assert client.get(f"{ROUND}/candidates?after={number}").status_code == 422
    assert client.get(f"/campaigns/fake/rounds/{number}").status_code == 422
    assert client.get(f"/dashboard/campaigns/fake/rounds/{number}/prompts").status_code == 422
