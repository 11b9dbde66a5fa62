"""The paper's three settings (arXiv 2605.15532), each on embedded models: what does a round of distillation bring?

    on_policy     the pair: the student's own responses, scored by the teacher token by token
    transfer      the prompts that were made for that pair, exported, and scored again for a pair of another family
    off_policy    a student that answers without a rationale, on the teacher's responses

    python -m scripts.compare_settings --seeds 3 [--settings on_policy ...] [--campaign FILE] [--home DIR]
                                       [--set KEY=VALUE] [--figure FILE]

Each setting has two arms: `delta`, and the control `zero_delta`, which trains as many steps on prompts that both models
answer alike. Prints held-out accuracy before and after, and the gain with its 90 % interval (bootstrap over seeds and
questions) by arm; the last line is JSON. A home that holds a finished arm is not computed again: the script resumes.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from loop.bootstrap import open_home, prompt_writer
from loop.config import CampaignSettings, load_settings
from loop.export_prompts import Filters, choose, export_prompts
from scripts.campaign_arms import Outcome, paired_difference, run_arm

SETTINGS = ("on_policy", "transfer", "off_policy")
ARMS = ("delta", "zero_delta")


@dataclass(frozen=True)
class Gain:
    """Of one arm of one setting, over its seeds: accuracies in [0, 1]."""

    before: float
    after: float
    gain: float
    low: float
    high: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the arms, print the table."""
    options = _parse(arguments)
    gains: dict[str, dict[str, Gain]] = {}
    for setting in options.settings:
        outcomes: dict[str, list[Outcome]] = {arm: [] for arm in ARMS}
        for seed in range(options.seeds):
            home = options.home / f"seed-{seed}"
            for arm in ARMS:
                outcomes[arm].append(run_arm(_settings(options, setting, arm, seed), f"{setting}-{arm}", home))
                before, trained = outcomes[arm][-1].before.mean, outcomes[arm][-1].trained.mean
                print(f"{setting}, {arm}, seed {seed}: {before:.3f} -> {trained:.3f}", flush=True)
        gains[setting] = {arm: _gain(rows) for arm, rows in outcomes.items()}
    print(as_text(gains))
    if options.figure is not None:
        options.figure.write_bytes(draw(gains))
    print(json.dumps(_summary(gains) | {"seeds": options.seeds}))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--campaign", type=Path, default=Path("scripts/campaigns/arms.toml"))
    parser.add_argument("--home", type=Path, default=Path("mlruns/settings"))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--figure", type=Path)
    return parser.parse_args(arguments)


def _settings(options: argparse.Namespace, setting: str, arm: str, seed: int) -> CampaignSettings:
    own = [*options.set, f"seed={seed}", f"pool.seed={seed}"]
    if setting == "transfer":
        source = json.dumps(str(_exported(options.home / f"seed-{seed}").resolve()))
        own += ['models.teacher="embedded:llava_teacher"', 'models.student="embedded:llava_student"']
        own += [f"pool.source={source}", 'synthesis.synthesizer="none"']
    if setting == "off_policy":
        own += ['models.student="embedded:direct_student"', 'training.mode="off_policy"', "training.steps=60"]
    if arm == "zero_delta":
        own += ['selection.rule="zero_delta"', "synthesis.seed_guided=0", "synthesis.skill_guided=0"]
    return load_settings(options.campaign, own)


def _exported(home: Path) -> Path:
    """The prompts of the on-policy Δ arm, which must have run in this home."""
    folder = home / "prompts"
    if not folder.exists():
        place = open_home(home, None)
        try:
            chosen = choose(place.ledger, place.blobs, f"on_policy-{ARMS[0]}", None, Filters())
            export_prompts(place.ledger, place.blobs, chosen, folder, prompt_writer())
        finally:
            place.close()
    return folder


def _gain(rows: Sequence[Outcome]) -> Gain:
    before, after = [row.before for row in rows], [row.trained for row in rows]
    return Gain(
        sum(report.mean for report in before) / len(rows),
        sum(report.mean for report in after) / len(rows),
        *paired_difference(after, before),
    )


def as_text(gains: dict[str, dict[str, Gain]]) -> str:
    """A Markdown table, one line an arm."""
    lines = ["| setting | trained on | before | after | gain |", "|---|---|---|---|---|"]
    for setting, arms in gains.items():
        for arm, row in arms.items():
            gain = f"{row.gain:+.3f} [{row.low:+.3f}, {row.high:+.3f}]"
            lines.append(f"| {setting} | {arm} | {row.before:.3f} | {row.after:.3f} | {gain} |")
    return "\n".join(lines)


def draw(gains: dict[str, dict[str, Gain]]) -> bytes:
    """PNG: the gain of each arm with its interval, by setting."""
    figure = Figure(figsize=(8.0, 4.0), dpi=100, layout="constrained")
    axes = figure.subplots()
    for arm, colour, mark, shift in zip(ARMS, ("#0072B2", "#D55E00"), "os", (-0.1, 0.1), strict=True):
        rows = [arms[arm] for arms in gains.values()]
        errors = [[row.gain - row.low for row in rows], [row.high - row.gain for row in rows]]
        places = [place + shift for place in range(len(rows))]
        axes.errorbar(places, [row.gain for row in rows], errors, fmt=mark, color=colour, capsize=4, label=arm)
    axes.axhline(0.0, color="#595959", linewidth=1)
    axes.set_xticks(range(len(gains)), list(gains))
    axes.set_ylabel("gain in held-out accuracy, 90 % interval")
    axes.legend(title="trained on")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _summary(gains: dict[str, dict[str, Gain]]) -> dict[str, object]:
    """Gain, interval and the control's gain, by setting."""
    facts: dict[str, object] = {}
    for setting, arms in gains.items():
        delta, control = (arms[arm] for arm in ARMS)
        facts |= {f"{setting}_gain": delta.gain, f"{setting}_low": delta.low, f"{setting}_control": control.gain}
    return facts


if __name__ == "__main__":
    main()
