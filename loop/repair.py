"""`verify --repair`: rebuilds what can be derived, and leaves everything else as it is.

    indices             from the embeddings               embeddings    removed where broken: a run computes them again
    scores              from the recorded stage output    canonical answers    from the responses, by the settings of
                                                          the rounds that drew them

What cannot be derived (a prompt, a response, an image, weights) is what `verify` still names afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from loop.config import CampaignSettings
from loop.rollouts import Drawing, as_rollout, sampling_keys
from loop.stages import recorded
from store.blobs import FileBlobs
from store.errors import CampaignHeld, DeltaloopError, LedgerUnusable
from store.ledger import Ledger
from store.owners import is_held
from store.records import Rollout, RolloutStatus, Sample, Scores
from store.repair import forget_broken_embeddings, rebuild_indices

PROMPTS = 500
"""Whose rollouts are read at a time."""


def repair(ledger: Ledger, blobs: FileBlobs, indices: Path) -> list[str]:
    """Rebuild what can be derived; a line for each thing that was. CampaignHeld if a campaign is running."""
    for campaign in ledger.campaigns():
        lease = ledger.find_lease(campaign.name)
        if lease is not None and is_held(lease):
            raise CampaignHeld(
                f"campaign `{campaign.name}` is run by process {lease.owner.pid} on {lease.owner.host}; stop it first"
            )
    done = forget_broken_embeddings(ledger)
    done += rebuild_indices(ledger, indices)
    done += _rebuild_scores(ledger, blobs)
    return done + list(_rebuild_answers(ledger))


def _rebuild_scores(ledger: Ledger, blobs: FileBlobs) -> list[str]:
    """Score rows repeat the output of the score stage, which its digest protects."""
    done = []
    for campaign, round in _rounds(ledger):
        where = f"scores of round {round} of `{campaign}`"
        try:
            output = recorded(ledger, blobs, campaign, round, "score", Scores)
            if output is None:
                continue
            if _held_scores(ledger, campaign, round) == sorted(output.scores, key=lambda score: score.prompt_id):
                continue
            ledger.replace_scores(campaign, round, output.scores)
        except (DeltaloopError, ValueError) as error:
            done.append(f"{where}: cannot be compared with their stage's output ({error})")
            continue
        done.append(f"{where}: rebuilt from the output of their stage")
    return done


def _held_scores(ledger: Ledger, campaign: str, round: int) -> list[object] | None:
    try:
        return list(ledger.scores(campaign, round))
    except (LedgerUnusable, ValueError):  # a row cannot be read
        return None


def _rebuild_answers(ledger: Ledger) -> Iterator[str]:
    """Status, answer and canonical answer follow from the response; whether it was truncated is a fact of its own."""
    by_key = _settings_by_sampling(ledger)
    for version, sampling, ids in ledger.sampled():
        settings = by_key.get(sampling)
        if settings is None:  # a generator's replies, or answers read by another version of the program
            continue
        drawing = Drawing(ledger.version(version), {}, settings.sampling, settings.answers.settings(), 0, "")
        wrong: list[Rollout] = []
        for start in range(0, len(ids), PROMPTS):
            some = ids[start : start + PROMPTS]
            prompts = {prompt.id: prompt for prompt in ledger.prompts(some)}
            for id, rows in ledger.rollouts(version, sampling, some).items():
                read = [replace(as_rollout(_sample(row), prompts[id], drawing), sampling=sampling) for row in rows]
                wrong += [right for right, row in zip(read, rows, strict=True) if right != row]
        if wrong:
            ledger.replace_rollouts(wrong)
            yield f"answers of version {version}: {len(wrong)} read again from their responses"


def _settings_by_sampling(ledger: Ledger) -> dict[str, CampaignSettings]:
    """The settings that rollouts were drawn under, as far as a round recorded them."""
    found: dict[str, CampaignSettings] = {}
    for campaign in ledger.campaigns():
        for row in ledger.rounds(campaign.name):
            try:
                settings = CampaignSettings.model_validate_json(row.settings)
            except ValueError:  # of a program whose settings were others
                continue
            found |= dict.fromkeys(sampling_keys(settings.sampling, settings.answers.settings()), settings)
    return found


def _rounds(ledger: Ledger) -> list[tuple[str, int]]:
    return [(campaign.name, row.index) for campaign in ledger.campaigns() for row in ledger.rounds(campaign.name)]


def _sample(row: Rollout) -> Sample:
    truncated = row.status is RolloutStatus.TRUNCATED
    return Sample(row.prompt_id, row.index, row.seed, row.text, row.num_tokens, truncated)
