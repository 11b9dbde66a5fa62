"""The endpoints. What the ledger knows is read; orders are written into it; no path that a client names is read.

/health /ready                     for supervisors            /metrics           for Prometheus
/campaigns[/NAME[/rounds[/N]]]     how far they have come     /service           the jobs of this service
/campaigns/NAME/prompts            its pool, by pages         /prompts/ID        one prompt
/campaigns/NAME/rounds/N/scores    Δ of a round, by pages     /campaigns/NAME/pause, resume, stop   (POST)
/dashboard                         pages for people: see `loop.dashboard`
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import anyio.to_thread
from fastapi import FastAPI, HTTPException, Path, Query, Request, Response
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel

from loop.api.metrics import registry
from loop.dashboard.pages import add_pages
from loop.status import status_of
from store.errors import DeltaloopError, Missing
from store.owners import is_held
from store.records import CampaignRow, Order, RoundRow

if TYPE_CHECKING:
    from loop.bootstrap import Home
    from loop.service import JobState

log = logging.getLogger(__name__)

Name = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$", description="Campaign.")]
Index = Annotated[int, Path(ge=0, le=2**31 - 1, description="Round; 0 is the preparation.")]
PromptId = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]
After = Annotated[str, Query(pattern=r"^[0-9a-f]{0,64}$", description="`next` of the page before.")]
Limit = Annotated[int, Query(ge=1, le=1000)]

THREADS = 8
"""Requests that are answered side by side: rounds need the machine more."""

NOT_FOUND: dict[int | str, dict[str, Any]] = {404: {"description": "There is none."}}
CONFLICT: dict[int | str, dict[str, Any]] = {**NOT_FOUND, 409: {"description": "Nobody runs it."}}


class Told(BaseModel):
    """Text for a person or a supervisor."""

    status: str


class Given(BaseModel):
    """An order that was given."""

    campaign: str
    order: Order


class Json(JSONResponse):
    """JSON in ASCII: questions may hold text that no encoding has."""

    def render(self, content: Any) -> bytes:
        """As bytes."""
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


def create_app(home: Home, jobs: Callable[[], list[JobState]], is_ready: Callable[[], bool]) -> FastAPI:
    """The application, without its guard.

    Args:
        home: what is told of.
        jobs: the jobs of this service.
        is_ready: whether it takes work.
    """
    app = FastAPI(
        title="deltaloop",
        description="Campaigns of a home: what they found, and orders to their controllers.",
        default_response_class=Json,
        docs_url=None,  # these pages would load scripts from elsewhere
        redoc_url=None,
        lifespan=_few_threads,
    )
    measured = registry(home, jobs)

    @app.exception_handler(DeltaloopError)
    def unusable(request: Request, error: DeltaloopError) -> Response:
        log.error("%s %s: %s", request.method, request.url.path, error)
        return Json({"detail": "the home cannot be read or written now; the log says why"}, 503)

    @app.exception_handler(RequestValidationError)
    def malformed(request: Request, error: RequestValidationError) -> Response:
        return Json({"detail": jsonable_encoder(error.errors())}, 422)  # it quotes what was sent: in ASCII

    @app.get("/health")
    def health() -> Told:
        """Whether the process answers."""
        return Told(status="ok")

    @app.get("/ready", responses={503: {"description": "It does not take work."}})
    def ready(response: Response) -> Told:
        """Whether the service takes work, and the ledger can be read."""
        home.ledger.campaigns()
        if is_ready():
            return Told(status="ready")
        response.status_code = 503
        return Told(status="ending")

    @app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    def metrics() -> Response:
        """Numbers for Prometheus."""
        return Response(generate_latest(measured), media_type=CONTENT_TYPE_LATEST)

    @app.get("/service")
    def service() -> list[dict[str, Any]]:
        """The jobs of this service, when they are due, and how they went."""
        return [asdict(job) for job in jobs()]

    @app.get("/campaigns")
    def campaigns() -> list[dict[str, Any]]:
        """All campaigns, oldest first."""
        return [asdict(row) | {"order": str(home.ledger.find_order(row.name))} for row in home.ledger.campaigns()]

    @app.get("/campaigns/{name}", responses=NOT_FOUND)
    def campaign(name: Name) -> dict[str, Any]:
        """What `deltaloop status --json` prints."""
        return status_of(home, _campaign(home, name))

    @app.get("/campaigns/{name}/rounds", responses=NOT_FOUND)
    def rounds(name: Name) -> list[dict[str, Any]]:
        """All rounds with their stages."""
        return [_round_json(row) for row in home.ledger.rounds(_campaign(home, name).name)]

    @app.get("/campaigns/{name}/rounds/{index}", responses=NOT_FOUND)
    def round(name: Name, index: Index) -> dict[str, Any]:
        """A round with its stages, and the settings that it ran under."""
        row = _round(home, name, index)
        return _round_json(row) | {"settings": json.loads(row.settings)}

    @app.get("/campaigns/{name}/rounds/{index}/scores", responses=NOT_FOUND)
    def scores(name: Name, index: Index, after: After = "", limit: Limit = 100) -> dict[str, Any]:
        """Δ of the prompts that a round scored, in order of prompt id."""
        _round(home, name, index)
        found = home.ledger.page_of_scores(name, index, after, limit)
        return {"scores": [asdict(row) for row in found], "next": found[-1].prompt_id if len(found) == limit else None}

    @app.get("/campaigns/{name}/prompts", responses=NOT_FOUND)
    def prompts(name: Name, after: After = "", limit: Limit = 100) -> dict[str, Any]:
        """The prompts of the campaign's pool, in order of id."""
        found = home.ledger.page_of_pool(_campaign(home, name).pool, after, limit)
        return {"prompts": [asdict(row) for row in found], "next": found[-1].id if len(found) == limit else None}

    @app.get("/prompts/{id}", responses=NOT_FOUND)
    def prompt(id: PromptId) -> dict[str, Any]:
        """A prompt."""
        try:
            return asdict(home.ledger.prompts([id])[0])
        except Missing as error:
            raise HTTPException(404, str(error)) from None

    @app.post("/campaigns/{name}/pause", status_code=202, responses=NOT_FOUND)
    def pause(name: Name) -> Given:
        """Let the controller wait after what it commits next."""
        return _give(home, name, Order.PAUSE)

    @app.post("/campaigns/{name}/resume", status_code=202, responses=NOT_FOUND)
    def resume(name: Name) -> Given:
        """Let it go on."""
        return _give(home, name, Order.RUN)

    @app.post("/campaigns/{name}/stop", status_code=202, responses=CONFLICT)
    def stop(name: Name) -> Given:
        """End the controller: the process ends, this service included if it is the one."""
        lease = home.ledger.find_lease(name)
        if lease is None or not is_held(lease):
            _campaign(home, name)
            raise HTTPException(409, f"nobody runs campaign {name}")
        return _give(home, name, Order.STOP)

    add_pages(app, home)
    return app


@asynccontextmanager
async def _few_threads(app: FastAPI) -> AsyncIterator[None]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
    yield


def _campaign(home: Home, name: str) -> CampaignRow:
    row = home.ledger.find_campaign(name)
    if row is None:
        raise HTTPException(404, f"there is no campaign {name}")
    return row


def _round(home: Home, name: str, index: int) -> RoundRow:
    row = home.ledger.find_round(_campaign(home, name).name, index)
    if row is None:
        raise HTTPException(404, f"there is no round {index} of campaign {name}")
    return row


def _round_json(row: RoundRow) -> dict[str, Any]:
    stages = [
        {"name": s.name, "status": str(s.status), "seconds": s.seconds, "attempts": s.attempts, "error": s.error}
        for s in row.stages
    ]
    told = {"index": row.index, "status": str(row.status), "seconds": row.seconds, "stages": stages}
    return told | {"commit": row.commit, "dirty": row.dirty}


def _give(home: Home, name: str, order: Order) -> Given:
    try:
        home.ledger.give_order(name, order)
    except Missing as error:
        raise HTTPException(404, str(error)) from None
    return Given(campaign=name, order=order)
