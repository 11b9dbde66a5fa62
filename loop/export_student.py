"""The student that a campaign has come to, as a folder that `from_pretrained` loads, with a card of its lineage.

ledger -> version -> checkpoint folder -> copy under a temporary name + README.md -> DIR
"""

from __future__ import annotations

import platform
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

from loop.export_card import code_span
from loop.ports import Blobs, Checkpoints, Ledger
from loop.status import number, share
from loop.summary import outputs_of, reader
from store.errors import DeltaloopError
from store.records import Report, RoundRow, Scores, Trained, TrainingSet, Verdict, Version

CARD = "README.md"
LIBRARIES = ("deltaloop", "torch", "transformers", "safetensors")


@dataclass(frozen=True)
class Training:
    """One round's part in a lineage."""

    row: RoundRow
    batch: TrainingSet
    trained: Trained
    report: Report | None
    verdict: Verdict | None
    delta: float | None
    """Mean Δ of the pool before the training."""


@dataclass(frozen=True)
class Lineage:
    """Where a version comes from."""

    campaign: str
    version: Version
    base: Version
    teacher: Version | None
    before: Report | None
    """The base student's accuracy."""
    rounds: tuple[Training, ...]
    """The rounds that trained it, in order."""


def export_student(
    ledger: Ledger, blobs: Blobs, checkpoints: Checkpoints, campaign: str, target: Path, *, round: int | None = None
) -> Lineage:
    """Write the promoted student, or the candidate of a round, to a new folder.

    DeltaloopError if there is no such student, or if the folder is in use.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise DeltaloopError(f"{target} is there already; name a new folder, or empty this one")
    lineage = lineage_of(ledger, blobs, campaign, round)
    try:
        source = checkpoints.path(lineage.version.id)
    except KeyError:
        raise DeltaloopError(
            f"the checkpoint {lineage.version.id} is not in this home; restore it, or run the campaign in the home"
            " that holds it"
        ) from None
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as scratch:
        copy = Path(scratch) / "student"
        shutil.copytree(source, copy)
        (copy / CARD).write_text(card(lineage), encoding="utf-8")
        if target.exists():
            target.rmdir()
        copy.replace(target)
    return lineage


def lineage_of(ledger: Ledger, blobs: Blobs, campaign: str, round: int | None) -> Lineage:
    """Follow the parents of a campaign's promoted student (or of a round's candidate) back to the base model."""
    read = reader(blobs)
    outputs = {row.index: (row, outputs_of(row, read)) for row in ledger.rounds(campaign)}
    trainings = [_training(row, found) for row, found in outputs.values() if "distill" in found]
    version = _promoted(trainings, campaign) if round is None else _candidate(trainings, campaign, round)
    # By this campaign's own records: another campaign may have come to the very same checkpoint.
    by_version = {entry.trained.version.id: entry for entry in trainings if entry.trained.steps}
    chain: list[Training] = []
    base = version
    while base.id in by_version and base.parent is not None:
        chain.append(by_version[base.id])
        base = ledger.version(base.parent)
    prepared = outputs[0][1] if 0 in outputs else {}
    teacher: Report | None = prepared.get("baseline_teacher")
    return Lineage(
        campaign,
        version,
        base,
        ledger.version(teacher.version) if teacher else None,
        prepared.get("baseline_student"),
        tuple(reversed(chain)),
    )


def card(lineage: Lineage) -> str:
    """The model card, in Markdown with the hub's front matter."""
    reports = [lineage.before, *(entry.report for entry in lineage.rounds)]
    suites = list(dict.fromkeys(suite for report in reports if report for suite in report.by_suite()))
    teacher = lineage.teacher
    lines = [
        "---",
        "library_name: transformers",
        "pipeline_tag: image-text-to-text",
        "tags: [distillation, deltaloop]",
        "---",
        "",
        f"# Student of campaign {code_span(lineage.campaign)}, round {lineage.version.round}",
        "",
        "Distilled on-policy on the prompts on which it and its teacher still gave different answers. The table below",
        "is what is known of it; nothing is known of it outside those held-out suites.",
        "",
        "```python",
        "from transformers import AutoModelForImageTextToText, AutoProcessor",
        "",
        'model = AutoModelForImageTextToText.from_pretrained("DIR")',
        'processor = AutoProcessor.from_pretrained("DIR")',
        "```",
        "",
        "## Lineage",
        "",
        f"- version `{lineage.version.id}`",
        f"- base student {code_span(lineage.base.source)}, version `{lineage.base.id}`",
        f"- teacher {code_span(teacher.source)}, version `{teacher.id}`" if teacher else "- teacher unknown",
        *(_round_line(entry) for entry in lineage.rounds),
        "",
        "## Accuracy on the held-out suites",
        "",
        "| | " + " | ".join(suite if suite == "mean" else code_span(suite) for suite in suites) + " |",
        "|---|" + "---|" * len(suites),
        _accuracy_row("base student", lineage.before, suites),
        *(_accuracy_row(f"round {entry.row.index}", entry.report, suites) for entry in lineage.rounds),
        "",
        "## Written by",
        "",
        ", ".join([f"Python {platform.python_version()}", *(f"{name} {installed(name)}" for name in LIBRARIES)]),
    ]
    return "\n".join(lines) + "\n"


def _training(row: RoundRow, outputs: Mapping[str, Any]) -> Training:
    scores: Scores | None = outputs.get("score")
    deltas = [score.delta for score in scores.scores] if scores else []
    return Training(
        row,
        outputs["select"],
        outputs["distill"],
        outputs.get("evaluate"),
        outputs.get("judge"),
        sum(deltas) / len(deltas) if deltas else None,
    )


def _promoted(trainings: Sequence[Training], campaign: str) -> Version:
    for entry in reversed(trainings):
        if entry.verdict is not None and entry.verdict.promoted:
            return entry.trained.version
    tried = ", ".join(str(entry.row.index) for entry in trainings) or "none"
    raise DeltaloopError(
        f"no round of `{campaign}` has promoted a student; --round N takes a round's candidate"
        f" (trained rounds: {tried})"
    )


def _candidate(trainings: Sequence[Training], campaign: str, round: int) -> Version:
    for entry in trainings:
        if entry.row.index == round and entry.trained.steps:
            return entry.trained.version
    tried = ", ".join(str(entry.row.index) for entry in trainings if entry.trained.steps) or "none"
    raise DeltaloopError(f"round {round} of `{campaign}` has no trained student; rounds that have one: {tried}")


def _round_line(entry: Training) -> str:
    promoted = {True: "promoted", False: "not promoted", None: "not judged"}[
        entry.verdict.promoted if entry.verdict else None
    ]
    dirty = " with uncommitted changes" if entry.row.dirty else ""
    return (
        f"- round {entry.row.index}: {entry.trained.steps} steps on {len(entry.batch.prompts)} prompts (training set"
        f" `{entry.batch.digest}`), mean Δ of the pool before {number(entry.delta)}, {promoted};"
        f" version `{entry.trained.version.id}`, code `{entry.row.commit}`{dirty}"
    )


def _accuracy_row(name: str, report: Report | None, suites: Sequence[str]) -> str:
    accuracies = report.by_suite() if report else {}
    return f"| {name} | " + " | ".join(share(accuracies.get(suite)) for suite in suites) + " |"
