"""A walk through the dashboard in headless Chromium: campaign, regions, a region, a prompt with its lineage, a search.

The browser test looks at each page for barriers, `scripts.make_screenshots` takes its picture; both walk here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from loop.api.server import Looking, answering
from loop.bootstrap import Home
from loop.service_settings import Serving

CHROMIUM = Path("/usr/bin/chromium")

Look = Callable[[str], None]
"""What is done on each page, told the page's name."""


def served(home: Home) -> AbstractContextManager[str]:
    """Within, the address at which a thread serves a home's pages."""
    return answering(home, Looking(), Serving(port=0), None)


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
