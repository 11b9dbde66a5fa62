"""Does adaptive scoring choose as well as fixed scoring, for a fraction of the samples? Known truth, several shapes.

    simulated pools (scripts.scoring_shapes), or --recorded FILE -> schemes choose 10 % -> quality, samples

quality = mean true Δ of the chosen tenth over that of the best tenth; Δ the smoothed reverse KL of the true
distributions. `quality_ratio` is adaptive's over that of fixed-16 (the plug-in Δ of 16 + 16 samples), each round.
Student samples of the first round are held to 20 % of fixed-16's; from the second round on, all samples (the student's,
the teacher's for new prompts, reporting samples of both sides) to 12.5 % of a scheme that samples both models 16 + 16.

    python -m scripts.bench_adaptive [--seeds 5] [--prompts 20000] [--rounds 3] [--reports 4] [--shapes S ...]
                                      [--recorded FILE]

FILE is an .npz of rollouts: int16 class codes `student` and `teacher` [prompts, 64], and `embeddings` [prompts, d]. Of
each side 16 samples, another 16 for each seed, feed the schemes; the other 48 are the truth (as plug-in: 48 samples
make Δ a little larger than it is, for all schemes alike). The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t

from policies.adaptive import Settings, plan_reports, plan_wave
from policies.beliefs import Belief, Evidence, posterior
from scripts.scoring_shapes import SHAPES, draw, make_pool, next_round

SMOOTHING = 0.05
FED = 16
"""Samples of a side that feed fixed-16, and the teacher's that feed adaptive scoring."""
FIXED = (2, 4, 8, 16, 32)
CHOSEN_SHARE = 0.1
STUDENT_SHARE, TOTAL_SHARE = 0.2, 0.125
"""Budgets of adaptive scoring: of fixed-16's student samples in round 1, of 16 + 16 samples later."""
REPORTS = 4
"""Reporting samples of a side, on each chosen prompt and on the audited ones; `--reports` sets another number."""
AUDIT = 0.02
NEIGHBOURS = 48
NEW_SHARE = 0.02
"""Prompts that come in from round to round, as a share of the first round's."""
GRESO_EXPLORATION = 0.5
"""GRESO skips with probability 1 - e^z after z uninformative rounds in a row (2506.02177); e is held fixed here."""

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Codes = NDArray[np.int16]


@dataclass(frozen=True)
class Round:
    """What the models answer in one round: codes, of which schemes see as many as they pay for; and the truth."""

    student: Codes
    """[n, samples]: the first FED may select, the next ones report; fixed schemes take them from the start."""
    teacher: Codes
    """[n, samples], cached: the first rows and columns are the same in every round."""
    classes: int
    truth: Floats
    """[n] true Δ."""
    neighbours: Counts
    """[n, NEIGHBOURS]"""


@dataclass(frozen=True)
class Memory:
    """What adaptive scoring knows of earlier rounds, for the prompts of then."""

    last: Floats
    idle: Counts
    reported: NDArray[np.bool_]
    """[n] whether the teacher's reporting samples are in the ledger."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all shapes, or the recorded rollouts; print a table for each, and the JSON line."""
    options = _parse(arguments)
    seeds = list(range(options.first_seed, options.first_seed + options.seeds))
    print(f"seeds {seeds}, {options.reports} reporting samples a side on what is chosen and on {AUDIT:.0%} of the pool")
    tables = {}
    for name in ["recorded"] if options.recorded else options.shapes:
        runs = []
        for seed in seeds:
            if options.recorded:
                rounds: Iterator[Round] = iter([recorded_round(load_recorded(options.recorded), seed)])
            else:
                rounds = simulated_rounds(name, options.prompts, options.rounds, seed)
            runs.append(run_schemes(rounds, seed, options.reports))
        tables[name] = summarise(runs)
        print(render(name, tables[name]), flush=True)
    print(json.dumps(worst(tables)))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--prompts", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--reports", type=int, default=REPORTS)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--recorded", type=Path)
    return parser.parse_args(arguments)


