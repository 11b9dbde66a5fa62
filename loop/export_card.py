"""The card of an exported data set: README.md, with the front matter by which `datasets` and the hub find the shards.

It shows numbers, names of models and of the campaign. What prompts say is left to the data: a card is rendered as HTML.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version as installed

import numpy as np

from loop.status import number, share
from loop.text import one_line
from store.records import Origin, RoundRow, Score, Version

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
COLUMNS = {
    "id": "digest of question and pictures",
    "question, images": "the prompt",
    "teacher_answer": "the teacher's most frequent answer; null where it gave none",
    "teacher_answers": "its answers with their counts, most frequent first; null is no answer",
    "consistency": "mean agreement of the teacher's samples with its majority answer, in [0, 1]",
    "delta, delta_low, delta_high": "reverse KL of the answer distributions, student first, in nats; 90 % interval",
    "predicted": "no sample of the student stands behind `delta`: other prompts and the last round say so",
    "zero_delta": "both empirical answer distributions are the same",
    "differs, p_value": "exact permutation test; `differs` after Benjamini-Hochberg over the round",
    "noise_floor": "delta between two halves of the teacher's own samples",
    "student_samples, teacher_samples": "how many samples stand behind the row",
    "region": "cluster of the embedding space in that round",
    "skill, origin, parent, attributes": "what is known of the prompt; `parent` is the id that it was synthesised from",
    "campaign, round, student, teacher": "who measured: versions are digests of the models' files",
}


def card(
    scores: Sequence[Score],
    origins: Sequence[Origin],
    *,
    campaign: str,
    round: RoundRow,
    scored: int,
    filters: Mapping[str, object],
    student: Version,
    teacher: Version,
) -> str:
    """The card, in Markdown; there must be a score at least, aligned with the origins."""
    deltas = np.array([score.delta for score in scores])
    quantiles = zip(QUANTILES, np.quantile(deltas, QUANTILES), strict=True)
    changes = " and uncommitted changes" if round.dirty else ""
    predicted = sum(score.predicted for score in scores)
    lines = [
        "---",
        "configs:",
        "- config_name: default",
        "  data_files:",
        "  - split: train",
        "    path: data/*.parquet",
        "tags: [distillation, deltaloop]",
        "---",
        "",
        f"# Prompts of campaign {code_span(campaign)}, round {round.index}",
        "",
        "Prompts with how differently two models answered them: Δ is the divergence of the student's final answers",
        "from the teacher's, for this pair and at this point of the student's training. Another pair has another Δ:",
        "import the set into a campaign of that pair, and it is measured anew.",
        "",
        "| | |",
        "|---|---|",
        f"| prompts | {len(scores)} of {scored} that the round scored |",
        f"| filters | {code_span(json.dumps(dict(filters)))} |",
        f"| Δ mean | {number(float(deltas.mean()))} nats |",
        f"| Δ quantiles | {', '.join(f'{q:.0%}: {number(float(value))}' for q, value in quantiles)} |",
        f"| zero-delta | {share(float(np.mean([score.zero_delta for score in scores])))} |",
        f"| differ by test | {share(float(np.mean([bool(score.differs) for score in scores])))} |",
        f"| Δ predicted, not measured | {share(predicted / len(scores))} |",
        f"| teacher consistency | {share(float(np.mean([score.consistency for score in scores])))} |",
        f"| student | {code_span(student.source)}, version `{student.id}` |",
        f"| teacher | {code_span(teacher.source)}, version `{teacher.id}` |",
        f"| code | deltaloop {installed('deltaloop')}, commit `{round.commit}`{changes} |",
        "",
        "| origin | prompts | Δ mean |",
        "|---|---|---|",
    ]
    for origin in Origin:
        own = [score.delta for score, other in zip(scores, origins, strict=True) if other is origin]
        if own:
            lines.append(f"| {origin} | {len(own)} | {number(float(np.mean(own)))} |")
    lines += ["", "| column | |", "|---|---|", *(f"| {name} | {meaning} |" for name, meaning in COLUMNS.items())]
    return "\n".join(lines) + "\n"


def code_span(text: str) -> str:
    """A name that somebody else chose, as Markdown that shows it and does nothing else, in a table too."""
    shown = one_line(text).replace("`", "'").replace("|", "/").strip()
    return f"`{shown}`" if shown else "(no name)"
