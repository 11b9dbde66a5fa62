"""Figures of a campaign, as PNG bytes: records and arrays in, one picture out.

    scores of a round                        -> delta_histogram
    embeddings, regions and scores           -> region_map
    reports of the candidates and teacher    -> accuracy_over_rounds

Drawn with matplotlib's object interface on the Agg canvas: no global figure, no display, and the same bytes for the
same data. Colours are Okabe and Ito's and viridis, which colour-blind people can tell apart; 800 px wide, so that a
README shows them as they are.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from numpy.typing import NDArray

from loop.text import clean_lines
from store.records import Region, Report, Score

WIDTH_IN, HEIGHT_IN, DPI = 8.0, 4.6, 100
BLUE, ORANGE, GREEN, PINK, SKY, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#595959"
SUITE_COLOURS = (BLUE, ORANGE, GREEN, PINK, SKY)
SUITE_MARKS = ("o", "s", "^", "D", "v", "P", "X")
MAX_LABEL, MAX_LINES, MAX_PANELS = 24, 10, 4
BRIGHT = 1.5
"""Sum of red, green and blue above which black print is easier to read than white."""


@dataclass(frozen=True)
class RoundReport:
    """One round's candidate as the accuracy figure shows it."""

    round: int
    report: Report
    promoted: bool | None
    """None before the verdict."""


def delta_histogram(rounds: Mapping[int, Sequence[Score]]) -> bytes:
    """How Δ is distributed over the pool: one panel a round, on shared axes.

    Zero-delta prompts are a bar of their own, left of the axis; the rest is binned by Δ in nats.
    """
    figure = _figure()
    shown = _evenly({index: scores for index, scores in sorted(rounds.items()) if scores}, MAX_PANELS)
    top = max((score.delta for scores in shown.values() for score in scores), default=1.0)
    edges = np.linspace(0.0, max(top, 1e-3), 21)
    width = edges[1] - edges[0]
    panels = figure.subplots(1, max(len(shown), 1), sharex=True, sharey=True, squeeze=False)[0]
    for axes, (index, scores) in zip(panels, shown.items(), strict=False):
        zero = np.array([score.zero_delta for score in scores])
        deltas = np.array([score.delta for score in scores])
        counts, _ = np.histogram(deltas[~zero], edges)
        axes.bar(-1.5 * width, 100 * zero.mean(), 1.6 * width, color=GREY, label="zero-delta")
        axes.bar(edges[:-1], 100 * counts / len(scores), width, align="edge", color=BLUE, label="delta prompts")
        axes.axvline(deltas.mean(), color=ORANGE, linestyle="--", linewidth=1.5, label="mean")
        axes.set_title(f"round {index}: {len(scores)} prompts,\n{zero.mean():.0%} zero-delta, mean {deltas.mean():.2f}")
        axes.set_xlabel("Δ [nats]")
    panels[0].set_ylabel("share of the pool [%]")
    if shown:
        panels[-1].legend(frameon=False, fontsize=9)
    figure.suptitle("Answer divergence of student and teacher")
    return _png(figure)


def region_map(
    vectors: NDArray[np.float32],
    deltas: NDArray[np.float64],
    labels: NDArray[np.int64],
    regions: Sequence[Region],
) -> bytes:
    """The pool in the plane of its two main components, coloured by Δ, with the regions named by their worst skill.

    Args:
        vectors: embeddings [n, d].
        deltas: Δ of each prompt [n], nats.
        labels: region index of each prompt [n].
        regions: the regions; a centre's size grows with the number of prompts in it.
    """
    if len(vectors) == 0:
        raise ValueError("a region map needs at least one prompt; score the pool first")
    figure = _figure()
    axes = figure.subplots()
    points, shares = _principal_plane(vectors)
    # Most prompts lie near zero: the square root spreads them over the colours.
    colours = PowerNorm(0.5, vmin=0.0, vmax=max(float(np.quantile(deltas, 0.98)), 1e-3), clip=True)
    order = np.argsort(deltas, kind="stable")  # the high ones last, so that they are not hidden
    x, y = points[order].T
    dots = axes.scatter(x, y, c=deltas[order], cmap="viridis", norm=colours, s=14, alpha=0.8, linewidths=0)
    means = {region.index: float(deltas[labels == region.index].mean()) for region in regions if region.index in labels}
    lines = []
    for region in sorted((r for r in regions if r.index in means), key=lambda r: (-means[r.index], r.index)):
        members = labels == region.index
        centre = points[members].mean(axis=0)
        face = dots.cmap(colours(means[region.index]))
        axes.scatter(
            centre[0], centre[1], color=[face], s=120 + 900 * members.mean(), edgecolors="black", linewidths=1.2
        )
        ink = "black" if sum(face[:3]) > BRIGHT else "white"
        axes.annotate(str(region.index), centre, ha="center", va="center", fontsize=9, color=ink, fontweight="bold")
        lines.append(
            Line2D(
                [],
                [],
                marker="o",
                linestyle="",
                color=face,
                markeredgecolor="black",
                label=_region_label(region, int(members.sum()), means[region.index]),
            )
        )
    axes.margins(0.06)
    axes.set_xlabel(f"first component ({shares[0]:.0%} of the variance)")
    axes.set_ylabel(f"second component ({shares[1]:.0%} of the variance)")
    figure.suptitle("Where student and teacher differ: prompts (dots) and their regions (numbered)")
    figure.colorbar(dots, ax=axes, label="Δ [nats]", extend="max")
    if lines:
        figure.legend(
            handles=lines[:MAX_LINES], loc="outside right center", frameon=False, fontsize=8, labelspacing=1.0
        )
    return _png(figure)


