"""Trials of a study in MLflow: a run per trial, nested under the run of its study.

params as asked; accuracy, its error, tokens and paid tokens, ratio, seeds as metrics; the state as a tag
"""

from __future__ import annotations

import logging
from pathlib import Path

from loop.adapters.mlflow_book import MlflowBook, Point
from loop.text import one_line
from loop.tuning import Tried

log = logging.getLogger(__name__)

ENDS = {"complete": "FINISHED", "pruned": "KILLED", "fail": "FAILED"}
"""MLflow's word for each state of a trial."""


def note_trial(home: Path, campaign: str, tried: Tried) -> None:
    """Write what is not there yet. What fails warns: the study has it."""
    try:
        _note(MlflowBook(home), campaign, tried)
    except Exception as error:
        log.warning(
            "MLflow (%s) does not show trial %d: %s: %s; `deltaloop tune --report` does",
            home / "mlflow.db",
            tried.number,
            type(error).__name__,
            str(error).partition("\n")[0],
        )


def _note(book: MlflowBook, campaign: str, tried: Tried) -> None:
    study = book.study_run(campaign)
    run = book.trial_run(study, tried.number)
    book.params(run, {key: str(value) for key, value in tried.params.items()})
    book.tag(run, {"deltaloop.state": tried.state, "deltaloop.reason": one_line(tried.reason)})
    if tried.worth is not None:
        numbers = {f"trial/{name}": float(value) for name, value in vars(tried.worth).items()}
        numbers["trial/gain_per_million_tokens"] = tried.worth.ratio
        points = [Point(name, value, tried.number) for name, value in numbers.items()]
        book.points(run, points)
        book.points(study, points)  # one curve over all trials
    book.end(run, ENDS[tried.state])
    book.end(study, "FINISHED")
