"""A campaign's figures, drawn from what its ledger recorded: for the tracker, and for `scripts.refresh_figures`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from loop.adapters.figures import RoundReport, accuracy_over_rounds, delta_histogram, region_map
from loop.ports import Ledger
from loop.summary import Read, outputs_of
from store.records import Aims, RoundRow, Scores


def delta_figure(rounds: Sequence[RoundRow], read: Read) -> bytes | None:
    """Δ histograms of the rounds that have scored; None if none has."""
    scored = {row.index: outputs_of(row, read).get("score") for row in rounds}
    shown = {index: scores.scores for index, scores in scored.items() if scores is not None and scores.scores}
    return delta_histogram(shown) if shown else None


def region_figure(round: RoundRow, ledger: Ledger, read: Read) -> bytes | None:
    """The region map of a round; None before its target stage, or if its embeddings are not in the ledger."""
    outputs = outputs_of(round, read)
    scores: Scores | None = outputs.get("score")
    aims: Aims | None = outputs.get("target")
    if scores is None or aims is None:
        return None
    vectors = ledger.embeddings(aims.embedder, sorted(aims.assignment))
    shown = [score for score in scores.scores if score.prompt_id in vectors]
    if not shown:
        return None
    return region_map(
        np.stack([vectors[score.prompt_id] for score in shown]),
        np.array([score.delta for score in shown]),
        np.array([aims.assignment[score.prompt_id] for score in shown]),
        aims.regions,
    )


def accuracy_figure(rounds: Sequence[RoundRow], read: Read) -> bytes | None:
    """Accuracy over rounds, against the baselines of round 0; None before anything was evaluated."""
    outputs = {row.index: outputs_of(row, read) for row in rounds}
    baseline = outputs.get(0, {})
    reports = [
        RoundReport(index, output["evaluate"], output["judge"].promoted if "judge" in output else None)
        for index, output in sorted(outputs.items())
        if "evaluate" in output
    ]
    student = baseline.get("baseline_student")
    if not reports and student is None:
        return None
    return accuracy_over_rounds(reports, student, baseline.get("baseline_teacher"))