def accuracy_over_rounds(rounds: Sequence[RoundReport], baseline: Report | None, teacher: Report | None) -> bytes:
    """Accuracy of every round's candidate per suite and in the mean; the teacher's mean as a dashed line."""
    figure = _figure()
    axes = figure.subplots()
    reports = ([(0, baseline)] if baseline else []) + [(row.round, row.report) for row in rounds]
    suites = list(dict.fromkeys(suite.suite for _, report in reports for suite in report.suites))
    for position, suite in enumerate(suites):
        curve = [(index, report.by_suite()[suite]) for index, report in reports if suite in report.by_suite()]
        beside = any(suite not in report.mean_over for _, report in reports)
        axes.plot(
            [index for index, _ in curve],
            [100 * value for _, value in curve],
            color=SUITE_COLOURS[position % len(SUITE_COLOURS)],
            marker=SUITE_MARKS[position % len(SUITE_MARKS)],
            linestyle=":" if beside else "-",
            linewidth=1.3,
            markersize=5,
            label=f"{suite} (not in the mean)" if beside else suite,
        )
    means = [(index, 100 * report.mean) for index, report in reports]
    axes.plot(*zip(*means, strict=True), color="black", linewidth=2.6, marker=".", label="mean") if means else None
    promoted = [(row.round, 100 * row.report.mean) for row in rounds if row.promoted]
    if promoted:
        axes.plot(
            *zip(*promoted, strict=True), "*", color="white", markeredgecolor="black", markersize=14, label="promoted"
        )
    if teacher:
        axes.axhline(100 * teacher.mean, color=GREY, linestyle="--", linewidth=1.5, label="teacher, mean")
    axes.set_xticks(sorted({index for index, _ in reports} or {0}))
    axes.set_ylim(0, 100)
    axes.grid(axis="y", alpha=0.3)
    axes.set_xlabel("round (0: before training)")
    axes.set_ylabel("held-out accuracy [%]")
    axes.set_title("Accuracy of each round's candidate")
    axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return _png(figure)


def _principal_plane(vectors: NDArray[np.float32]) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """Coordinates [n, 2] along the two main components, and the share of the variance that each explains.

    The sign of a component is arbitrary: its largest loading is made positive, so that a map does not flip.
    """
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    _, singular, components = np.linalg.svd(centred, full_matrices=False)
    plane = np.zeros((2, centred.shape[1]))
    plane[: len(components)] = components[:2]
    largest = np.abs(plane).argmax(axis=1)
    plane *= np.where(plane[[0, 1], largest] < 0, -1.0, 1.0)[:, None]
    variance = np.zeros(2)
    variance[: len(singular)] = singular[:2] ** 2
    total = float((singular**2).sum()) or 1.0
    return centred @ plane.T, (float(variance[0] / total), float(variance[1] / total))


def _region_label(region: Region, members: int, mean: float) -> str:
    skill = region.skills[0] if region.skills else "no failing skill"
    short = skill if len(skill) <= MAX_LABEL else skill[: MAX_LABEL - 1] + "…"
    return f"{region.index}: {short}\n{members} prompts, mean Δ {mean:.2f}"


def _evenly(shown: Mapping[int, Sequence[Score]], most: int) -> dict[int, Sequence[Score]]:
    """At most so many rounds, the first and the last among them."""
    keys = list(shown)
    places = np.unique(np.linspace(0, len(keys) - 1, min(most, len(keys))).round().astype(int))
    return {keys[place]: shown[keys[place]] for place in places}


def _figure() -> Figure:
    figure = Figure(figsize=(WIDTH_IN, HEIGHT_IN), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _png(figure: Figure) -> bytes:
    for text in figure.findobj(Text):
        text.set_parse_math(False)  # a `$` in a name is no formula, and a broken formula would cost the figure
        text.set_text(clean_lines(text.get_text()))
    buffer = io.BytesIO()
    # Without a `Software` entry the bytes do not change with the version of matplotlib alone.
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
