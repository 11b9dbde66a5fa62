"""What the stages' output records say in numbers: metric names for a tracker, one JSON object for `status --json`.

    stage name + output record  -> metrics_of   -> {"delta/mean": 0.41, ...}, one flat name per number
    all outputs of a round      -> totals_of    -> what the round spent
    ledger rows + outputs       -> campaign_json -> the object below, complete from the first second of a campaign

    {"campaign", "status", "baseline": {"eval": {"student", "teacher"}}, "rounds": [
      {"index", "status", "seconds", "stages": [{"name", "status", "seconds"}],
       "delta": {"mean", "zero_share", "prompts"},
       "spent": {"teacher_samples", "student_samples", "generator_samples", "generator_tokens", "train_tokens"},
       "trust": {"differing_share", "noise_floor", "predicted", "selection_biased", "training", "pool"},
       "synthesis": {"proposed", "admitted", "yield": {"seed_guided", "skill_guided", "new_chart"}},
       "train": {"prompts", "steps", "alarm"}, "eval": {"student"}, "student_version", "promoted"}]}

Every key is always there. What is not known yet, because its stage has not ended, is null; an evaluation that is not
known yet is {}. `spent` counts what the finished stages spent. `eval.student` and `student_version` are the round's
candidate, promoted or not. `trust.selection_biased` is the
training set's mean Δ by the samples that selected it; `trust.training` and `trust.pool` (a random part of the pool) are
Δ by samples that selected nothing: {"prompts", "samples", "delta", "low", "high", "squared_distance"}. Round 0, the
preparation, is `baseline` and not among the rounds. No float is NaN or infinite.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from loop.ports import Blobs
from store.records import (
    Admitted,
    Aims,
    CampaignRow,
    Filled,
    Origin,
    Report,
    Role,
    RoundRow,
    Score,
    Scores,
    Spent,
    StageRow,
    Status,
    SuiteReport,
    Trained,
    TrainingSet,
    Verdict,
)

OUTPUTS: Mapping[str, type] = {
    "pool": Filled,
    "baseline_teacher": Report,
    "baseline_student": Report,
    "score": Scores,
    "target": Aims,
    "synthesize": Admitted,
    "select": TrainingSet,
    "distill": Trained,
    "evaluate": Report,
    "judge": Verdict,
    "close": Report,
}
"""What each stage of `loop.round` returns, by stage name."""

PAID = Scores | Aims | Admitted | TrainingSet | Trained
"""The outputs of stages that sample or train, with what they `spent`."""

Read = Callable[[StageRow], Any]
"""Gives the output record of a completed stage."""


def reader(blobs: Blobs) -> Read:
    """A function that reads the output of a completed stage from its blob.

    KeyError or `store.errors.Corrupt` if the blob is absent or damaged.
    """

    def read(stage: StageRow) -> Any:
        if stage.output is None:
            raise KeyError(f"stage `{stage.name}` has no output: it is {stage.status}")
        return _adapter(stage.name).validate_json(blobs.get(stage.output))

    return read


def outputs_of(round: RoundRow, read: Read) -> dict[str, Any]:
    """The outputs of a round's completed stages, by stage name, in the order of their start."""
    return {
        stage.name: read(stage)
        for stage in round.stages
        if stage.status is Status.COMPLETED and stage.output is not None and stage.name in OUTPUTS
    }


def metrics_of(stage: str, output: Any) -> dict[str, float]:
    """The numbers in a stage's output, by metric name; not finite ones are left out. KeyError for an unknown stage."""
    if not isinstance(output, OUTPUTS[stage]):
        raise TypeError(f"stage `{stage}` returns {OUTPUTS[stage].__name__}, not {type(output).__name__}")
    return {name: float(value) for name, value in _numbers(stage, output).items() if math.isfinite(value)}


def totals_of(outputs: Mapping[str, Any]) -> dict[str, float]:
    """What a round's finished stages spent together, by metric name, and what accuracy that bought."""
    spent = spent_of(outputs)
    tokens = spent.teacher_tokens + spent.student_tokens + spent.train_tokens + spent.generator_tokens
    report: Report | None = outputs.get("evaluate")
    mean = report.by_suite().get("mean") if report is not None else None
    bought = {"accuracy_per_million_tokens": mean * 1e6 / tokens} if mean is not None and tokens else {}
    return _spent_numbers(spent) | bought


def spent_of(outputs: Mapping[str, Any]) -> Spent:
    """What a round's finished stages spent together."""
    return Spent.total(output.spent for output in outputs.values() if isinstance(output, PAID))


