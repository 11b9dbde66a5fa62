"""Whole campaigns on fake models and a real store: order, learning, replay, and interruption at every operation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from loop.campaign import is_finished, run_campaign
from loop.stages import StageLog, recorded
from store.errors import DeltaloopError, StageChanged, StageFailed, UsageError
from store.records import Admitted, Fate, Filled, Origin, Scores, Status, Trained, Verdict
from tests.fakes import fake_ports, fake_settings, knowledge_of
from tests.loop.fake_runs import Interrupter, run

STAGES = ["score", "target", "synthesize", "select", "distill", "evaluate", "judge"]


def same(work: Filled) -> Filled:
    return work


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Interrupter]:
    beat = Interrupter()
    return run(tmp_path_factory.mktemp("undisturbed"), beat), beat


def test_a_campaign_runs_its_stages_in_order_and_the_student_learns_what_it_lacked(tmp_path: Path) -> None:
    ports, student, teacher = fake_ports(tmp_path)
    kept = run_campaign(fake_settings(), ports, student, teacher)
    rounds = ports.ledger.rounds("fake")
    assert [stage.name for stage in rounds[0].stages] == ["pool", "baseline_teacher", "baseline_student"]
    assert [stage.name for stage in rounds[1].stages] == STAGES
    assert [stage.name for stage in rounds[2].stages] == [*STAGES, "close"]
    assert all(stage.status is Status.COMPLETED for row in rounds for stage in row.stages)
    assert knowledge_of(kept, ports.checkpoints)["subtract"] > 0.6
    assert knowledge_of(kept, ports.checkpoints)["read"] < 0.98
    verdict = recorded(ports.ledger, ports.blobs, "fake", 1, "judge", Verdict)
    assert verdict is not None
    assert verdict.promoted
    assert verdict.low > 0


def test_skill_guided_synthesis_yields_more_delta_prompts_than_seed_guided(tmp_path: Path) -> None:
    ports, student, teacher = fake_ports(tmp_path)
    run_campaign(fake_settings(rounds=1, synthesis={"seed_guided": 60, "skill_guided": 60}), ports, student, teacher)
    admitted = recorded(ports.ledger, ports.blobs, "fake", 1, "synthesize", Admitted)
    assert admitted is not None
    assert admitted.yields["skill_guided"].rate > admitted.yields["seed_guided"].rate


def test_every_candidate_is_kept_with_its_fate_and_only_admitted_ones_join_the_pool(tmp_path: Path) -> None:
    ports, student, teacher = fake_ports(tmp_path)
    run_campaign(fake_settings(rounds=1), ports, student, teacher)
    candidates = ports.ledger.candidates("fake", 1)
    admitted = recorded(ports.ledger, ports.blobs, "fake", 1, "synthesize", Admitted)
    assert admitted is not None
    assert len(candidates) == sum(row.proposed for row in admitted.yields.values())
    assert all(row.detail for row in candidates if row.fate is not Fate.ADMITTED)
    pool = {prompt.id for prompt in ports.ledger.pool("fake") if prompt.origin is not Origin.SEED}
    assert pool == {row.prompt.id for row in candidates if row.fate is Fate.ADMITTED} == set(admitted.prompts)
    assert [row.reason for row in ports.ledger.quarantined("fake")] == ["the question is empty"]


def test_the_teacher_is_sampled_once_per_prompt_and_a_kept_student_is_not_sampled_again(tmp_path: Path) -> None:
    ports, student, teacher = fake_ports(tmp_path)
    run_campaign(fake_settings(promotion={"tolerance": 0.0, "level": 0.9}), ports, student, teacher)
    first = recorded(ports.ledger, ports.blobs, "fake", 1, "score", Scores)
    second = recorded(ports.ledger, ports.blobs, "fake", 2, "score", Scores)
    assert first is not None
    assert second is not None
    assert first.spent.teacher_samples == 48 * 4
    assert second.spent.teacher_samples == 0
    assert second.spent.student_samples == 4 * len(second.scores)


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    before = run(tmp_path, Interrupter())
    again = Interrupter()
    assert run(tmp_path, again) == before
    assert again.count == 0


def test_is_finished_knows_when_more_rounds_are_wanted(tmp_path: Path) -> None:
    ports, student, teacher = fake_ports(tmp_path)
    assert not is_finished(ports.ledger, ports.blobs, fake_settings())
    run_campaign(fake_settings(rounds=1), ports, student, teacher)
    assert is_finished(ports.ledger, ports.blobs, fake_settings(rounds=1))
    assert not is_finished(ports.ledger, ports.blobs, fake_settings(rounds=2))
    run_campaign(fake_settings(rounds=2), ports, student, teacher)
    assert is_finished(ports.ledger, ports.blobs, fake_settings(rounds=2))


def test_two_homes_have_one_fingerprint_and_another_seed_has_another(tmp_path: Path) -> None:
    assert run(tmp_path / "a", Interrupter()) == run(tmp_path / "b", Interrupter())
    assert run(tmp_path / "c", Interrupter(), seed=1) != run(tmp_path / "d", Interrupter())


@pytest.mark.parametrize("kind", ["sample", "embed", "propose", "train", "evaluate"])
@pytest.mark.parametrize("share", [0.0, 0.35, 0.7, 1.0])
def test_an_interrupted_campaign_ends_like_an_undisturbed_one(
    tmp_path: Path, undisturbed: tuple[str, Interrupter], kind: str, share: float
) -> None:
    fingerprint, whole = undisturbed
    places = [index for index, name in enumerate(whole.names) if name == kind]
    stopped = Interrupter(at=places[round(share * (len(places) - 1))])
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, stopped)
    resumed = Interrupter()
    assert run(tmp_path, resumed) == fingerprint
    paid_twice = stopped.count + resumed.count - whole.count
    assert paid_twice <= 81, "more than the operation that was under way was done again"


def test_an_interrupted_campaign_is_stopped_and_a_failed_one_failed(tmp_path: Path) -> None:
    for error, expected in ((KeyboardInterrupt(), Status.STOPPED), (RuntimeError("boom"), Status.FAILED)):
        home = tmp_path / expected
        with pytest.raises((KeyboardInterrupt, StageFailed)):
            run(home, Interrupter(at=300, error=error))
        ports, _, _ = fake_ports(home)
        campaign = ports.ledger.find_campaign("fake")
        assert campaign is not None
        assert campaign.status is expected
        stage = ports.ledger.rounds("fake")[-1].stages[-1]
        assert stage.status is expected
        assert (stage.error or "") == ("RuntimeError: boom" if expected is Status.FAILED else "")


def test_a_changed_seed_is_refused_by_name(tmp_path: Path) -> None:
    run(tmp_path, Interrupter(), rounds=1)
    with pytest.raises(UsageError, match="fake"):
        run(tmp_path, Interrupter(), rounds=2, seed=5)


def test_changed_budgets_apply_from_the_next_round_and_are_recorded(tmp_path: Path) -> None:
    run(tmp_path, Interrupter(), rounds=1)
    run(tmp_path, Interrupter(), rounds=2, synthesis={"seed_guided": 5, "skill_guided": 3})
    ports, _, _ = fake_ports(tmp_path)
    admitted = recorded(ports.ledger, ports.blobs, "fake", 2, "synthesize", Admitted)
    assert admitted is not None
    assert admitted.yields["seed_guided"].proposed <= 5
    assert '"seed_guided":5' in ports.ledger.rounds("fake")[2].settings
    assert '"seed_guided":12' in ports.ledger.rounds("fake")[1].settings


def test_an_exhausted_pool_is_a_normal_end_that_gives_its_reason(tmp_path: Path) -> None:
    ports, student, teacher = fake_ports(tmp_path)
    run_campaign(fake_settings(rounds=9, promotion={"min_delta_share": 0.999}), ports, student, teacher)
    assert ports.ledger.find_campaign("fake").status is Status.COMPLETED  # type: ignore[union-attr]
    assert len(ports.ledger.rounds("fake")) == 2
    verdict = recorded(ports.ledger, ports.blobs, "fake", 1, "judge", Verdict)
    assert verdict is not None
    assert verdict.stop
    assert verdict.reason


def test_nothing_to_train_on_keeps_the_student_and_ends(tmp_path: Path) -> None:
    ports, student, teacher = fake_ports(tmp_path)
    settings = fake_settings(selection={"prompts": 4, "min_consistency": 1.0}, scoring={"teacher_samples": 400})
    kept = run_campaign(settings, ports, student, teacher)
    trained = recorded(ports.ledger, ports.blobs, "fake", 1, "distill", Trained)
    assert trained is not None
    assert trained.prompts == 0
    assert kept == student


def test_a_finished_stage_refuses_other_inputs(tmp_path: Path) -> None:
    ports, student, teacher = fake_ports(tmp_path)
    run_campaign(fake_settings(rounds=0), ports, student, teacher)
    stage = StageLog(ports.ledger, ports.blobs, ports.tracker, "fake", 0, spending=ports.spending)
    assert stage("extra", same, Filled("p", 1, 0, "d")) == Filled("p", 1, 0, "d")
    assert stage("extra", same, Filled("p", 1, 0, "d")) == Filled("p", 1, 0, "d")
    with pytest.raises(StageChanged, match="`work`"):
        stage("extra", same, Filled("p", 2, 0, "d"))


def test_a_pool_without_a_usable_prompt_is_a_clear_failure(tmp_path: Path) -> None:
    ports, student, teacher = fake_ports(tmp_path)
    with pytest.raises(DeltaloopError, match="no usable prompt"):
        run_campaign(fake_settings(), replace(ports, source=lambda pool: iter(())), student, teacher)
