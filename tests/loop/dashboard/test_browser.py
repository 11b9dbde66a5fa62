"""The dashboard in headless Chromium: campaign to lineage, what runs is paused, no barrier, no stranger."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from loop.bootstrap import open_home
from loop.campaign import run_campaign
from loop.control import Control, obeying
from loop.stopping import Stopping
from scripts.dashboard_tour import CHROMIUM, opened_page, served, walk
from scripts.make_screenshots import SHOWN, take
from store.records import Order
from tests.fakes import fake_ports, fake_settings
from tests.loop.fake_runs import Interrupter, run
from tests.test_operating import asked, service, until

if not CHROMIUM.exists():
    pytest.skip("Chromium is not installed: make test-tools", allow_module_level=True)
playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: make test-tools")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed: make test-tools")

SMALL: dict[str, object] = {"rounds": 1, "pool": {"name": "fake", "size": 12}}
PATIENCE_MS = 30_000
TOKEN = "a token of the tests"


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    run(tmp_path, Interrupter(), **SMALL)
    return tmp_path


@contextmanager
def undisturbed(url: str, **options: Any) -> Iterator[Any]:
    """A page that must write no error to its console, and ask nobody but the server."""
    errors: list[str] = []
    asked: list[str] = []
    with opened_page(**options) as page:
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        yield page
    assert errors == []
    assert [address for address in asked if not address.startswith(url)] == []


def test_from_campaign_to_lineage_without_a_barrier(finished: Path) -> None:
    seen: list[str] = []
    with closing(open_home(finished)) as home, served(home) as url, undisturbed(url) as page:

        def look(name: str) -> None:
            seen.append(name)
            for scheme in ("dark", "light") if name == "campaign" else ("light",):
                page.emulate_media(color_scheme=scheme)
                found = axe.Axe().run(page).response["violations"]
                assert [row["id"] for row in found if row["impact"] in ("serious", "critical")] == [], (name, scheme)

        walk(page, url, "fake", 1, look)
    assert {"campaign", "region", "prompt", "nothing_found"} <= set(seen)


def test_the_screenshots_are_taken_on_the_same_walk(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("figures")
    taken = take(finished, "fake", 1, folder)
    assert {file.stem for file in taken} == {f"dashboard_{name}" for name in SHOWN}
    for file in taken:
        assert file.read_bytes().startswith(b"\x89PNG")
        assert file.stat().st_size < 150_000


class Gate(Interrupter):
    """Stops the work before its training, until it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.opened = threading.Event(), threading.Event()

    def __call__(self, name: str) -> None:
        super().__call__(name)
        if name == "train":
            self.reached.set()
            assert self.opened.wait(120)

    def wait_for(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds."""
        for _ in range(6000):
            if holds():
                return
            threading.Event().wait(0.01)
        raise AssertionError("it never came true")


def test_a_running_round_shows_its_progress_and_is_paused(tmp_path: Path) -> None:
    gate, stopping = Gate(), Stopping(end=print)
    ports, student, teacher = fake_ports(tmp_path, gate)

    def work(control: Control) -> None:
        run_campaign(fake_settings(**SMALL), replace(ports, look=control.look), student, teacher)

    with (
        closing(ports.ledger),
        obeying(ports.ledger, "fake", stopping, every_s=0.05) as control,
        closing(open_home(tmp_path)) as home,
        served(home) as url,
        undisturbed(url) as page,
    ):
        thread = threading.Thread(target=work, args=[control])
        thread.start()
        assert gate.reached.wait(120)
        stages, status = page.locator("#live-stages"), page.locator("#live-status")
        page.goto(f"{url}/dashboard/campaigns/fake")
        playwright.expect(stages).to_contain_text("distill: running", timeout=PATIENCE_MS)
        page.click("text=Pause")
        playwright.expect(page.locator("#live-order")).to_have_text("pause", timeout=PATIENCE_MS)
        assert home.ledger.find_order("fake") is Order.PAUSE
        gate.wait_for(lambda: control.is_paused)
        gate.opened.set()
        # Nobody loads the page again: what it shows from here on came as events.
        playwright.expect(stages).to_contain_text("distill: completed", timeout=PATIENCE_MS)
        done = gate.count
        thread.join(1.0)
        assert (thread.is_alive(), gate.count) == (True, done)
        playwright.expect(status).to_have_text("running")
        page.click("text=Resume")
        playwright.expect(status).to_have_text("completed", timeout=PATIENCE_MS)
        playwright.expect(stages).to_contain_text("judge: completed")
        thread.join(120)
        assert gate.count > done


@pytest.mark.slow
def test_a_service_is_paused_and_goes_on_by_its_page(tmp_path: Path) -> None:
    with ended(service(tmp_path, "rounds=1", "tracking.mlflow=false", DELTALOOP_TOKEN=TOKEN)) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        url = process.stdout.readline().split()[-1]
        with undisturbed(url, http_credentials={"username": "anybody", "password": TOKEN}) as page:
            until(lambda: asked(f"{url}/campaigns", TOKEN) != [])
            page.goto(f"{url}/dashboard/campaigns/smoke")
            order, stages = page.locator("#live-order"), page.locator("#live-stages")
            page.click("text=Pause")
            playwright.expect(order).to_have_text("pause", timeout=PATIENCE_MS)
            while "is paused; go on with: deltaloop resume smoke" not in process.stderr.readline():
                assert process.poll() is None
            page.wait_for_timeout(2000)  # an event of what was committed before it waited
            waiting = stages.inner_text()
            page.wait_for_timeout(2000)
            assert stages.inner_text() == waiting
            page.click("text=Resume")
            playwright.expect(order).to_have_text("run", timeout=PATIENCE_MS)
            playwright.expect(stages).not_to_have_text(waiting, timeout=PATIENCE_MS)
        process.terminate()
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in err


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """A process that is over afterwards, whatever was found."""
    with process:
        try:
            yield process
        finally:
            process.kill()
