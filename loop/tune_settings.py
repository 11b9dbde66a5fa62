"""The `[tune]` table of a campaign file: which budgets to try, and what is best.

It is no part of the campaign's settings: nothing in it changes what a stage does, or the digest of its inputs. Keys of
`[tune.space]` are keys of the file, and two that stand for a pair of them:

    synthesis.candidates    prompts asked for per round   -> synthesis.seed_guided + synthesis.skill_guided
    synthesis.skill_share   the second's share of them
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from loop.config import CampaignSettings, override
from loop.section import Positive, Section
from policies.targeting import TARGETING
from store.errors import UsageError

Value = int | float | str
CANDIDATES, SKILL_SHARE = "synthesis.candidates", "synthesis.skill_share"
TUNABLE = ("scoring", "adaptive", "targeting", "synthesis", "generation", "selection", "training")
"""Tables whose keys may be tuned: the others say what is measured, and trials must be comparable."""


class Dimension(Section):
    """What one key may be: a range, or some values."""

    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    """Whether ratios matter rather than differences."""
    choices: tuple[Value, ...] = ()

    @model_validator(mode="after")
    def _is_one_of_two(self) -> Self:
        is_range = self.low is not None and self.high is not None
        if is_range == bool(self.choices):
            raise ValueError("say low and high, or choices")
        if self.low is not None and self.high is not None and (self.high <= self.low or (self.log and self.low <= 0)):
            raise ValueError(f"low = {self.low} and high = {self.high} are no range")
        return self

    def ends(self) -> tuple[Value, ...]:
        """The values that must be allowed for all others to be."""
        return self.choices or tuple(end for end in (self.low, self.high) if end is not None)


Space = Mapping[str, Dimension]


class Tune(Section):
    """How budgets are tuned, and whether a running campaign tunes its own."""

    objective: Literal["pareto", "ratio"] = "pareto"
    """`pareto`: accuracy up, tokens down; `ratio`: gain in accuracy per million tokens, which allows pruning."""
    seeds: Positive = 1
    """At most; a trial that may be the best one is repeated with other seeds, a clearly worse one is not."""
    online: bool = False
    """Whether `run` and `serve` ask for the next round's budget."""
    reward: Literal["accuracy", "delta"] = "accuracy"
    """Of a round, where `online`: accuracy gained, or Δ of the pool removed, per million tokens."""
    space: dict[str, Dimension] = Field(default_factory=dict)
    """Left out: around what the file says."""


def load_tune(path: Path, settings: CampaignSettings, overrides: Sequence[str] = ()) -> Tune:
    """The `[tune]` table of a campaign file, with a space that fits the campaign. UsageError names what does not."""
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    for text in overrides:
        override(data, text)
    try:
        tune = Tune.model_validate(data.get("tune", {}))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, ("tune", *first["loc"])))
        raise UsageError(f"{path}: `{key}` = {first['input']!r}: {first['msg']}; correct the value") from None
    space = tune.space or default_space(settings)
    for key, dimension in space.items():
        if key.partition(".")[0] not in TUNABLE:
            raise UsageError(f"{path}: `tune.space` has {key!r}; only keys of {', '.join(TUNABLE)} can be tuned")
        for value in dimension.ends():
            with_params(settings, {key: value}, where=f"{path}: tune.space")
    return tune.model_copy(update={"space": dict(space)})


def default_space(settings: CampaignSettings) -> dict[str, Dimension]:
    """From half of what the file says to twice of it, and every targeting rule."""
    space = {
        "scoring.student_samples": _around(settings.scoring.student_samples),
        "selection.prompts": _around(settings.selection.prompts),
        "selection.min_consistency": Dimension(low=0.3, high=0.8),
        "selection.min_delta": Dimension(low=0.0, high=1.0),
        "training.learning_rate": Dimension(
            low=settings.training.learning_rate / 3, high=settings.training.learning_rate * 3, log=True
        ),
    }
    total = settings.synthesis.seed_guided + settings.synthesis.skill_guided
    if settings.synthesis.synthesizer == "none" or not total:
        return space
    return space | {
        CANDIDATES: _around(total),
        SKILL_SHARE: Dimension(low=0.0, high=1.0),
        "synthesis.min_consistency": Dimension(low=0.3, high=0.8),
        "targeting.exploration": Dimension(low=0.0, high=0.5),
        "targeting.regions": _around(settings.targeting.regions),
        "targeting.rule": Dimension(choices=tuple(sorted(TARGETING))),
    }


def with_params(settings: CampaignSettings, params: Mapping[str, Value], *, where: str) -> CampaignSettings:
    """The settings with these values. UsageError names the key that cannot be so."""
    data: dict[str, Any] = settings.model_dump(mode="json")
    for key, value in file_keys(settings, params).items():
        table, _, name = key.partition(".")
        if name not in data.get(table, {}):
            raise UsageError(f"{where}: there is no key {key!r} in a campaign file; see docs/campaign_file.md")
        data[table][name] = value
    try:
        return CampaignSettings.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"{where}: {dict(params)}: {first['msg']}; correct the range") from None


def file_keys(settings: CampaignSettings, params: Mapping[str, Value]) -> dict[str, Value]:
    """Params as keys of the file: the two that stand for a pair are split."""
    found = {key: value for key, value in params.items() if key not in (CANDIDATES, SKILL_SHARE)}
    if CANDIDATES in params or SKILL_SHARE in params:
        now = current(settings, (CANDIDATES, SKILL_SHARE))
        total = int(params.get(CANDIDATES, now[CANDIDATES]))
        skill = round(total * float(params.get(SKILL_SHARE, now[SKILL_SHARE])))
        found |= {"synthesis.seed_guided": total - skill, "synthesis.skill_guided": skill}
    return found


def current(settings: CampaignSettings, keys: Sequence[str]) -> dict[str, Value]:
    """What the settings say of these keys of a space."""
    synthesis = settings.synthesis
    total = synthesis.seed_guided + synthesis.skill_guided
    pair: dict[str, Value] = {CANDIDATES: total, SKILL_SHARE: synthesis.skill_guided / total if total else 0.0}
    data = settings.model_dump(mode="json")
    return {key: pair[key] if key in pair else data[key.partition(".")[0]][key.partition(".")[2]] for key in keys}


def _around(value: int) -> Dimension:
    return Dimension(low=max(1, value // 2), high=2 * value)