def simulated_rounds(shape: str, prompts: int, rounds: int, seed: int) -> Iterator[Round]:
    """The rounds of a pool that grows by NEW_SHARE of `prompts` a round, under a student that moves."""
    rng = np.random.default_rng([seed, 1])
    size = [prompts + round(NEW_SHARE * prompts) * index for index in range(rounds)]
    pool = make_pool(shape, size[-1], rng)
    teacher = draw(pool.teacher, max(FIXED), rng)
    for num in size:
        student = draw(pool.student[:num], max(FIXED), rng)
        truth = skew_kl(pool.student[:num], pool.teacher[:num])
        near = nearest(pool.embeddings[:num], NEIGHBOURS)
        yield Round(student, teacher[:num], pool.teacher.shape[1], truth, near)
        pool = next_round(pool, rng)


def load_recorded(file: Path) -> dict[str, NDArray[Any]]:
    """Arrays `student`, `teacher`, `embeddings` of an .npz file. ValueError says what is missing or does not fit."""
    with np.load(file, allow_pickle=False) as archive:
        missing = {"student", "teacher", "embeddings"} - set(archive.files)
        if missing:
            raise ValueError(f"{file}: no array {', '.join(sorted(missing))}; record the rollouts again")
        arrays = {name: archive[name] for name in ("student", "teacher", "embeddings")}
    shapes = {name: array.shape for name, array in arrays.items()}
    student, teacher = arrays["student"], arrays["teacher"]
    if student.ndim != 2 or student.shape != teacher.shape or len(arrays["embeddings"]) != len(student):
        raise ValueError(f"{file}: the shapes {shapes} do not fit [prompts, samples] twice and [prompts, d]")
    if student.shape[1] <= 2 * FED or min(student.min(), teacher.min()) < 0:
        raise ValueError(f"{file}: {student.shape[1]} samples a side, codes from {student.min()}; give over {2 * FED}")
    return arrays


def recorded_round(arrays: dict[str, NDArray[Any]], seed: int) -> Round:
    """One round of recorded rollouts: FED random samples of each side feed the schemes, the others are the truth."""
    rng = np.random.default_rng([seed, 2])
    student, teacher = (rng.permuted(arrays[name], axis=1) for name in ("student", "teacher"))
    classes = int(max(student.max(), teacher.max())) + 1
    truth = skew_kl(*(_shares(side[:, FED:], classes) for side in (student, teacher)))
    near = nearest(np.asarray(arrays["embeddings"], dtype=np.float32), NEIGHBOURS)
    return Round(student[:, :FED], teacher[:, :FED], classes, truth, near)


def run_schemes(rounds: Iterator[Round], seed: int, reports: int = REPORTS) -> list[dict[str, dict[str, float]]]:
    """Per round and scheme: `quality`, and `student` and `total` samples per prompt that the round paid for."""
    rng = np.random.default_rng([seed, 3])
    results, memory, quiet = [], None, np.zeros(0, dtype=np.int64)
    for now in rounds:
        num = len(now.truth)
        rows: dict[str, dict[str, float]] = {}
        for fixed in (fixed for fixed in FIXED if fixed <= now.student.shape[1]):
            delta = skew_kl(_shares(now.student[:, :fixed], now.classes), _shares(now.teacher[:, :fixed], now.classes))
            rows[f"fixed {fixed}"] = _row(quality(delta, now.truth, rng), fixed, 2 * fixed)
            if fixed == FED:
                at_fed = delta
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
        rows["adaptive"], memory = adaptive(now, memory, rng, reports)
        rows["uniform"] = _row(quality(np.zeros(num), now.truth, rng), 0.0, 0.0)
        results.append(rows)
    return results


def adaptive(
    now: Round, memory: Memory | None, rng: np.random.Generator, reports: int = REPORTS
) -> tuple[dict[str, float], Memory]:
    """One round of adaptive scoring, from the first wave to the reporting samples."""
    num = len(now.truth)
    first = memory is None
    # In the first round the budget is one of student samples only.
    report_cost = np.full(num, float(reports))
    memory = _grown(memory, num)
    new = num if first else int((memory.idle > num).sum())
    budget = STUDENT_SHARE * FED * num if first else TOTAL_SHARE * 2 * FED * num - FED * new
    if not first:
        report_cost += reports * ~memory.reported
    settings = Settings(budget, train_size=round(CHOSEN_SHARE * num), smoothing=SMOOTHING, most=FED, audit=AUDIT)
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
    reported = plan_reports(chosen, evidence, settings, rng)
    told = np.union1d(reported.chosen, reported.audit)

    fresh = ~memory.reported[told]
    memory.reported[told] = True
    student = drawn.sum() + reports * len(told)
    total = student + reports * fresh.sum() + FED * new
    row = _row(float(now.truth[chosen].mean() / _best_mean(now.truth)), student / num, total / num)
    row |= {"waves": float(waves), "predicted": float(belief.predicted.mean())}
    row |= _reported(now, belief, chosen, reported.chosen, reports)
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


