"""Whole rounds with a generator: it names skills and writes questions; broken, hostile and interrupted ones as well."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from loop.campaign import run_campaign
from loop.config import CampaignSettings
from loop.stages import recorded
from store.records import Admitted, Aims, Candidate, Fate, Origin, Prompt, TrainingSet
from store.verify import verify
from tests.fake_generator import FakeGenerator, Reply, good, template
from tests.fakes import fake_ports, fake_settings
from tests.loop.fake_runs import Interrupter

BY_MODEL = {"synthesizer": "model", "seed_guided": 12, "skill_guided": 12}


def settings(*, charts: int = 0, rounds: int = 1, **generation: object) -> CampaignSettings:
    return fake_settings(rounds=rounds, synthesis=BY_MODEL, generation={"charts": charts} | generation)


PIECEMEAL = settings(charts=4, batch=1)
"""Each instruction is a batch, hence a commit, of its own."""


def run(home: Path, wanted: CampaignSettings, generator: FakeGenerator, beat: Interrupter | None = None) -> str:
    """Run a campaign; returns the fingerprint of its facts."""
    ports, student, teacher = fake_ports(home, beat or Interrupter(), generator=generator)
    try:
        run_campaign(wanted, ports, student, teacher)
        checked = verify(ports.ledger, ports.blobs, ports.checkpoints)
        assert not checked.problems
        return checked.fingerprint
    finally:
        ports.ledger.close()


def outcome(home: Path, round: int = 1) -> tuple[Aims, Admitted, tuple[Candidate, ...]]:
    """What a round's target and synthesize stages recorded."""
    ports, _, _ = fake_ports(home)
    aims = recorded(ports.ledger, ports.blobs, "fake", round, "target", Aims)
    admitted = recorded(ports.ledger, ports.blobs, "fake", round, "synthesize", Admitted)
    assert aims is not None
    assert admitted is not None
    return aims, admitted, ports.ledger.candidates("fake", round)


def test_skills_are_named_from_contrasts_and_the_second_stage_asks_for_them(tmp_path: Path) -> None:
    generator = FakeGenerator()
    run(tmp_path, settings(), generator)
    aims, admitted, candidates = outcome(tmp_path)
    assert 0 < aims.named == aims.contrasts
    assert {"subtract", "compare"} <= {skill for region in aims.regions for skill in region.skills}
    skills = {row.prompt.attributes["skill"] for row in candidates if row.prompt.origin is Origin.SKILL_GUIDED}
    assert skills <= {skill for region in aims.regions for skill in region.skills}
    assert admitted.yields["skill_guided"].admitted > 0
    contrast = next(prompt for prompt in generator.asked if template(prompt) == "failure_skill")
    assert "The correct answer is: " in contrast.question
    assert "I see. Answer: " in contrast.question


def test_what_the_generator_wrote_is_spent_and_kept_as_its_rollouts(tmp_path: Path) -> None:
    generator = FakeGenerator()
    run(tmp_path, settings(), generator)
    aims, admitted, _ = outcome(tmp_path)
    assert aims.spent.generator_samples + admitted.spent.generator_samples == len(generator.asked)
    assert admitted.spent.generator_tokens == 100 * admitted.spent.generator_samples > 0
    assert aims.spent.teacher_samples == 0


def test_no_seed_is_replayed_in_a_later_round_and_nothing_is_asked_twice(tmp_path: Path) -> None:
    generator = FakeGenerator()
    run(tmp_path, settings(rounds=2), generator)
    texts = [[row.prompt.question for row in outcome(tmp_path, round)[2]] for round in (1, 2)]
    assert not set(texts[0]) & set(texts[1])
    again = FakeGenerator()
    run(tmp_path, settings(rounds=2), again)
    assert again.asked == []


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, int]:
    """Fingerprint, and how often the generator was asked."""
    generator = FakeGenerator()
    return run(tmp_path_factory.mktemp("whole"), PIECEMEAL, generator), len(generator.asked)


@pytest.mark.parametrize("share", [0.0, 0.6, 1.0])
def test_an_interrupted_synthesis_ends_like_an_undisturbed_one_and_asks_only_what_is_missing(
    tmp_path: Path, undisturbed: tuple[str, int], share: float
) -> None:
    fingerprint, num_asked = undisturbed
    stopped = FakeGenerator(beat=Interrupter(at=round(share * (num_asked - 1))))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, PIECEMEAL, stopped)
    resumed = FakeGenerator()
    assert run(tmp_path, PIECEMEAL, resumed) == fingerprint
    assert len(stopped.asked) + len(resumed.asked) == num_asked


GARBAGE: tuple[Reply, ...] = (
    lambda instruction, seed: "",
    lambda instruction, seed: "I cannot do that.",
    lambda instruction, seed: good(instruction, seed)[:-3],
    lambda instruction, seed: '{"questions": "none", "skill": 3, "chart": [], "extra": NaN}',
    lambda instruction, seed: "{" * 5000 + '"a":' + "[" * 5000,
    lambda instruction, seed: '{"questions": [{"question": 1}, null, {"question": "\\u0000"}], "skill": "\\ud800"}',
)


def test_garbage_ends_the_round_normally_with_nothing_admitted_and_every_reason_kept(tmp_path: Path) -> None:
    garbage = FakeGenerator(lambda instruction, seed: GARBAGE[seed % len(GARBAGE)](instruction, seed))
    run(tmp_path, settings(charts=8, questions=1), garbage)
    aims, admitted, candidates = outcome(tmp_path)
    assert aims.contrasts > 0
    assert aims.named == 0
    assert admitted.prompts == ()
    assert set(admitted.yields) == {"seed_guided", "skill_guided", "new_chart"}
    assert all((row.proposed > 0, row.parsed, row.rate) == (True, 0, 0.0) for row in admitted.yields.values())
    assert {row.fate for row in candidates} == {Fate.UNPARSED}
    assert all(row.detail for row in candidates)
    ports, _, _ = fake_ports(tmp_path)
    assert recorded(ports.ledger, ports.blobs, "fake", 1, "select", TrainingSet) is not None


def test_a_generator_that_repeats_itself_yields_duplicates(tmp_path: Path) -> None:
    def same(instruction: Prompt, seed: int) -> str:
        return good(instruction, 1)

    run(tmp_path, settings(), FakeGenerator(same))
    fates = Counter(row.fate for row in outcome(tmp_path)[2])
    assert fates[Fate.DUPLICATE] > sum(fates.values()) / 2


def test_charts_are_drawn_and_a_teacher_that_knows_better_than_the_data_is_not_believed(tmp_path: Path) -> None:
    run(tmp_path, settings(charts=16), FakeGenerator())
    ports, _, _ = fake_ports(tmp_path)
    charts = [row for row in outcome(tmp_path)[2] if row.prompt.origin is Origin.NEW_CHART]
    assert len(charts) >= 8
    for row in charts:
        assert row.prompt.attributes["known_answer"] in row.prompt.attributes["chart"]
        assert ports.blobs.get(row.prompt.images[0]).startswith(b"\x89PNG")
    # The fake teacher knows the known answer 97 times out of 100, the fake student every other time.
    assert sum(row.fate is Fate.ADMITTED for row in charts) > len(charts) / 2
