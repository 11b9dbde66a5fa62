"""What every implementation of the `Ledger` port promises."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loop.ports import Ledger
from store.errors import Unstorable, UsageError
from store.ledger import Ledger as SqlLedger
from store.records import (
    CampaignRow,
    Candidate,
    Fate,
    Origin,
    Prompt,
    Quarantined,
    Role,
    Rollout,
    RolloutStatus,
    Status,
    Version,
)
from tests.store.facts import (
    PROMPTS,
    STUDENT,
    TEACHER,
    aims_of,
    candidates_of,
    harness_report_of,
    report_of,
    rollout_of,
    score_of,
    start,
    unit_vectors,
)
from tests.store.strategies import NASTY, prompts, rollouts_of

IDS = [prompt.id for prompt in PROMPTS]
EXAMPLES = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
NUMBERS = itertools.count()
"""Examples of one test share a ledger: each must add facts that none has added before."""


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    opened = SqlLedger(ledger_url)
    yield opened
    opened.close()


# prompts and pools


def test_prompts_come_back_in_the_order_asked_for(ledger: Ledger) -> None:
    assert ledger.add_prompts(PROMPTS) == len(PROMPTS)
    asked = [IDS[3], IDS[0], IDS[3]]
    assert [prompt.id for prompt in ledger.prompts(asked)] == asked
    assert ledger.prompts(IDS) == PROMPTS
    assert ledger.prompts([]) == ()


def test_a_missing_prompt_is_named(ledger: Ledger) -> None:
    ledger.add_prompts(PROMPTS[:1])
    with pytest.raises(KeyError, match="nowhere"):
        ledger.prompts([IDS[0], "nowhere", "nor this"])


def test_a_pool_is_in_order_of_id_and_counts_what_is_new(ledger: Ledger) -> None:
    assert ledger.add_prompts(PROMPTS[4:][::-1], pool="p") == 4
    assert ledger.add_prompts(PROMPTS, pool="p") == 4
    assert ledger.add_prompts(PROMPTS, pool="p") == 0
    assert ledger.add_prompts(PROMPTS[:1], pool="q") == 1
    assert ledger.pool("p") == PROMPTS
    assert ledger.pool("q") == PROMPTS[:1]
    assert ledger.pool("unheard of") == ()


def test_a_prompt_twice_in_one_call_is_one_prompt(ledger: Ledger) -> None:
    assert ledger.add_prompts([PROMPTS[0], PROMPTS[0]], pool="p") == 1
    assert ledger.pool("p") == PROMPTS[:1]


def test_a_known_prompt_keeps_its_first_lineage(ledger: Ledger) -> None:
    ledger.add_prompts(PROMPTS)
    ledger.add_prompts([replace(PROMPTS[0], origin=Origin.SKILL_GUIDED, parent=IDS[1], attributes={"a": "b"})])
    assert ledger.prompts(IDS[:1]) == PROMPTS[:1]


def test_a_child_may_come_before_its_parent_in_a_call(ledger: Ledger) -> None:
    child = Prompt.make("And the next?", (), Origin.SEED_GUIDED, IDS[0])
    ledger.add_prompts([child, PROMPTS[0]])
    assert ledger.prompts([child.id]) == (child,)


@given(made=st.lists(prompts, max_size=5, unique_by=lambda prompt: prompt.id))
@EXAMPLES
def test_any_text_survives_in_prompts(ledger: Ledger, made: list[Prompt]) -> None:
    fresh = [
        Prompt.make(f"{next(NUMBERS)}{prompt.question}", prompt.images, prompt.origin, None, prompt.attributes)
        for prompt in made
    ]
    ledger.add_prompts(fresh)
    assert ledger.prompts([prompt.id for prompt in fresh]) == tuple(fresh)


def test_more_ids_than_a_statement_takes_variables(ledger: Ledger) -> None:
    many = [Prompt.make(f"number {n}") for n in range(2_500)]
    ledger.add_prompts(many, pool="p")
    assert ledger.prompts([prompt.id for prompt in many]) == tuple(many)
    assert len(ledger.pool("p")) == len(many)


def test_quarantine_keeps_the_first_reason_of_a_source(ledger: Ledger) -> None:
    rows = [Quarantined(f"file:{n}", "".join(NASTY), "empty question") for n in (10, 9)]
    ledger.quarantine("p", rows)
    ledger.quarantine("p", [replace(rows[0], reason="another"), Quarantined("file:11", "q", "r")])
    ledger.quarantine("q", rows[:1])
    assert ledger.quarantined("p") == (*rows, Quarantined("file:11", "q", "r"))
    assert ledger.quarantined("q") == (rows[0],)


# embeddings


def test_embeddings_come_back_bit_for_bit(ledger: Ledger) -> None:
    vectors = unit_vectors(IDS)
    ledger.add_embeddings("one", vectors)
    ledger.add_embeddings("one", {IDS[0]: np.zeros(8, np.float32)})
    ledger.add_embeddings("two", {IDS[0]: vectors[IDS[1]]})
    found = ledger.embeddings("one", [*IDS, "unknown"])
    assert found.keys() == vectors.keys()
    assert all(found[id].dtype == np.float32 and np.array_equal(found[id], vectors[id]) for id in IDS)
    assert np.array_equal(ledger.embeddings("two", IDS)[IDS[0]], vectors[IDS[1]])
    assert ledger.embeddings("three", IDS) == {}


# rollouts and scores


def test_rollouts_are_by_prompt_and_in_order_of_index(ledger: Ledger) -> None:
    start(ledger)
    ledger.add_prompts(PROMPTS)
    rows = [rollout_of(prompt, index) for prompt in PROMPTS[:2] for index in (11, 2, 0)]
    ledger.add_rollouts(rows)
    ledger.add_rollouts([rollout_of(PROMPTS[0], 0, STUDENT), rollout_of(PROMPTS[0], 0, sampling="cold")])
    found = ledger.rollouts(TEACHER.id, "hot", IDS)
    assert found == {prompt.id: tuple(rollout_of(prompt, index) for index in (0, 2, 11)) for prompt in PROMPTS[:2]}
    assert ledger.rollouts(STUDENT.id, "hot", IDS) == {IDS[0]: (rollout_of(PROMPTS[0], 0, STUDENT),)}
    assert ledger.rollouts(TEACHER.id, "hot", IDS[2:]) == {}


def test_samplings_of_a_version_are_found_by_their_beginning(ledger: Ledger) -> None:
    start(ledger)
    ledger.add_prompts(PROMPTS)
    names = ("ab.1", "ab.2", "ab", "ac.1", "aa.9")
    ledger.add_rollouts([rollout_of(PROMPTS[0], index, sampling=name) for name in names for index in (0, 1)])
    ledger.add_rollouts([rollout_of(PROMPTS[0], 0, STUDENT, sampling="ab.3")])
    assert ledger.samplings(TEACHER.id, "ab.") == ("ab.1", "ab.2")
    assert ledger.samplings(STUDENT.id, "ab.") == ("ab.3",)
    assert ledger.samplings(TEACHER.id, "ad.") == ()


def test_a_rollout_that_is_there_is_kept(ledger: Ledger) -> None:
    start(ledger)
    ledger.add_prompts(PROMPTS)
    first = rollout_of(PROMPTS[0], 0)
    ledger.add_rollouts([first])
    ledger.add_rollouts([replace(first, text="another"), rollout_of(PROMPTS[0], 1)])
    assert ledger.rollouts(TEACHER.id, "hot", IDS) == {IDS[0]: (first, rollout_of(PROMPTS[0], 1))}


@given(made=rollouts_of(IDS[0], TEACHER.id))
@EXAMPLES
def test_any_text_survives_in_rollouts(ledger: Ledger, made: list[Rollout]) -> None:
    version = Version(f"version {next(NUMBERS)}", Role.TEACHER, "x")
    made = [replace(rollout, version=version.id) for rollout in made]
    ledger.add_version(version)
    ledger.add_prompts(PROMPTS[:1])
    ledger.add_rollouts(made)
    found = [row for sampling in ("cold", "hot") for row in ledger.rollouts(version.id, sampling, IDS).get(IDS[0], ())]
    assert found == made
    assert all(isinstance(row.status, RolloutStatus) for row in found)


def test_scores_are_by_round_in_order_of_id_and_the_last_attempt_counts(ledger: Ledger) -> None:
    start(ledger)
    ledger.add_prompts(PROMPTS)
    ledger.add_scores("demo", 1, [score_of(prompt, 0.1) for prompt in PROMPTS])
    ledger.add_scores("demo", 1, [score_of(prompt, 0.0) for prompt in PROMPTS[::-1]])
    assert ledger.scores("demo", 1) == tuple(score_of(prompt, 0.0) for prompt in PROMPTS)
    assert ledger.scores("demo", 0) == ()


def test_a_score_that_is_not_a_number_is_refused_whole(ledger: Ledger) -> None:
    start(ledger)
    ledger.add_prompts(PROMPTS)
    with pytest.raises(Unstorable, match=IDS[1]):
        ledger.add_scores("demo", 1, [score_of(PROMPTS[0]), score_of(PROMPTS[1], float("nan"))])
    assert ledger.scores("demo", 1) == ()


# regions and candidates


def test_regions_come_back_and_the_last_attempt_counts(ledger: Ledger) -> None:
    start(ledger)
    ledger.add_aims("demo", 1, aims_of(PROMPTS, "c" * 64, num=4))
    ledger.add_aims("demo", 1, aims_of(PROMPTS, "c" * 64, num=3))
    assert ledger.regions("demo", 1) == aims_of(PROMPTS, "c" * 64, num=3).regions
    assert ledger.regions("demo", 0) == ()


def test_every_candidate_is_kept_in_order(ledger: Ledger) -> None:
    start(ledger)
    made = candidates_of(PROMPTS[0])
    ledger.add_candidates("demo", 1, made[::-1])
    ledger.add_candidates("demo", 1, made)
    ledger.add_candidates("demo", 1, made)
    assert ledger.candidates("demo", 1) == made
    assert ledger.candidates("demo", 0) == ()


def test_a_candidate_of_any_text_is_kept(ledger: Ledger) -> None:
    start(ledger)
    text = "".join(NASTY)
    made = (Candidate(Prompt.make(text, ("i" * 64,), attributes={text: text}), Fate.UNPARSED, text, 0),)
    ledger.add_candidates("demo", 1, made)
    assert ledger.candidates("demo", 1) == made


# versions and evaluations


def test_versions_come_back(ledger: Ledger) -> None:
    start(ledger)
    child = Version("c" * 64, Role.STUDENT, "checkpoint:c", STUDENT.id, "demo", 1)
    ledger.add_version(child)
    ledger.add_version(replace(child, source="elsewhere"))
    assert ledger.version(child.id) == child
    assert ledger.version(TEACHER.id) == TEACHER
    with pytest.raises(KeyError, match="no-such-version"):
        ledger.version("no-such-version")


def test_evaluations_come_back(ledger: Ledger) -> None:
    start(ledger)
    report = report_of(PROMPTS)
    ledger.add_evaluation(STUDENT.id, "chart@a", report)
    ledger.add_evaluation(STUDENT.id, "chart@a", replace(report, metric="another"))
    assert ledger.find_evaluation(STUDENT.id, "chart@a") == report
    assert ledger.find_evaluation(STUDENT.id, "chart@b") is None
    assert ledger.find_evaluation(TEACHER.id, "chart@a") is None


def test_what_a_harness_says_comes_back_with_the_evaluation(ledger: Ledger) -> None:
    start(ledger)
    report = harness_report_of(PROMPTS, samples="b" * 64)
    assert report.harness is not None
    ledger.add_evaluation(STUDENT.id, "chartqa@a", report)
    ledger.add_evaluation(
        STUDENT.id, "chartqa@a", replace(report, harness=replace(report.harness, harness_version="9"))
    )
    ledger.add_evaluation(TEACHER.id, "chartqa@a", report_of(PROMPTS, "chartqa"))
    assert ledger.find_evaluation(STUDENT.id, "chartqa@a") == report
    assert ledger.find_evaluation(TEACHER.id, "chartqa@a") == report_of(PROMPTS, "chartqa")


def test_a_suite_of_any_name_is_kept(ledger: Ledger) -> None:
    start(ledger)
    name = "".join(NASTY)
    report = replace(report_of(PROMPTS, suite=name), metric=name)
    ledger.add_evaluation(STUDENT.id, f"{name}@a", report)
    assert ledger.find_evaluation(STUDENT.id, f"{name}@a") == report


# campaigns, rounds and stages


def test_a_campaign_is_reopened_but_not_under_another_identity(ledger: Ledger) -> None:
    first = ledger.start_campaign("demo", seed=3, pool="pool", identity="pair")
    assert first == CampaignRow("demo", Status.RUNNING, 3, "pool", "pair", first.created)
    ledger.end_campaign("demo", Status.COMPLETED)
    ended = ledger.find_campaign("demo")
    assert ended == replace(first, status=Status.COMPLETED)
    with pytest.raises(UsageError, match="demo"):
        ledger.start_campaign("demo", seed=3, pool="pool", identity="another pair")
    assert ledger.find_campaign("demo") == ended
    assert ledger.start_campaign("demo", seed=3, pool="pool", identity="pair") == first
    assert ledger.find_campaign("unheard of") is None


def test_campaigns_are_listed_oldest_first(ledger: Ledger) -> None:
    for name in ("zebra", "ant", "mole"):
        ledger.start_campaign(name, seed=0, pool="p", identity="i")
    ledger.start_campaign("ant", seed=0, pool="p", identity="i")
    assert [campaign.name for campaign in ledger.campaigns()] == ["zebra", "ant", "mole"]


def test_a_reopened_round_keeps_the_settings_of_its_first_start(ledger: Ledger) -> None:
    ledger.start_campaign("demo", seed=3, pool="pool", identity="pair")
    first = ledger.start_round("demo", 1, settings='{"a": 1}', commit="abc", dirty=True)
    assert (first.status, first.settings, first.commit, first.dirty, first.stages) == (
        Status.RUNNING,
        '{"a": 1}',
        "abc",
        True,
        (),
    )
    ledger.end_round("demo", 1, Status.FAILED)
    assert ledger.find_round("demo", 1) == replace(first, status=Status.FAILED)
    assert ledger.start_round("demo", 1, settings='{"a": 2}', commit="def", dirty=False) == first
    assert ledger.find_round("demo", 2) is None


def test_rounds_tell_their_stages_in_order_of_start(ledger: Ledger) -> None:
    start(ledger, rounds=3)
    for name in ("score", "aim", "make"):
        ledger.start_stage("demo", 2, name, {"work": "w"})
    ledger.start_stage("demo", 2, "score", {"work": "w"})
    rounds = ledger.rounds("demo")
    assert [row.index for row in rounds] == [0, 1, 2]
    assert [[stage.name for stage in row.stages] for row in rounds] == [[], [], ["score", "aim", "make"]]
    assert ledger.find_round("demo", 2) == rounds[2]
    assert ledger.rounds("unheard of") == ()


def test_a_stage_adds_up_its_attempts(ledger: Ledger) -> None:
    start(ledger)
    assert ledger.find_stage("demo", 1, "score") is None
    ledger.start_stage("demo", 1, "score", {"work": "w"})
    ledger.end_stage("demo", 1, "score", Status.FAILED, seconds=1.5, output=None, error="disk \ud83d full")
    failed = ledger.find_stage("demo", 1, "score")
    assert failed is not None
    assert (failed.status, failed.seconds, failed.attempts, failed.error) == (Status.FAILED, 1.5, 1, "disk \ud83d full")
    ledger.start_stage("demo", 1, "score", {"work": "v"})
    ledger.end_stage("demo", 1, "score", Status.COMPLETED, seconds=2.0, output="o" * 64, error=None)
    stage = ledger.find_stage("demo", 1, "score")
    assert stage is not None
    assert (stage.status, stage.seconds, stage.attempts, stage.error) == (Status.COMPLETED, 3.5, 2, None)
    assert (dict(stage.inputs), stage.output) == ({"work": "v"}, "o" * 64)
    assert ledger.rounds("demo")[1].stages == (stage,)


# plans


def test_a_plan_is_recorded_once(ledger: Ledger) -> None:
    assert ledger.find_plan("demo/1/score") is None
    ledger.add_plan("demo/1/score", [["0", IDS[0]], ["2", IDS[1], IDS[2]]])
    ledger.add_plan("demo/1/score", (("0", IDS[0]), ("2", IDS[1], IDS[2])))
    assert ledger.find_plan("demo/1/score") == (("0", IDS[0]), ("2", IDS[1], IDS[2]))
    with pytest.raises(ValueError, match="demo/1/score"):
        ledger.add_plan("demo/1/score", [["0", IDS[0]]])
    assert ledger.find_plan("demo/1/score") == (("0", IDS[0]), ("2", IDS[1], IDS[2]))


def test_an_empty_plan_is_a_plan(ledger: Ledger) -> None:
    ledger.add_plan("nothing to do", [])
    assert ledger.find_plan("nothing to do") == ()


def test_nothing_is_added_by_empty_calls(ledger: Ledger) -> None:
    start(ledger)
    assert ledger.add_prompts([], pool="p") == 0
    ledger.quarantine("p", [])
    ledger.add_embeddings("e", {})
    ledger.add_rollouts([])
    ledger.add_scores("demo", 1, [])
    ledger.add_candidates("demo", 1, [])
    assert ledger.rollouts(TEACHER.id, "hot", []) == {}
    assert (ledger.pool("p"), ledger.quarantined("p"), ledger.scores("demo", 1)) == ((), (), ())
