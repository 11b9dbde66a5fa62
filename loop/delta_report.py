"""The Δ report of a pool: what `deltaloop score` measures and prints, without training.

    pool -> rollouts of both models (kept in the ledger) -> scores -> quantiles, shares, a row per skill

The samples are the ones that the campaign's next round would draw, so a later `run` does not pay for them again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.table import Table

from loop.campaign import progressed
from loop.config import CampaignSettings
from loop.pool import read_pool
from loop.ports import Ports
from loop.scoring import score_prompts
from loop.status import number, share, table_of
from loop.work import Work
from store.records import Prompt, Score, Version, digest_of

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
UNNAMED = "(no skill named)"


@dataclass(frozen=True)
class Group:
    """Some prompts of a pool, together."""

    name: str
    prompts: int
    delta: float
    """Mean Δ, in nats."""
    zero_share: float
    """By the plug-in rule: both empirical distributions are the same."""
    differing_share: float
    """By the exact test, Benjamini-Hochberg over the pool."""
    noise_floor: float
    """Mean Δ between two halves of the teacher's own samples, where there are two."""
    consistency: float
    """Mean consistency of the teacher, in [0, 1]."""


@dataclass(frozen=True)
class DeltaReport:
    """A pool as one student sees it."""

    pool: str
    student: Version
    whole: Group
    quantiles: tuple[float, ...]
    """Δ at `QUANTILES`, in nats."""
    skills: tuple[Group, ...]
    """Largest mean Δ first."""
    samples: int
    """Rollouts of both models that had to be drawn when this was first asked; none are drawn again."""


def measure(settings: CampaignSettings, ports: Ports, student: Version, teacher: Version) -> DeltaReport:
    """Fill the pool, sample both models on it, and report.

    The student is the one that the campaign has come to, or `student` where it has not begun.
    """
    done = progressed(ports.ledger, ports.blobs, settings.name, student)
    for version in (done.student, teacher):
        ports.ledger.add_version(version)
    prompts = read_pool(settings, ports)
    # A plan is for one list of prompts: the key of this one must not be that of a round.
    ids = digest_of([prompt.id for prompt in prompts])
    key = digest_of({"pool": ids, "settings": settings.model_dump(mode="json")})
    work = Work(f"score/{key}", max(1, done.next_round), settings, teacher)
    scores, spent = score_prompts(work, done.student, prompts, ports, stage="score")
    samples = spent.student_samples + spent.teacher_samples
    return report(settings.pool.name, done.student, prompts, scores, samples=samples)


def report(
    pool: str, student: Version, prompts: Sequence[Prompt], scores: Sequence[Score], *, samples: int
) -> DeltaReport:
    """Sum up scores, which are aligned with the prompts; there must be one at least."""
    by_skill: dict[str, list[Score]] = {}
    for prompt, score in zip(prompts, scores, strict=True):
        by_skill.setdefault(prompt.attributes.get("skill") or UNNAMED, []).append(score)
    skills = sorted(
        (_group(name, rows) for name, rows in by_skill.items()), key=lambda group: (-group.delta, group.name)
    )
    quantiles = np.quantile([score.delta for score in scores], QUANTILES)
    return DeltaReport(pool, student, _group(pool, scores), tuple(map(float, quantiles)), tuple(skills), samples)


def summary_lines(report: DeltaReport) -> list[str]:
    """The report in lines."""
    whole = report.whole
    quantiles = ", ".join(
        f"{round(100 * q)} % {value:.3f}" for q, value in zip(QUANTILES, report.quantiles, strict=True)
    )
    return [
        f"pool `{report.pool}`: {whole.prompts} prompts, student {report.student.id[:12]},"
        f" {report.samples} samples drawn for it",
        f"Δ mean {number(whole.delta)} nats; quantiles {quantiles}",
        f"zero-delta {share(whole.zero_share)} (plug-in), {share(whole.differing_share)} differ by test;"
        f" noise floor {number(whole.noise_floor)} nats; teacher consistency {share(whole.consistency)}",
    ]


def skills_table(report: DeltaReport) -> Table:
    """A row per skill, largest mean Δ first."""
    table = table_of("by skill")
    table.add_column("skill")
    for heading in ("prompts", "Δ mean", "zero-delta", "differ", "consistency"):
        table.add_column(heading, justify="right")
    for group in report.skills:
        table.add_row(
            group.name,
            str(group.prompts),
            number(group.delta),
            share(group.zero_share),
            share(group.differing_share),
            share(group.consistency),
        )
    return table


def _group(name: str, scores: Sequence[Score]) -> Group:
    return Group(
        name,
        len(scores),
        float(np.mean([score.delta for score in scores])),
        float(np.mean([score.zero_delta for score in scores])),
        float(np.mean([bool(score.differs) for score in scores])),
        float(np.mean([score.noise_floor or 0.0 for score in scores])),
        float(np.mean([score.consistency for score in scores])),
    )
