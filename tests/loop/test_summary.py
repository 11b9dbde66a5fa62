from __future__ import annotations

import dataclasses
import json
import math

import pytest

from loop.summary import OUTPUTS, campaign_json, metrics_of, outputs_of, reader, totals_of
from store.records import Admitted, Scores, Spent, StageRow, Status
from tests.loop.campaign_example import ExampleLedger, outputs, score


def _finished() -> ExampleLedger:
    ledger = ExampleLedger()
    for index in (0, 1):
        ledger.begin(index)
        for stage, output in outputs(index).items():
            ledger.complete(index, stage, output)
        ledger.end(index, Status.COMPLETED)
    return ledger


def test_every_stage_of_a_round_has_its_record_and_numbers():
    stages = outputs(0) | outputs(1)
    assert OUTPUTS.keys() == stages.keys() | {"close"}
    for stage, output in stages.items():
        numbers = metrics_of(stage, output)
        assert numbers
        assert all(type(value) is float and math.isfinite(value) for value in numbers.values())


def test_score_numbers_by_hand():
    numbers = metrics_of("score", outputs(1)["score"])
    assert numbers == pytest.approx(
        {
            "delta/prompts": 4,
            "delta/mean": 0.75,
            "delta/q10": 0.0,
            "delta/q50": 0.5,
            "delta/q90": 1.7,
            "delta/zero_share": 0.5,
            "delta/interval_width": (0.3 + 0.3 + 0.4 + 0.4) / 4,
            "delta/differing_share": 0.5,
            "delta/noise_floor": 0.25,
            "delta/predicted": 0,
            "consistency/mean": 0.625,
            "agreement/mean": 0.5,
            "samples/teacher/score": 32,
            "samples/student/score": 16,
            "tokens/teacher/score": 320,
            "tokens/student/score": 160,
            "tokens/train/score": 0,
        }
    )


def test_yield_is_the_share_of_delta_prompts_among_the_parsed():
    numbers = metrics_of("synthesize", outputs(1)["synthesize"])
    assert numbers["yield/seed_guided"] == pytest.approx(2 / 8)
    assert numbers["yield/skill_guided"] == pytest.approx(4 / 5)
    assert numbers["synthesis/proposed"] == 20
    assert numbers["synthesis/admitted"] == 2
    assert numbers["synthesis/delta_mean"] == pytest.approx(1.0)


def test_accuracies_are_named_after_whose_they_are():
    assert metrics_of("baseline_teacher", outputs(0)["baseline_teacher"])["accuracy/teacher/mean"] == 0.875
    assert metrics_of("evaluate", outputs(1)["evaluate"]) == {
        "accuracy/student/chart": 1.0,
        "accuracy/student/document": 0.25,
        "accuracy/student/unseen": 0.5,
        "accuracy/student/mean": 0.625,
    }
    assert metrics_of("close", outputs(1)["evaluate"])["accuracy/closing/chart"] == 1.0


def test_training_shows_where_the_loss_began_and_ended():
    numbers = metrics_of("distill", outputs(1)["distill"])
    assert (numbers["train/loss_first"], numbers["train/loss_last"], numbers["train/steps"]) == (0.9, 0.4, 2)
    assert numbers["tokens/train/distill"] == 500


def test_what_a_generator_wrote_is_told_by_stage_and_in_total_and_only_where_there_is_one():
    named, written = metrics_of("target", outputs(1)["target"]), metrics_of("synthesize", outputs(1)["synthesize"])
    assert (named["target/contrasts"], named["target/contrasts_named"], named["samples/generator/target"]) == (4, 3, 4)
    assert (written["samples/generator/synthesize"], written["tokens/generator/synthesize"]) == (2, 200)
    assert totals_of(outputs(1))["tokens/generator"] == 600
    assert not [name for name in metrics_of("score", outputs(1)["score"]) if "generator" in name]


def test_the_totals_of_a_round_add_its_stages():
    totals = totals_of(outputs(1))
    assert totals["samples/teacher"] == 52
    assert totals["samples/student"] == 36
    assert totals["tokens/teacher"] == 520
    assert totals["tokens/train"] == 500


def test_an_output_of_another_stage_is_refused():
    with pytest.raises(TypeError, match="`score` returns Scores, not Admitted"):
        metrics_of("score", outputs(1)["synthesize"])


