"""A campaign that tunes its own budget: each round asks for one, and what the round was worth is told.

    before a round starts -> rewards of earlier rounds told -> budget asked -> the settings that the round records

What a round was asked to do is in its recorded settings, so a resumed round has the same. Rewards are read from the
ledger whenever the next budget is asked for: nothing is lost with the process that ran the round.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from loop.config import CampaignSettings
from loop.ports import Blobs, Ledger
from loop.stages import recorded
from loop.summary import outputs_of, reader, spent_of
from loop.tune_settings import Tune, Value, current, with_params
from policies.tuning import MILLION
from store.records import Report, RoundRow, Scores, Spent, Status, Verdict

FIXED = ("targeting.regions",)
"""Keys that say something in the first round only: a campaign keeps its regions."""


class RoundStudy(Protocol):
    """Proposes a budget per round; `loop.adapters.optuna_study` implements it."""

    def ask(self, first: Mapping[str, Value]) -> Any:
        """The next trial; the very first one has the params `first`."""
        ...

    def rounds(self) -> dict[int, int]:
        """Trials whose reward is not told yet, by round."""
        ...

    def note_round(self, trial: Any, round: int) -> None:
        """Which round got this budget."""
        ...

    def reward(self, number: int, value: float) -> None:
        """What a round was worth."""
        ...

    def drop(self, number: int) -> None:
        """The round of this trial never started with its budget."""
        ...


@dataclass(frozen=True)
class OnlineBudgets:
    """Gives each round its settings, as `Ports.budget`."""

    study: RoundStudy
    tune: Tune
    ledger: Ledger
    blobs: Blobs

    def __call__(self, settings: CampaignSettings, index: int) -> CampaignSettings:
        """The settings of a round that has not started; those of the preparation, and of a started one, stay."""
        if index == 0 or self.ledger.find_round(settings.name, index) is not None:
            return settings
        self._tell(settings.name, index)
        trial = self.study.ask(current(settings, [key for key in self.tune.space if key not in FIXED]))
        self.study.note_round(trial, index)
        return with_params(settings, trial.params, where=f"round {index}")

    def _tell(self, campaign: str, index: int) -> None:
        for round, number in self.study.rounds().items():
            value = reward_of(self.ledger, self.blobs, campaign, round, self.tune.reward)
            if value is not None:
                self.study.reward(number, value)
            elif round >= index:  # asked for, and ended before the round began
                self.study.drop(number)


def reward_of(
    ledger: Ledger, blobs: Blobs, campaign: str, round: int, kind: Literal["accuracy", "delta"]
) -> float | None:
    """What a round gained per million tokens: accuracy, or Δ removed from the prompts that the next round scores too.

    None as long as that is not known.
    """
    row = ledger.find_round(campaign, round)
    if row is None or row.status is not Status.COMPLETED:
        return None
    gain = _accuracy(ledger, blobs, row) if kind == "accuracy" else _removed(ledger, blobs, campaign, round)
    tokens = _tokens(spent_of(outputs_of(row, reader(blobs))))
    return None if gain is None else MILLION * gain / max(tokens, 1)


def _accuracy(ledger: Ledger, blobs: Blobs, row: RoundRow) -> float | None:
    """Of the round's student, less that of the one it started from; a student that is kept back gained nothing."""
    before = recorded(ledger, blobs, row.campaign, 0, "baseline_student", Report)
    for index in range(1, row.index + 1):
        verdict = recorded(ledger, blobs, row.campaign, index, "judge", Verdict)
        report = recorded(ledger, blobs, row.campaign, index, "evaluate", Report)
        if verdict is None or report is None or before is None:
            return None
        if index == row.index:
            return report.mean - before.mean if verdict.promoted else 0.0
        before = report if verdict.promoted else before
    return None


def _removed(ledger: Ledger, blobs: Blobs, campaign: str, round: int) -> float | None:
    rows = [recorded(ledger, blobs, campaign, index, "score", Scores) for index in (round, round + 1)]
    before, after = ({} if one is None else {row.prompt_id: row.delta for row in one.scores} for one in rows)
    both = before.keys() & after.keys()
    return sum(before[id] - after[id] for id in both) / len(both) if both else None


def _tokens(spent: Spent) -> int:
    return spent.teacher_tokens + spent.student_tokens + spent.train_tokens + spent.generator_tokens
