"""The pages, rendered on the server. What the ledger holds is text to them: it is escaped, and no script comes from it.

/dashboard                                        campaigns
/dashboard/campaigns/NAME                         its rounds, live progress, pause and resume
/dashboard/campaigns/NAME/rounds/N/regions[/K]    the region map, and a region
/dashboard/campaigns/NAME/rounds/N/prompts        scored prompts, filtered, by pages
/dashboard/campaigns/NAME/rounds/N/candidates     rejected candidates by reason
/dashboard/prompts/ID                             a prompt, from seed to training
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, FastAPI, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse

from loop.dashboard.facts import Facts
from loop.dashboard.live import progress_events
from loop.dashboard.rendering import static_file, template
from loop.dashboard.views import campaign_view, prompt_view, regions_view
from store.records import CampaignRow, Fate, Order, Origin, PromptFilter, RoundRow

if TYPE_CHECKING:
    from loop.bootstrap import Home

Name = Annotated[str, Path(max_length=64)]
Index = Annotated[int, Path(ge=0, le=2**31 - 1)]
Digest = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]

PAGE = 50
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# With `no-referrer` a browser would send `Origin: null` with a form, and the order would be refused.
HEADERS = {"Content-Security-Policy": POLICY, "Referrer-Policy": "same-origin", "X-Frame-Options": "DENY"}
IMAGES = {b"\x89PNG\r\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif", b"RIFF": "image/webp"}


class NoPage(Exception):
    """There is nothing to show at this address."""


def add_pages(app: FastAPI, home: Home) -> None:
    """Add the pages of a home to the application of its API."""
    facts, router = Facts(home), APIRouter(prefix="/dashboard", include_in_schema=False)

    @app.exception_handler(NoPage)
    def missing(request: Request, error: NoPage) -> Response:
        return _page("missing.html", 404, reason=str(error))

    @router.get("")
    def campaigns() -> Response:
        rows = [(row, str(facts.ledger.find_order(row.name))) for row in reversed(facts.ledger.campaigns())]
        return _page("campaigns.html", rows=rows)

    @router.get("/campaigns/{name}")
    def campaign(name: Name) -> Response:
        return _page("campaign.html", **campaign_view(facts, _campaign(facts, name)))

    @router.get("/campaigns/{name}/events")
    def events(name: Name) -> Response:
        row = _campaign(facts, name)
        return StreamingResponse(progress_events(facts.home, row.name), media_type="text/event-stream")

    @router.post("/campaigns/{name}/{order}")
    def give(name: Name, order: Order) -> Response:
        if order is Order.STOP:
            raise NoPage("a campaign is stopped by `deltaloop stop`")
        facts.ledger.give_order(_campaign(facts, name).name, order)
        return RedirectResponse(f"/dashboard/campaigns/{quote(name)}", 303)

    @router.get("/campaigns/{name}/rounds/{index}/regions")
    def regions(name: Name, index: Index) -> Response:
        return _page("regions.html", **regions_view(facts, _round(facts, name, index)))

    @router.get("/campaigns/{name}/rounds/{index}/regions/{number}")
    def region(name: Name, index: Index, number: Index, after: str = "") -> Response:
        row = _round(facts, name, index)
        aims = facts.aims(row)
        if aims is None or number >= len(aims.regions):
            raise NoPage(f"round {index} of {name} has no region {number}")
        members = sorted(id for id, held in aims.assignment.items() if held == number and id > after)[:PAGE]
        earlier = [other for other in facts.ledger.rounds(name) if other.index < index]
        return _page(
            "region.html",
            row=row,
            region=aims.regions[number],
            past=facts.region_past(earlier[-5:], aims, number),
            prompts=facts.ledger.prompts(members),
            scores=facts.ledger.scores_of(name, index, members),
            next=members[-1] if len(members) == PAGE else None,
        )

    @router.get("/campaigns/{name}/rounds/{index}/prompts")
    def prompts(
        name: Name,
        index: Index,
        words: str = "",
        origin: str = "",
        answers: str = "",
        min_delta: str = "",
        after: str = "",
    ) -> Response:
        row = _round(facts, name, index)
        wanted = PromptFilter(words, _origin(origin), {"alike": True, "differ": False}.get(answers), _number(min_delta))
        found = facts.ledger.page_of_scored(name, index, wanted, after, PAGE)
        typed = {"words": words, "origin": origin, "answers": answers, "min_delta": min_delta}
        last = found[-1].prompt.id if len(found) == PAGE else None
        return _page("prompts.html", row=row, found=found, typed=typed, next=last, origins=list(Origin)[:4])

    @router.get("/campaigns/{name}/rounds/{index}/candidates")
    def candidates(
        name: Name, index: Index, fate: str = "", after: Annotated[int, Query(ge=-1, le=2**31 - 1)] = -1
    ) -> Response:
        row = _round(facts, name, index)
        wanted = Fate(fate) if fate in set(Fate) else None
        found = facts.ledger.page_of_candidates(name, index, wanted, after, PAGE)
        counts = [count for count in facts.ledger.fates(name) if count.round == index]
        last = found[-1].position if len(found) == PAGE else None
        return _page("candidates.html", row=row, found=found, counts=counts, fate=wanted, next=last)

    @router.get("/prompts/{id}")
    def prompt(id: Digest) -> Response:
        view = prompt_view(facts, id)
        if view is None:
            raise NoPage(f"there is no prompt {id}")
        return _page("prompt.html", **view)

    @router.get("/images/{digest}")
    def image(digest: Digest) -> Response:
        try:
            data = home.blobs.get(digest)
        except KeyError:
            raise NoPage(f"there is no image {digest}") from None
        kind = next((kind for beginning, kind in IMAGES.items() if data.startswith(beginning)), None)
        if kind is None:  # other blobs are no business of a browser
            raise NoPage(f"{digest} is no image")
        return Response(data, media_type=kind, headers=HEADERS)

    @router.get("/static/{file}")
    def static(file: str) -> Response:
        found = static_file(file)
        if found is None:
            raise NoPage(f"there is no file {file}")
        return Response(*found)

    app.include_router(router)


def _page(name: str, status: int = 200, **values: Any) -> Response:
    return HTMLResponse(template(name).render(standalone=False, **values), status, headers=HEADERS)


def _campaign(facts: Facts, name: str) -> CampaignRow:
    row = facts.ledger.find_campaign(name)
    if row is None:
        raise NoPage(f"there is no campaign {name}")
    return row


def _round(facts: Facts, name: str, index: int) -> RoundRow:
    row = facts.ledger.find_round(_campaign(facts, name).name, index)
    if row is None:
        raise NoPage(f"there is no round {index} of campaign {name}")
    return row


def _origin(text: str) -> Origin | None:
    return Origin(text) if text in set(Origin) else None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