def test_numbers_that_are_not_finite_are_left_out():
    verdict = dataclasses.replace(outputs(1)["judge"], low=-math.inf, high=math.nan)
    assert metrics_of("judge", verdict).keys() == {"judge/promoted", "judge/gain"}


def test_nothing_scored_and_nothing_synthesised_has_numbers_too():
    assert metrics_of("score", Scores("s", (), Spent()))["delta/prompts"] == 0
    assert metrics_of("synthesize", Admitted((), (), {}, Spent()))["synthesis/proposed"] == 0


def test_the_json_of_a_finished_campaign_is_exactly_the_documented_one():
    ledger = _finished()
    candidate = outputs(1)["distill"].version.id
    shown = campaign_json(ledger.campaign, ledger.rounds("example"), reader(ledger))
    assert shown == {
        "campaign": "example",
        "status": "running",
        "baseline": {
            "eval": {
                "student": {"chart": 0.5, "document": 0.0, "unseen": 0.0, "mean": 0.25},
                "teacher": {"chart": 1.0, "document": 0.75, "unseen": 0.5, "mean": 0.875},
            }
        },
        "rounds": [
            {
                "index": 1,
                "status": "completed",
                "seconds": 14.0,
                "stages": [{"name": name, "status": "completed", "seconds": 2.0} for name in outputs(1)],
                "delta": {"mean": 0.75, "zero_share": 0.5, "prompts": 4},
                "trust": {
                    "differing_share": 0.5,
                    "noise_floor": 0.25,
                    "predicted": 0,
                    "selection_biased": 1.5,
                    "training": {
                        "prompts": 3,
                        "samples": 4,
                        "delta": 1.25,
                        "low": 1.0,
                        "high": 1.5,
                        "squared_distance": 0.75,
                    },
                    "pool": None,
                },
                "spent": {
                    "teacher_samples": 52,
                    "student_samples": 36,
                    "generator_samples": 6,
                    "generator_tokens": 600,
                    "train_tokens": 500,
                },
                "synthesis": {
                    "proposed": 20,
                    "admitted": 2,
                    "yield": {"seed_guided": 0.25, "skill_guided": 0.8, "new_chart": None},
                },
                "train": {"prompts": 3, "steps": 2, "alarm": ""},
                "eval": {"student": {"chart": 1.0, "document": 0.25, "unseen": 0.5, "mean": 0.625}},
                "student_version": candidate,
                "promoted": True,
            }
        ],
    }
    json.dumps(shown, allow_nan=False)


def test_the_json_has_the_same_keys_from_the_first_second_on():
    complete = _finished()
    begun = ExampleLedger()
    begun.begin(0)
    begun.begin(1)
    whole = campaign_json(complete.campaign, complete.rounds("example"), reader(complete))
    shown = campaign_json(begun.campaign, begun.rounds("example"), reader(begun))
    assert shown["baseline"] == {"eval": {"student": {}, "teacher": {}}}
    unknown = {"stages": [], "eval": {"student": {}}, "trust": {**whole["rounds"][0]["trust"], "training": None}}
    assert _keys(shown["rounds"][0]) == _keys({**whole["rounds"][0], **unknown})
    assert shown["rounds"][0]["delta"] == {"mean": None, "zero_share": None, "prompts": None}
    assert set(shown["rounds"][0]["spent"].values()) == {0}
    assert shown["rounds"][0]["promoted"] is None


def _keys(value: object) -> object:
    return {key: _keys(inner) for key, inner in value.items()} if isinstance(value, dict) else None


def test_a_mean_that_is_not_finite_is_null():
    ledger = ExampleLedger()
    ledger.begin(1)
    scores = dataclasses.replace(outputs(1)["score"], scores=(score("p0", 1e308), score("p1", 1e308)))
    ledger.complete(1, "score", scores)
    shown = campaign_json(ledger.campaign, ledger.rounds("example"), reader(ledger))
    assert shown["rounds"][0]["delta"] == {"mean": None, "zero_share": 0.0, "prompts": 2}


def test_outputs_come_back_as_the_records_that_went_in():
    ledger = _finished()
    assert outputs_of(ledger.rows[1], reader(ledger)) == outputs(1)


def test_reading_a_stage_without_output_says_so():
    with pytest.raises(KeyError, match="`score` has no output: it is failed"):
        reader(ExampleLedger())(StageRow("score", Status.FAILED, 1.0, 1, {}, None, "boom"))
