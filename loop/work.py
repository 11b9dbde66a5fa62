"""`Work`: the givens of one round, digested as one fact by every stage."""

from __future__ import annotations

from dataclasses import dataclass

from loop.config import CampaignSettings
from store.records import Version, derive_seed


@dataclass(frozen=True)
class Work:
    """One round of one campaign. Round 0 is the preparation: the pool and the baselines."""

    campaign: str
    round: int
    settings: CampaignSettings
    """As they were when the round started: a later change applies from the next round."""
    teacher: Version

    def seed(self, *parts: int | str) -> int:
        """A seed of this campaign, round and the named parts (stage, prompt id, ...)."""
        return derive_seed(self.settings.seed, self.round, *parts)

    def key(self, *parts: int | str) -> str:
        """A name for a piece of this round's work, e.g. of a plan or a scratch folder."""
        return "/".join([self.campaign, str(self.round), *map(str, parts)])
