"""What the larger pages show, ready for their templates."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any
from urllib.parse import quote

from loop.dashboard.charts import accuracy_chart, delta_chart, region_chart
from loop.dashboard.facts import Facts
from loop.dashboard.live import progress_of
from store.records import CampaignRow, RoundRow

MAX_HISTOGRAMS = 4
MAX_CHILDREN = 50


def campaign_view(facts: Facts, campaign: CampaignRow) -> dict[str, Any]:
    """A campaign's rounds, with accuracy and the newest distributions of Δ."""
    rounds = facts.ledger.rounds(campaign.name)
    summary = facts.summary(campaign, rounds)
    histograms = [(row, held) for row in rounds if (held := facts.histogram(row)) is not None][-MAX_HISTOGRAMS:]
    accuracies = [(0, summary["baseline"]["eval"]["student"])]
    accuracies += [(entry["index"], entry["eval"]["student"]) for entry in summary["rounds"]]
    points = [
        {"round": index, "suite": suite, "accuracy": value}
        for index, suites in accuracies
        for suite, value in suites.items()
    ]
    return {
        "campaign": campaign,
        "summary": summary,
        "live": progress_of(facts.home, campaign.name),
        "suites": sorted({point["suite"] for point in points}),
        "accuracies": accuracies,
        "accuracy_chart": accuracy_chart(points) if points else None,
        "histograms": [(row.index, held, delta_chart(held)) for row, held in histograms],
    }


def regions_view(facts: Facts, row: RoundRow, *, links: bool = True) -> dict[str, Any]:
    """The map of a round's regions, each a link to its page if wanted."""
    aims = facts.aims(row)
    regions = aims.regions if aims else ()
    here = f"/dashboard/campaigns/{quote(row.campaign)}/rounds/{row.index}/regions"
    points = [
        {
            "x": float(point[0]),
            "y": float(point[1]),
            "size": region.size,
            "delta": region.posterior.mean,
            "label": f"region {region.index}: {', '.join(region.skills) or 'no failing skill'}",
        }
        | ({"link": f"{here}/{region.index}"} if links else {})
        for region, point in zip(regions, facts.region_points(aims) if aims and regions else (), strict=True)
    ]
    spots = [asdict(spot) for spot in facts.prompt_spots(row, aims)] if aims and points else []
    return {
        "row": row,
        "regions": regions,
        "chart": region_chart(points, spots) if points else None,
        "binned": any(spot["size"] > 1 for spot in spots),
    }


def prompt_view(facts: Facts, id: str) -> dict[str, Any] | None:
    """A prompt from its seed to its training; None if it is not in the ledger, e.g. a rejected candidate."""
    lineage = facts.ledger.lineage(id)
    if not lineage:
        return None
    history = facts.ledger.history(id)
    rows = {row: facts.ledger.find_round(*row) for row in {(held.campaign, held.round) for held in history}}
    decisions = [(held, facts.why(row, held.score)) for held in history if (row := rows[held.campaign, held.round])]
    versions = [id for held in history for id in (held.score.teacher, held.score.student)]
    roles = dict.fromkeys((held.score.teacher for held in history), "teacher")
    return {
        "prompt": lineage[-1],
        "lineage": lineage,
        "children": facts.ledger.children(id, MAX_CHILDREN),
        "decisions": decisions,
        "answers": facts.ledger.answers(id, versions),
        "roles": roles,
        "candidacies": facts.ledger.candidacies(id),
    }
