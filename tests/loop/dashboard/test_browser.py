"""The dashboard in headless Chromium: campaign to lineage, a pause that shows, nothing from elsewhere, no barrier."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from loop.api.app import create_app
from loop.api.guard import Guard
from loop.bootstrap import Home, open_home
from loop.service_settings import LOOPBACK
from store.records import Order
from tests.loop.fake_runs import Interrupter, run

CHROMIUM = Path("/usr/bin/chromium")

if not CHROMIUM.exists():
    pytest.skip("Chromium is not installed: make test-tools", allow_module_level=True)
playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: make test-tools")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed: make test-tools")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    run(tmp_path, Interrupter(), rounds=1, pool={"name": "fake", "size": 12})
    opened = open_home(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def url(home: Home) -> Iterator[str]:
    app = Guard(create_app(home, list, lambda: True), None, LOOPBACK)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


def test_from_campaign_to_lineage_without_a_barrier(home: Home, url: str) -> None:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        page = browser.new_page()
        errors: list[str] = []
        asked: list[str] = []
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))

        def look() -> None:
            found = axe.Axe().run(page).response["violations"]
            assert [row["id"] for row in found if row["impact"] in ("serious", "critical")] == []

        page.goto(f"{url}/dashboard")
        look()
        page.click("tbody a")
        for scheme in ("dark", "light"):
            page.emulate_media(color_scheme=scheme)
            look()
        page.click("text=Pause")
        assert home.ledger.find_order("fake") is Order.PAUSE
        home.ledger.give_order("fake", Order.RUN)
        # Not `wait_for_function`: the page's Content-Security-Policy forbids to evaluate a string.
        playwright.expect(page.locator("#live-order")).to_have_text("run", timeout=30_000)
        page.click("[aria-label='regions of round 1']")
        look()
        page.locator("svg a").first.click()
        look()
        page.locator("tbody th a").last.click()
        assert page.inner_text("#lineage") == "Lineage"
        look()
        page.goto(f"{url}/dashboard/campaigns/fake/rounds/1/prompts")
        page.fill("[name=words]", "no such words")
        page.click("text=Filter")
        assert "No scored prompt" in page.inner_text("main")
        look()
        browser.close()
    assert errors == []
    assert [address for address in asked if not address.startswith(url)] == []
