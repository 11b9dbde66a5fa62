"""Prompts with what a round found out about them, as a data set that `datasets` loads and `deltaloop import` reads.

    ledger: scores of a round -> filters -> chosen -> rows, a few hundred at a time -> writer -> Parquet shards
                                                  -> card: README.md with the numbers

The prompts are those that the round scored and those that it admitted.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from loop.config import CampaignSettings
from loop.export_card import card
from loop.ports import Blobs, Ledger
from loop.rollouts import REPORTING, sampling_keys
from loop.summary import outputs_of, reader
from loop.text import encodable
from policies.divergence import answer_class, majority
from store.errors import DeltaloopError
from store.records import Admitted, Aims, Prompt, Rollout, RoundRow, Score, Scores

CHUNK = 500
Write = Callable[[Iterator[list[dict[str, Any]]], Path], None]
"""Writes rows, chunk by chunk, into a new folder."""


@dataclass(frozen=True)
class Filters:
    """What is exported; the defaults leave nothing out."""

    min_delta: float | None = None
    max_delta: float | None = None
    min_consistency: float | None = None
    origins: tuple[str, ...] = ()
    skills: tuple[str, ...] = ()
    non_zero: bool = False
    """Only prompts on which the sampled answers differ."""
    measured: bool = False
    """Only prompts whose Δ is measured, not predicted."""

    def keep(self, prompt: Prompt, score: Score) -> bool:
        """Whether a prompt passes all of them."""
        return (
            (self.min_delta is None or score.delta >= self.min_delta)
            and (self.max_delta is None or score.delta <= self.max_delta)
            and (self.min_consistency is None or score.consistency >= self.min_consistency)
            and (not self.origins or prompt.origin in self.origins)
            and (not self.skills or prompt.attributes.get("skill") in self.skills)
            and not (self.non_zero and score.zero_delta)
            and not (self.measured and score.predicted)
        )


@dataclass(frozen=True)
class Chosen:
    """What an export holds, before it is written."""

    campaign: str
    round: RoundRow
    settings: CampaignSettings
    """The round's own."""
    filters: Filters
    entries: tuple[tuple[Prompt, Score], ...]
    """In order of prompt id."""
    regions: dict[str, int]
    """By prompt id."""
    scored: int
    """How many there were before the filters."""


