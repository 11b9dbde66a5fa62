"""The frozen values that cross package borders: what flows between the ledger, the policies and the loop.

A round turns `Prompt`s into `Rollout`s, rollouts into `Score`s, scores into `Region`s with aims, aims into
`Candidate`s, the best prompts into a `TrainingSet`, that into a new `Version`, and that into a `Verdict`.
Standard library only: rows of the database never leave `store`, and these never depend on it.

    prompts -> rollouts -> scores -> synthesis -> training -> evaluation      campaigns, leases, orders      digests

Import them from here; the modules are how the file is cut.
"""

from __future__ import annotations

from store.records.browsing import (
    AnswerCount,
    DeltaHistogram,
    FateCount,
    PlacedCandidate,
    PromptFilter,
    RoundScore,
    ScoredPrompt,
)
from store.records.campaigns import CampaignRow, RoundRow, StageRow, Status
from store.records.digests import canonical_json, derive_seed, digest, digest_of
from store.records.evaluation import HarnessResult, HarnessScore, Report, SuiteReport, Verdict
from store.records.leases import Lease, Owner
from store.records.orders import Order
from store.records.prompts import Filled, HeldOutQuestion, Origin, Prompt, Quarantined, prompt_id
from store.records.rollouts import Role, Rollout, RolloutStatus, Sample, Spent, Version
from store.records.scores import Score, Scores
from store.records.synthesis import Admitted, Aims, Candidate, Fate, Posterior, Region, StageYield
from store.records.training import Reported, Trained, TrainedStep, TrainingSet

__all__ = [
    "Admitted",
    "Aims",
    "AnswerCount",
    "CampaignRow",
    "Candidate",
    "DeltaHistogram",
    "Fate",
    "FateCount",
    "Filled",
    "HarnessResult",
    "HarnessScore",
    "HeldOutQuestion",
    "Lease",
    "Order",
    "Origin",
    "Owner",
    "PlacedCandidate",
    "Posterior",
    "Prompt",
    "PromptFilter",
    "Quarantined",
    "Region",
    "Report",
    "Reported",
    "Role",
    "Rollout",
    "RolloutStatus",
    "RoundRow",
    "RoundScore",
    "Sample",
    "Score",
    "ScoredPrompt",
    "Scores",
    "Spent",
    "StageRow",
    "StageYield",
    "Status",
    "SuiteReport",
    "Trained",
    "TrainedStep",
    "TrainingSet",
    "Verdict",
    "Version",
    "canonical_json",
    "derive_seed",
    "digest",
    "digest_of",
    "prompt_id",
]
