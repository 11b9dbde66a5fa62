"""A walk through the dashboard in headless Chromium: campaign, regions, a region, a prompt with its lineage, a search.

The browser test looks at each page for barriers, `scripts.make_screenshots` takes its picture; both walk here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from loop.api.app import create_app
from loop.api.guard import Guard
from loop.bootstrap import Home
from loop.service_settings import LOOPBACK

CHROMIUM = Path("/usr/bin/chromium")

Look = Callable[[str], None]
"""What is done on each page, told the page's name."""


@contextmanager
def served(home: Home) -> Iterator[str]:
    """The address at which a thread serves a home's pages."""
    import uvicorn

    app = Guard(create_app(home, list, lambda: True), None, LOOPBACK)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def opened_page(**options: Any) -> Iterator[Any]:
    """A page of a headless browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser.new_page(**options)
        browser.close()


def walk(page: Any, url: str, campaign: str, round: int, look: Look) -> None:
    """Go from the campaigns to a prompt's lineage by what there is to click, then search."""
    page.goto(f"{url}/dashboard")
    look("campaigns")
    page.click(f"tbody a:text-is('{campaign}')")
    look("campaign")
    page.click(f"[aria-label='regions of round {round}']")
    look("regions")
    page.locator("svg a").first.click()
    look("region")
    page.locator("tbody th a").last.click()
    page.locator("#lineage").wait_for()
    look("prompt")
    page.goto(f"{url}/dashboard/campaigns/{campaign}/rounds/{round}/prompts")
    page.select_option("[name=answers]", "differ")
    page.click("text=Filter")
    look("prompts")
    page.fill("[name=words]", "no such words")
    page.click("text=Filter")
    page.locator("text=No scored prompt").wait_for()
    look("nothing_found")
