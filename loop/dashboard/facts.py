"""What pages tell of a campaign, from the ledger and the outputs of its stages.

An output of a completed stage never changes: what was read from one is kept in memory, by its digest.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from loop.dashboard.prompt_map import Plane, Spot, kept_map, prompt_map
from loop.kept_rounds import KeptRounds
from loop.summary import campaign_json, reader
from store.records import Aims, CampaignRow, DeltaHistogram, RoundRow, Score, StageRow, Status

if TYPE_CHECKING:
    from loop.bootstrap import Home

T = TypeVar("T")


@dataclass(frozen=True)
class RegionPast:
    """What was believed, in an earlier round, of the region that lay nearest."""

    round: int
    index: int
    cosine: float
    mean: float
    skills: tuple[str, ...]


class Kept(Generic[T]):
    """The newest few values, by key."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: dict[Hashable, T] = {}

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value of a key, made if it is not kept. Two threads may both make it; they make the same."""
        if key in (values := self._values):
            return values[key]
        made = make()
        # Replaced, never changed: another thread may be reading it.
        self._values = dict([*values.items(), (key, made)][-self._most :])
        return made


class Facts:
    """Reads a home for its pages. Threads may share one."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.ledger = home.ledger
        self._read = reader(home.blobs)
        self._of_round = KeptRounds(home.paths.summaries, self._read)
        self._rounds: Kept[dict[str, Any]] = Kept(512)
        self._histograms: Kept[DeltaHistogram | None] = Kept(512)
        self._chosen: Kept[frozenset[str]] = Kept(32)
        self._maps: Kept[list[Spot]] = Kept(32)
        self._aims: Kept[Aims] = Kept(2)  # an assignment of 200,000 prompts takes some 30 MB

    def summary(self, campaign: CampaignRow, rounds: Sequence[RoundRow]) -> dict[str, Any]:
        """As `loop.status.summary_of` gives it."""

        def of_round(row: RoundRow) -> dict[str, Any]:
            stages = tuple((stage.name, stage.status, stage.seconds, stage.output) for stage in row.stages)
            return self._rounds.get((row.campaign, row.index, row.status, stages), lambda: self._of_round(row))

        told = campaign_json(campaign, rounds, self._read, of_round)
        return told | {"order": str(self.ledger.find_order(campaign.name))}

    def histogram(self, row: RoundRow) -> DeltaHistogram | None:
        """How Δ is distributed over what a round scored; None until it has."""
        scored = _completed(row, "score")
        if scored is None:
            return None
        make = lambda: self.ledger.delta_histogram(row.campaign, row.index)  # noqa: E731
        return self._histograms.get((row.campaign, row.index, scored.output), make)

    def aims(self, row: RoundRow) -> Aims | None:
        """Where a round aimed; None until it has."""
        stage = _completed(row, "target")
        return None if stage is None else self._aims.get(stage.output, lambda: self._read(stage))

    def plane(self, aims: Aims) -> Plane:
        """The plane in which a round's map is drawn."""
        return Plane.through(self._centroids(aims), [region.size for region in aims.regions])

    def region_points(self, aims: Aims) -> NDArray[np.float64]:
        """The regions' centres [k, 2] in their plane."""
        return self.plane(aims).points(self._centroids(aims))

    def prompt_spots(self, row: RoundRow, aims: Aims) -> list[Spot]:
        """Where the prompts that a round scored lie in that plane; none before it has scored."""
        scored, target = _completed(row, "score"), _completed(row, "target")
        if scored is None or target is None:
            return []

        def make() -> list[Spot]:
            deltas = self.ledger.deltas(row.campaign, row.index)
            return prompt_map(self.plane(aims), deltas, lambda ids: self.ledger.embeddings(aims.embedder, ids))

        parts = (row.campaign, str(row.index), str(scored.output), str(target.output))
        return self._maps.get(parts, lambda: kept_map(self.home.paths.summaries, parts, make))

    def region_past(self, rows: Sequence[RoundRow], aims: Aims, index: int) -> list[RegionPast]:
        """The region nearest to this one in each earlier round that aimed in the same embedding."""
        centre = self._centroids(aims)[index]
        past = []
        for row in rows:
            stage = _completed(row, "target")
            earlier = None if stage is None else self._read(stage)
            if earlier is None or earlier.embedder != aims.embedder or not earlier.regions:
                continue
            others = self._centroids(earlier)
            norms = np.linalg.norm(others, axis=1) * np.linalg.norm(centre)
            cosines = others @ centre / np.maximum(norms, 1e-9)
            nearest = int(cosines.argmax())
            region = earlier.regions[nearest]
            past.append(
                RegionPast(row.index, region.index, float(cosines[nearest]), region.posterior.mean, region.skills)
            )
        return past

    def was_chosen(self, row: RoundRow, id: str) -> bool | None:
        """Whether a round trained on a prompt; None until it has chosen."""
        stage = _completed(row, "select")
        if stage is None:
            return None
        return id in self._chosen.get(stage.output, lambda: frozenset(self._read(stage).prompts))

    def why(self, row: RoundRow, score: Score) -> str:
        """Why a round trained on a prompt or did not, by the settings that it ran under."""
        chosen = self.was_chosen(row, score.prompt_id)
        rule = json.loads(row.settings).get("selection", {})
        least = rule.get("min_consistency", 0.0)
        if chosen is None:
            return "not decided yet"
        if chosen:
            return f"trained on: Δ {score.delta:.2f}, teacher's consistency {score.consistency:.2f}"
        if rule.get("rule") not in ("uniform", "zero_delta"):  # arms of control, which take what others leave
            if score.zero_delta:
                return "not trained on: zero-delta, the two already answer alike"
            if score.consistency < least:
                return f"not trained on: teacher's consistency {score.consistency:.2f} < {least:.2f}"
        return f"not trained on: eligible, but rule `{rule.get('rule', 'unknown')}` preferred others"

    def _centroids(self, aims: Aims) -> NDArray[np.float32]:
        array: NDArray[np.float32] = np.load(io.BytesIO(self.home.blobs.get(aims.centroids)), allow_pickle=False)
        return array


def _completed(row: RoundRow, name: str) -> StageRow | None:
    return next((stage for stage in row.stages if stage.name == name and stage.status is Status.COMPLETED), None)