def export_prompts(ledger: Ledger, blobs: Blobs, chosen: Chosen, target: Path, write: Write) -> None:
    """Write a new folder: all of it, or nothing. DeltaloopError if the folder is in use or nothing is chosen."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise DeltaloopError(f"{target} is there already; name a new folder, or empty this one")
    if not chosen.entries:
        raise DeltaloopError(
            f"none of the {chosen.scored} prompts of round {chosen.round.index} of `{chosen.campaign}` passes the"
            " filters; loosen them"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as scratch:
        folder = Path(scratch) / "prompts"
        folder.mkdir()
        write(rows_of(chosen, ledger, blobs), folder / "data")
        (folder / "README.md").write_text(_card(chosen, ledger), encoding="utf-8")
        if target.exists():
            target.rmdir()
        folder.replace(target)


def choose(ledger: Ledger, blobs: Blobs, campaign: str, round: int | None, filters: Filters) -> Chosen:
    """The prompts of a round, by default of the last one that scored. DeltaloopError if it scored none."""
    row, outputs = _round(ledger, blobs, campaign, round)
    scores: Scores = outputs["score"]
    admitted: Admitted | None = outputs.get("synthesize")
    aims: Aims | None = outputs.get("target")
    by_id = {score.prompt_id: score for score in (*(admitted.scores if admitted else ()), *scores.scores)}
    regions = dict(aims.assignment) if aims else {}
    if admitted:
        regions = {entry.prompt.id: entry.region for entry in ledger.candidates(campaign, row.index)} | regions
    ids = sorted(by_id)
    entries = tuple(
        (prompt, by_id[prompt.id]) for prompt in ledger.prompts(ids) if filters.keep(prompt, by_id[prompt.id])
    )
    settings = CampaignSettings.model_validate_json(row.settings)
    return Chosen(campaign, row, settings, filters, entries, regions, len(ids))


def rows_of(chosen: Chosen, ledger: Ledger, blobs: Blobs) -> Iterator[list[dict[str, Any]]]:
    """The rows, `CHUNK` at a time, pictures included."""
    settings = chosen.settings
    samplings = sampling_keys(settings.sampling, settings.answers.settings())
    for start in range(0, len(chosen.entries), CHUNK):
        entries = chosen.entries[start : start + CHUNK]
        taught: dict[str, Sequence[Rollout]] = {}
        for teacher in sorted({score.teacher for _, score in entries}):
            ids = [prompt.id for prompt, score in entries if score.teacher == teacher]
            for sampling in reversed(samplings):
                taught |= ledger.rollouts(teacher, sampling, ids)
        yield [
            _row(prompt, score, chosen, _selecting(taught.get(prompt.id, ()), score), blobs)
            for prompt, score in entries
        ]


def _round(ledger: Ledger, blobs: Blobs, campaign: str, round: int | None) -> tuple[RoundRow, dict[str, Any]]:
    rounds = [row for row in ledger.rounds(campaign) if _scored(row)]
    wanted = [row for row in rounds if round in (None, row.index)]
    if not wanted:
        asked = "no round" if round is None else f"not round {round}"
        there = ", ".join(str(row.index) for row in rounds) or "none"
        raise DeltaloopError(f"{asked} of `{campaign}` has scored its pool; rounds that have: {there}")
    return wanted[-1], outputs_of(wanted[-1], reader(blobs))


def _scored(row: RoundRow) -> bool:
    return any(stage.name == "score" and stage.output is not None for stage in row.stages)


def _selecting(rollouts: Sequence[Rollout], score: Score) -> list[Rollout]:
    """The samples behind the score; reporting ones are not among them."""
    return [row for row in rollouts if row.index < REPORTING][: score.num_teacher]


def _row(prompt: Prompt, score: Score, chosen: Chosen, taught: Sequence[Rollout], blobs: Blobs) -> dict[str, Any]:
    classes = [answer_class(row) for row in taught]
    said = {name: _text(row.answer) for name, row in zip(reversed(classes), reversed(taught), strict=True)}
    return {
        "id": prompt.id,
        "question": _text(prompt.question),
        "images": [{"bytes": blobs.get(image), "path": image} for image in prompt.images],
        "teacher_answer": said[majority(classes)] if classes else None,
        "teacher_answers": [{"answer": said[name], "count": num} for name, num in Counter(classes).most_common()],
        "consistency": score.consistency,
        "delta": score.delta,
        "delta_low": score.low,
        "delta_high": score.high,
        "predicted": score.predicted,
        "zero_delta": score.zero_delta,
        "differs": score.differs,
        "p_value": score.p_value,
        "noise_floor": score.noise_floor,
        "student_samples": score.num_student,
        "teacher_samples": score.num_teacher,
        "region": chosen.regions.get(prompt.id),
        "skill": _text(prompt.attributes.get("skill")),
        "origin": str(prompt.origin),
        "parent": prompt.parent,
        "attributes": _text(json.dumps(dict(prompt.attributes), sort_keys=True, ensure_ascii=False)),
        "campaign": chosen.campaign,
        "round": chosen.round.index,
        "student": score.student,
        "teacher": score.teacher,
    }


def _text(text: str | None) -> str | None:
    return None if text is None else encodable(text)


def _card(chosen: Chosen, ledger: Ledger) -> str:
    first = chosen.entries[0][1]
    used = {name: value for name, value in asdict(chosen.filters).items() if value not in (None, (), False)}
    return card(
        [score for _, score in chosen.entries],
        [prompt.origin for prompt, _ in chosen.entries],
        campaign=chosen.campaign,
        round=chosen.round,
        scored=chosen.scored,
        filters=used,
        student=ledger.version(first.student),
        teacher=ledger.version(first.teacher),
    )