def campaign_json(
    campaign: CampaignRow,
    rounds: Sequence[RoundRow],
    read: Read,
    of_round: Callable[[RoundRow], dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """The object that `status --json` prints; see the module docstring.

    `of_round` gives the entry of a round, where it is known otherwise than by reading all outputs.
    """
    of_round = of_round or (lambda row: round_json(row, outputs_of(row, read)))
    preparation = next((row for row in rounds if row.index == 0), None)
    outputs = outputs_of(preparation, read) if preparation else {}
    return {
        "campaign": campaign.name,
        "status": str(campaign.status),
        "baseline": {
            "eval": {str(role): _accuracies(outputs.get(f"baseline_{role}")) for role in (Role.STUDENT, Role.TEACHER)}
        },
        "rounds": [of_round(row) for row in rounds if row.index > 0],
    }


def round_json(round: RoundRow, outputs: Mapping[str, Any]) -> dict[str, Any]:
    """One entry of `rounds`; `outputs` as `outputs_of` gives them."""
    scores: Scores | None = outputs.get("score")
    admitted: Admitted | None = outputs.get("synthesize")
    batch: TrainingSet | None = outputs.get("select")
    trained: Trained | None = outputs.get("distill")
    verdict: Verdict | None = outputs.get("judge")
    spent = spent_of(outputs)
    return {
        "index": round.index,
        "status": str(round.status),
        "seconds": round.seconds,
        "stages": [{"name": row.name, "status": str(row.status), "seconds": row.seconds} for row in round.stages],
        "delta": {
            "mean": _mean([score.delta for score in scores.scores]) if scores else None,
            "zero_share": zero_share(scores.scores) if scores else None,
            "prompts": len(scores.scores) if scores else None,
        },
        "trust": _trust_json(scores, batch),
        "spent": {
            "teacher_samples": spent.teacher_samples,
            "student_samples": spent.student_samples,
            "generator_samples": spent.generator_samples,
            "generator_tokens": spent.generator_tokens,
            "train_tokens": spent.train_tokens,
        },
        "synthesis": _synthesis_json(admitted),
        "train": {
            "prompts": len(batch.prompts) if batch else None,
            "steps": trained.steps if trained else None,
            "alarm": trained.alarm if trained else None,
        },
        "eval": {"student": _accuracies(outputs.get("evaluate"))},
        "student_version": trained.version.id if trained else None,
        "promoted": verdict.promoted if verdict else None,
    }


def zero_share(scores: Sequence[Score]) -> float | None:
    """Share of zero-delta prompts; None of nothing."""
    return _mean([float(score.zero_delta) for score in scores])


@cache
def _adapter(stage: str) -> TypeAdapter[Any]:
    return TypeAdapter(OUTPUTS[stage])


def _trust_json(scores: Scores | None, batch: TrainingSet | None) -> dict[str, Any]:
    """How far Δ can be trusted: who differs by the test, the teacher's own noise, what was predicted, fresh samples."""
    rows = scores.scores if scores else ()
    return {
        "differing_share": _mean([float(row.differs) for row in rows if row.differs is not None]),
        "noise_floor": _mean([row.noise_floor for row in rows if row.noise_floor is not None]),
        "predicted": sum(row.predicted for row in rows) if scores else None,
        "selection_biased": batch.mean_delta if batch else None,
        "training": asdict(batch.reported) if batch and batch.reported else None,
        "pool": asdict(batch.pool) if batch and batch.pool else None,
    }


def _synthesis_json(admitted: Admitted | None) -> dict[str, Any]:
    yields = admitted.yields if admitted else {}
    origins = (Origin.SEED_GUIDED, Origin.SKILL_GUIDED, Origin.NEW_CHART)
    return {
        "proposed": sum(row.proposed for row in yields.values()) if admitted else None,
        "admitted": sum(row.admitted for row in yields.values()) if admitted else None,
        "yield": {str(origin): yields[origin].rate if origin in yields else None for origin in origins},
    }


def _accuracies(report: Report | None) -> dict[str, float]:
    return report.by_suite() if report else {}


def _mean(values: Sequence[float]) -> float | None:
    """The mean; None of nothing, and where it is not a finite number."""
    mean = sum(values) / len(values) if values else math.nan
    return mean if math.isfinite(mean) else None


def _numbers(stage: str, output: Any) -> dict[str, float]:
    match output:
        case Filled():
            return {"pool/prompts": output.prompts, "pool/quarantined": output.quarantined}
        case Scores():
            return _score_numbers(output.scores) | _spent_numbers(output.spent, stage)
        case Aims():
            return _aim_numbers(output)
        case Admitted():
            return _admission_numbers(output) | _spent_numbers(output.spent, stage)
        case TrainingSet():
            return _choice_numbers(output) | _spent_numbers(output.spent, stage)
        case Trained():
            return _training_numbers(output) | _spent_numbers(output.spent, stage)
        case Report():
            who = {"baseline_teacher": "teacher", "close": "closing"}.get(stage, "student")
            accuracies = {metric_name("accuracy", who, suite): value for suite, value in output.by_suite().items()}
            return accuracies | harness_numbers(output.suites, who)
        case Verdict():
            return {
                "judge/promoted": output.promoted,
                "judge/gain": output.gain,
                "judge/gain_low": output.low,
                "judge/gain_high": output.high,
            }
        case _:
            raise TypeError(f"no numbers are known of {type(output).__name__}")


def harness_numbers(reports: Sequence[SuiteReport], who: str) -> dict[str, float]:
    """What a harness says, by metric name."""
    numbers: dict[str, float] = {}
    for report in reports:
        for score in report.harness.scores if report.harness else ():
            name = metric_name("harness", who, report.suite, score.metric)
            numbers[name] = score.value
            if score.stderr is not None:
                numbers[f"{name}_stderr"] = score.stderr
    return numbers


def metric_name(*parts: str) -> str:
    """A name that MLflow takes: characters that it refuses, and parts that it would take for folders, become `_`."""
    fit = (re.sub(r"[^\w. -]", "_", part)[:100] for part in parts)
    return "/".join("_" if part.strip(".") == "" else part for part in fit)


def _choice_numbers(batch: TrainingSet) -> dict[str, float]:
    numbers: dict[str, float] = {
        "select/prompts": len(batch.prompts),
        "select/delta_mean_selection_biased": batch.mean_delta,
    }
    for name, reported in (("select", batch.reported), ("delta", batch.pool)):
        if reported is not None:
            numbers |= {
                f"{name}/delta_reported": reported.delta,
                f"{name}/delta_reported_low": reported.low,
                f"{name}/delta_reported_high": reported.high,
                f"{name}/squared_distance_reported": reported.squared_distance,
            }
    return numbers


def _score_numbers(scores: Sequence[Score]) -> dict[str, float]:
    if not scores:
        return {"delta/prompts": 0}
    deltas = np.array([score.delta for score in scores])
    quantiles = np.quantile(deltas, [0.1, 0.5, 0.9])
    return {
        "delta/prompts": len(scores),
        "delta/mean": float(deltas.mean()),
        "delta/q10": float(quantiles[0]),
        "delta/q50": float(quantiles[1]),
        "delta/q90": float(quantiles[2]),
        "delta/zero_share": float(np.mean([score.zero_delta for score in scores])),
        "delta/interval_width": float(np.mean([score.high - score.low for score in scores])),
        "delta/differing_share": float(np.mean([bool(score.differs) for score in scores])),
        "delta/noise_floor": float(np.mean([score.noise_floor or 0.0 for score in scores])),
        "delta/predicted": sum(score.predicted for score in scores),
        "consistency/mean": float(np.mean([score.consistency for score in scores])),
        "agreement/mean": float(np.mean([score.student_agreement for score in scores])),
    }


def _aim_numbers(aims: Aims) -> dict[str, float]:
    numbers: dict[str, float] = {
        "target/regions": len(aims.regions),
        "target/budget": sum(region.budget for region in aims.regions),
    }
    if aims.contrasts:
        numbers |= {"target/contrasts": aims.contrasts, "target/contrasts_named": aims.named}
        numbers |= _generator_numbers(aims.spent, "/target")
    if aims.regions:
        means = [region.posterior.mean for region in aims.regions]
        numbers |= {"target/region_delta_min": min(means), "target/region_delta_max": max(means)}
    return numbers


def _admission_numbers(admitted: Admitted) -> dict[str, float]:
    numbers: dict[str, float] = {
        "synthesis/proposed": sum(row.proposed for row in admitted.yields.values()),
        "synthesis/admitted": sum(row.admitted for row in admitted.yields.values()),
    }
    for origin, row in admitted.yields.items():
        numbers[f"yield/{origin}"] = row.rate
        numbers[f"synthesis/{origin}/proposed"] = row.proposed
        numbers[f"synthesis/{origin}/parsed"] = row.parsed
        numbers[f"synthesis/{origin}/delta_prompts"] = row.delta_prompts
        numbers[f"synthesis/{origin}/admitted"] = row.admitted
    if admitted.scores:
        numbers["synthesis/delta_mean"] = float(np.mean([score.delta for score in admitted.scores]))
    return numbers


def _training_numbers(trained: Trained) -> dict[str, float]:
    numbers: dict[str, float] = {"train/prompts": trained.prompts, "train/steps": trained.steps}
    if trained.history:
        first, last = trained.history[0], trained.history[-1]
        numbers |= {
            "train/loss_first": first.loss,
            "train/loss_last": last.loss,
            "train/response_tokens_last": last.response_tokens,
            "train/truncated_share_last": last.truncated_share,
        }
    return numbers


def _spent_numbers(spent: Spent, stage: str = "") -> dict[str, float]:
    """By stage where one is named: several stages of a round sample, and each has its own numbers."""
    suffix = f"/{stage}" if stage else ""
    return {
        f"samples/teacher{suffix}": spent.teacher_samples,
        f"samples/student{suffix}": spent.student_samples,
        f"tokens/teacher{suffix}": spent.teacher_tokens,
        f"tokens/student{suffix}": spent.student_tokens,
        f"tokens/train{suffix}": spent.train_tokens,
    } | _generator_numbers(spent, suffix)


def _generator_numbers(spent: Spent, suffix: str) -> dict[str, float]:
    """Only where a generator wrote: most campaigns have none."""
    if not spent.generator_samples:
        return {}
    return {
        f"samples/generator{suffix}": spent.generator_samples,
        f"tokens/generator{suffix}": spent.generator_tokens,
    }
