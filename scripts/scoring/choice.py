"""Does adaptive scoring choose as well as fixed scoring, for a fraction of the samples?

    rounds with a known truth (scripts.scoring.rounds) -> each scheme chooses 10 % -> quality, samples

quality = mean true Δ of the chosen tenth over that of the best tenth; Δ the smoothed reverse KL of the true
distributions. `quality_ratio` is adaptive's over that of fixed-16 (the plug-in Δ of 16 + 16 samples). In each round
adaptive may draw 20 % of fixed-16's student samples, its reporting samples included; counted beside them are all
samples that it pays for: the student's, the teacher's for new prompts, reporting samples of both sides.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t

from policies.adaptive import Settings, plan_reports, plan_wave
from policies.beliefs import Belief, Evidence, posterior
from scripts.scoring.rounds import FED, Counts, Floats, Round, count, delta, shares
from scripts.scoring.shapes import SMOOTHING

FIXED = (2, 4, 8, 16, 32)
CHOSEN_SHARE = 0.1
STUDENT_SHARE = 0.2
"""Budget of adaptive scoring, as a share of fixed-16's student samples."""
REPORTS = 2
"""Reporting samples of a side, on a quarter of the chosen prompts and on 1 % of the pool."""
BINS = (-np.inf, 0.3, 1.2, np.inf)
"""Of a plug-in Δ of FED samples: small, middling, large."""
GRESO_EXPLORATION = 0.5
"""GRESO skips with probability 1 - e^z after z uninformative rounds in a row (2506.02177); e is held fixed here."""


@dataclass(frozen=True)
class Memory:
    """What adaptive scoring knows of earlier rounds, for the prompts of then."""

    last: Floats
    idle: Counts
    reported: NDArray[np.bool_]
    """[n] whether the teacher's reporting samples are in the ledger."""


def run_schemes(rounds: Iterable[Round], seed: int) -> list[dict[str, dict[str, float]]]:
    """Per round and scheme: `quality`, and `student` and `total` samples per prompt that the round paid for."""
    rng = np.random.default_rng([seed, 3])
    results, memory, quiet = [], None, np.zeros(0, dtype=np.int64)
    for now in rounds:
        num = len(now.truth)
        rows: dict[str, dict[str, float]] = {}
        for fixed in (fixed for fixed in FIXED if fixed <= now.student.shape[1]):
            plugged = delta(shares(now.student[:, :fixed], now.classes), shares(now.teacher[:, :fixed], now.classes))
            rows[f"fixed {fixed}"] = _row(quality(plugged, now.truth, rng), fixed, 2 * fixed)
            if fixed == FED:
                at_fed = plugged
        believed = posterior(_evidence(now, count(now.student[:, :FED], now.classes), None, 0), SMOOTHING)
        rows[f"fixed {FED}, our posterior"] = _row(quality(believed.mean, now.truth, rng), FED, 2 * FED)

        # Prompts that are skipped are not chosen; a teacher's samples are drawn once.
        new = num - len(quiet)
        quiet = np.append(quiet, np.zeros(new, dtype=np.int64))
        drawn = rng.random(num) < GRESO_EXPLORATION**quiet
        quiet = np.where(drawn, np.where(at_fed == 0, quiet + 1, 0), quiet)
        rows["skip (GRESO)"] = _row(
            quality(np.where(drawn, at_fed, -1.0), now.truth, rng), FED * drawn.mean(), FED * (drawn.mean() + new / num)
        )
        rows["adaptive"], memory = adaptive(now, memory, rng)
        rows["uniform"] = _row(quality(np.zeros(num), now.truth, rng), 0.0, 0.0)
        results.append(rows)
    return results


