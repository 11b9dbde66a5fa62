"""Does a teacher behind a server give the Δ that it gives in this process?

    python -m scripts.compare_served_teacher http://127.0.0.1:8000/v1 [--name teacher] [--file FILE] [--set KEY=VALUE]

Scores the pool of a campaign twice, in two new homes: with the teacher in this process, and with the same teacher
behind the server. The student's samples are the same in both, seed by seed, so whatever differs is the teacher's. Of
each prompt, the exact test says whether the two sets of the teacher's answers come from one distribution, with
Benjamini-Hochberg over all prompts. Beside it stands what chance alone does: the teacher in this process against itself
with another seed. The last line is JSON: `prompts`, `significant_share` and `chance_share` (both at most the nominal
0.05, if the engines agree), `mean_delta_here`, `mean_delta_served`, `largest_difference`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from loop.bootstrap import make_ports, open_home
from loop.config import CampaignSettings, load_settings
from loop.pool import fill_pool
from loop.progress import make_progress
from loop.rollouts import classes_of, sample_side
from loop.work import Work
from policies.divergence import score_all
from store.records import Role, Score

FALSE_SHARE = 0.05
EMBEDDED = Path(__file__).parent / "campaigns" / "embedded.toml"


@dataclass(frozen=True)
class Comparison:
    """Two engines on one pool."""

    prompts: int
    significant_share: float
    """Of the prompts on which the teacher's answers here and served differ."""
    chance_share: float
    """Of those on which they differ here from seed to seed."""
    mean_delta_here: float
    mean_delta_served: float
    largest_difference: float
    """Of a prompt's Δ between the two, in nats."""


@dataclass(frozen=True)
class Sampled:
    """The answer classes [prompts][samples] of both models."""

    ids: list[str]
    student: list[list[str]]
    teacher: list[list[str]]


def compare(settings: CampaignSettings, url: str, name: str, folder: Path) -> Comparison:
    """Sample the pool with the teacher here and with the teacher served, in homes below `folder`."""
    served_by = {"kind": "server", "endpoints": [url], "served_name": name}
    served = changed(settings, engines=settings.engines.model_dump() | {"teacher": served_by})
    first = sampled(settings, folder / "here")
    again = sampled(changed(settings, seed=settings.seed + 1), folder / "again")
    second = sampled(served, folder / "served")
    assert first.ids == second.ids == again.ids
    assert first.student == second.student
    deltas = [np.array([row.delta for row in _scores(first.ids, one.student, one.teacher)]) for one in (first, second)]
    return Comparison(
        len(first.ids),
        _differing(first.ids, first.teacher, second.teacher),
        _differing(first.ids, first.teacher, again.teacher),
        float(deltas[0].mean()),
        float(deltas[1].mean()),
        float(np.abs(deltas[0] - deltas[1]).max()),
    )


def changed(settings: CampaignSettings, **changes: object) -> CampaignSettings:
    """The settings with other tables or keys."""
    return CampaignSettings.model_validate(settings.model_dump() | changes)


def sampled(settings: CampaignSettings, home: Path) -> Sampled:
    """Both models on the campaign's pool, in a home of its own."""
    place = open_home(home)
    ports, student, teacher = make_ports(place, settings, make_progress(sys.stderr))
    work = Work(settings.name, 1, settings, teacher)
    for version in (student, teacher):
        place.ledger.add_version(version)
    prompts = place.ledger.pool(fill_pool(work, ports).pool)
    ids = [prompt.id for prompt in prompts]
    wanted = {Role.STUDENT: settings.scoring.student_samples, Role.TEACHER: settings.scoring.teacher_samples}
    classes = {
        version.role: classes_of(
            sample_side(work, version, dict.fromkeys(ids, wanted[version.role]), prompts, ports, stage="compare"), ids
        )
        for version in (student, teacher)
    }
    place.close()
    return Sampled(ids, classes[Role.STUDENT], classes[Role.TEACHER])


def _scores(ids: list[str], student: list[list[str]], teacher: list[list[str]]) -> tuple[Score, ...]:
    return score_all(ids, ("student", "teacher"), student, teacher, smoothing=0.05, false_share=FALSE_SHARE)


def _differing(ids: list[str], first: list[list[str]], second: list[list[str]]) -> float:
    return float(np.mean([bool(row.differs) for row in _scores(ids, first, second)]))


def main() -> None:
    """Compare, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--name", default="teacher", help="what the server calls the teacher")
    parser.add_argument("--file", type=Path, default=EMBEDDED)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    settings = load_settings(arguments.file, arguments.set)
    with tempfile.TemporaryDirectory() as folder:
        found = compare(settings, arguments.url, arguments.name, Path(folder))
    print(f"{found.prompts} prompts, {settings.scoring.teacher_samples} samples of the teacher each")
    print(f"mean Δ {found.mean_delta_here:.3f} here, {found.mean_delta_served:.3f} served")
    print(f"answers differ significantly on {found.significant_share:.1%}; from seed to seed {found.chance_share:.1%}")
    print(json.dumps(asdict(found)))


if __name__ == "__main__":
    main()