def _reported(now: Round, belief: Belief, chosen: Counts, told: Counts, reports: int) -> dict[str, float]:
    """Of the chosen: mean Δ in truth and as believed; squared distance by the reporting samples, and by others.

    U = Σ X(X-1)/n(n-1) + Σ Y(Y-1)/m(m-1) - 2 Σ XY/nm is unbiased for the squared distance: the two must agree.
    """
    found = {"believed": float(belief.mean[chosen].mean()), "true": float(now.truth[chosen].mean())}
    if now.student.shape[1] < FED + 2 * reports or reports < 2:
        return found
    for name, start in (("reported_u", FED), ("fresh_u", FED + reports)):
        part = slice(start, start + reports)
        x, y = (count(side[told, part], now.classes) for side in (now.student, now.teacher))
        pairs = reports * (reports - 1)
        u = (x * (x - 1) + y * (y - 1)).sum(axis=1) / pairs - 2 * (x * y).sum(axis=1) / reports**2
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


def skew_kl(p: Floats, q: Floats) -> Floats:
    """[n] Δ = KL(p, (1 - s) q + s p) of rows [n, classes], s = SMOOTHING."""
    mixed = np.maximum((1 - SMOOTHING) * q + SMOOTHING * p, 1e-300)
    delta: Floats = np.where(p > 0, p * np.log(np.maximum(p, 1e-300) / mixed), 0.0).sum(axis=1)
    return np.where((p == q).all(axis=1), 0.0, np.maximum(delta, 0.0))


def count(codes: Codes, classes: int) -> Counts:
    """[n, classes] how often each class stands in a row of `codes`."""
    rows = np.arange(len(codes))[:, None]
    flat = (rows * classes + codes).ravel()
    return np.bincount(flat, minlength=len(codes) * classes).reshape(len(codes), classes)


def _shares(codes: Codes, classes: int) -> Floats:
    return count(codes, classes) / codes.shape[1]


def nearest(embeddings: NDArray[np.float32], num: int) -> Counts:
    """[n, num] nearest others by inner product, -1 where there are fewer."""
    vectors = np.ascontiguousarray(embeddings, dtype=np.float32)
    _, found = faiss.knn(vectors, vectors, min(num + 1, len(vectors)), metric=faiss.METRIC_INNER_PRODUCT)
    # Each row without itself; where equals crowd it out, without the last.
    self_at = found == np.arange(len(found))[:, None]
    self_at[~self_at.any(axis=1), -1] = True
    others: Counts = found[~self_at].reshape(len(found), -1).astype(np.int64)
    return np.pad(others, ((0, 0), (0, num - others.shape[1])), constant_values=-1)


def _row(found: float, student: float, total: float) -> dict[str, float]:
    return {"quality": found, "student": float(student), "total": float(total)}


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
    """The worst over shapes (and rounds): ratio; student share in the first round; total share in later ones."""
    rounds = [rows["adaptive"] for table in tables.values() for rows in table]
    first = [table[0]["adaptive"] for table in tables.values()]
    later = [rows["adaptive"] for table in tables.values() for rows in table[1:]]
    found = {
        "quality_ratio": min(row["ratio"] for row in rounds),
        "quality_ratio_first": min(row["ratio"] for row in first),
        "student_sample_share": max(row["student"] for row in first) / FED,
    }
    if later:
        found["quality_ratio_later"] = min(row["ratio"] for row in later)
        found["total_sample_share"] = max(row["total"] for row in later) / (2 * FED)
    return {name: round(value, 4) for name, value in found.items()}


if __name__ == "__main__":
    main()