def adaptive(now: Round, memory: Memory | None, rng: np.random.Generator) -> tuple[dict[str, float], Memory]:
    """One round of adaptive scoring, from the first wave to the reporting samples."""
    num = len(now.truth)
    report_cost = np.full(num, float(REPORTS))
    memory = _grown(memory, num)
    new = int((memory.idle > num).sum())
    settings = Settings(STUDENT_SHARE * FED * num, train_size=round(CHOSEN_SHARE * num), smoothing=SMOOTHING, most=FED)
    drawn = np.zeros(num, dtype=np.int64)
    waves = 0
    while True:
        evidence = _evidence(now, _first(now, drawn), memory, report_cost)
        plan = plan_wave(evidence, settings, rng)
        if not plan.any():
            break
        drawn, waves = drawn + plan, waves + 1
    belief = posterior(evidence, SMOOTHING)
    chosen = _best(belief.mean, settings.train_size, rng)
    reported = plan_reports(
        chosen,
        np.arange(num),
        report_cost,
        rng,
        reported_chosen=settings.reported_chosen,
        reported_pool=settings.reported_pool,
        left=settings.budget - evidence.spent,
    )
    told = np.union1d(reported.chosen, reported.pool)

    fresh = ~memory.reported[told]
    memory.reported[told] = True
    student = drawn.sum() + REPORTS * len(told)
    total = student + REPORTS * fresh.sum() + FED * new
    row = _row(float(now.truth[chosen].mean() / _best_mean(now.truth)), student / num, total / num)
    row |= {"waves": float(waves), "predicted": float(belief.predicted.mean())}
    row |= _reported(now, belief, chosen, reported.chosen)
    idle = np.where(drawn > 0, 1, np.minimum(memory.idle, num) + 1)
    return row, Memory(belief.summary, idle, memory.reported)


def _grown(memory: Memory | None, num: int) -> Memory:
    """The memory with room for the prompts that came in: nothing is known of them, and they were never sampled."""
    if memory is None:
        memory = Memory(np.zeros((0, 3)), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.bool_))
    more = num - len(memory.last)
    return Memory(
        np.vstack([memory.last, np.full((more, 3), np.nan)]),
        np.append(memory.idle, np.full(more, num + 1)),
        np.append(memory.reported, np.zeros(more, dtype=np.bool_)),
    )


def _first(now: Round, drawn: Counts) -> Counts:
    """Counts [n, classes] of each prompt's first `drawn` [n] student samples."""
    codes = now.student[:, :FED]
    kept = np.arange(FED) < drawn[:, None]
    counts = np.zeros((len(codes), now.classes), dtype=np.int64)
    np.add.at(counts, (np.nonzero(kept)[0], codes[kept]), 1)
    return counts


def _evidence(now: Round, student: Counts, memory: Memory | None, report_cost: Floats | float) -> Evidence:
    num = len(now.truth)
    return Evidence(
        student=student,
        teacher=count(now.teacher[:, :FED], now.classes),
        last=np.full((num, 3), np.nan) if memory is None else memory.last,
        idle=np.full(num, num + 1) if memory is None else memory.idle,
        neighbours=now.neighbours,
        eligible=np.ones(num, dtype=np.bool_),
        cost=np.ones(num),
        report_cost=np.broadcast_to(np.asarray(report_cost, dtype=np.float64), num),
    )


def _reported(now: Round, belief: Belief, chosen: Counts, told: Counts) -> dict[str, float]:
    """Of the chosen: mean Δ in truth and as believed; squared distance by the reporting samples, and by others.

    U = Σ X(X-1)/n(n-1) + Σ Y(Y-1)/m(m-1) - 2 Σ XY/nm is unbiased for the squared distance: the two must agree.
    """
    found = {"believed": float(belief.mean[chosen].mean()), "true": float(now.truth[chosen].mean())}
    if now.student.shape[1] < FED + 2 * REPORTS:
        return found
    for name, start in (("reported_u", FED), ("fresh_u", FED + REPORTS)):
        part = slice(start, start + REPORTS)
        x, y = (count(side[told, part], now.classes) for side in (now.student, now.teacher))
        pairs = REPORTS * (REPORTS - 1)
        u = (x * (x - 1) + y * (y - 1)).sum(axis=1) / pairs - 2 * (x * y).sum(axis=1) / REPORTS**2
        found[name] = float(u.mean())
    return found


def quality(keys: Floats, truth: Floats, rng: np.random.Generator) -> float:
    """Mean true Δ of the tenth with the highest keys (ties at random) over that of the best tenth; 1 if all is 0."""
    best = _best_mean(truth)
    return float(truth[_best(keys, round(CHOSEN_SHARE * len(truth)), rng)].mean() / best) if best > 0 else 1.0


def _best(keys: Floats, size: int, rng: np.random.Generator) -> Counts:
    shuffled = rng.permutation(len(keys))
    return shuffled[np.argsort(-keys[shuffled], kind="stable")[:size]]


def _best_mean(truth: Floats) -> float:
    return float(np.sort(truth)[-max(round(CHOSEN_SHARE * len(truth)), 1) :].mean())


def _row(found: float, student: float, total: float) -> dict[str, float]:
    return {"quality": found, "student": float(student), "total": float(total)}


def moves(rounds: Sequence[Round]) -> Floats:
    """[3, 3] how often a prompt's Δ moves between small, middling and large from a round to the next; rows sum to 1."""
    seen = [
        delta(shares(now.student[:, :FED], now.classes), shares(now.teacher[:, :FED], now.classes)) for now in rounds
    ]
    steps = np.zeros((3, 3))
    for before, after in pairwise(seen):
        steps += np.histogram2d(before, after[: len(before)], [BINS, BINS])[0]
    return steps / np.maximum(steps.sum(axis=1, keepdims=True), 1)


def summarise(runs: Sequence[list[dict[str, dict[str, float]]]]) -> list[dict[str, dict[str, float]]]:
    """Per round and scheme, over the seeds: mean of each number; `ratio` to fixed-16 with its 90 % t-interval."""
    table = []
    for rounds in zip(*runs, strict=True):
        rows: dict[str, dict[str, float]] = {}
        for scheme in rounds[0]:
            numbers = {key: float(np.mean([row[scheme][key] for row in rounds])) for key in rounds[0][scheme]}
            ratios = np.array([row[scheme]["quality"] / row[f"fixed {FED}"]["quality"] for row in rounds])
            spread = float(ratios.std(ddof=1) / len(ratios) ** 0.5) if len(ratios) > 1 else np.nan
            margin = float(student_t.ppf(0.95, max(len(ratios) - 1, 1))) * spread
            rows[scheme] = numbers | {"ratio": float(ratios.mean()), "margin": margin}
        table.append(rows)
    return table


def render(name: str, table: Sequence[dict[str, dict[str, float]]]) -> str:
    """The table of one shape, as text."""
    lines = []
    for index, rows in enumerate(table, start=1):
        head = f"{name}, round {index}"
        lines.append(f"\n{head:<28}{'quality':>8}{'/ fixed 16':>18}{'student/prompt':>16}{'all/prompt':>12}")
        for scheme, row in rows.items():
            ratio = f"{row['ratio']:.3f} ± {row['margin']:.3f}"
            lines.append(f"{scheme:<28}{row['quality']:>8.3f}{ratio:>18}{row['student']:>16.2f}{row['total']:>12.2f}")
        notes = {key: round(value, 3) for key, value in rows["adaptive"].items() if key not in _COLUMNS}
        lines.append(f"  adaptive: {notes}")
    return "\n".join(lines)


_COLUMNS = {"quality", "ratio", "margin", "student", "total"}


def worst(tables: dict[str, list[dict[str, dict[str, float]]]]) -> dict[str, float]:
    """The worst over shapes and rounds: ratio of qualities, share of student samples; of all samples after round 1."""
    rounds = [rows["adaptive"] for table in tables.values() for rows in table]
    later = [rows["adaptive"] for table in tables.values() for rows in table[1:]]
    return {
        "quality_ratio": min(row["ratio"] for row in rounds),
        "student_sample_share": max(row["student"] for row in rounds) / FED,
        "total_sample_share": max((row["total"] for row in later), default=float("nan")) / (2 * FED),
    }
