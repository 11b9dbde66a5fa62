"""The Δ report: right numbers, and samples that a later run does not pay for again."""

from __future__ import annotations

from pathlib import Path

from loop.campaign import run_campaign
from loop.delta_report import measure, report, summary_lines
from loop.stages import recorded
from store.records import Prompt, Scores
from tests.fakes import fake_ports, fake_settings
from tests.loop.campaign_example import STUDENT, score


def test_a_report_sums_up_by_skill() -> None:
    skills = {"a": "read", "b": "read", "c": "count", "d": ""}
    prompts = [Prompt.make(name, attributes={"skill": skill}) for name, skill in skills.items()]
    rows = [score(prompt.id, delta, 0.5) for prompt, delta in zip(prompts, (0.0, 1.0, 2.0, 0.0), strict=True)]
    made = report("pool", STUDENT, prompts, rows, samples=7)
    assert (made.whole.prompts, made.whole.delta, made.whole.zero_share, made.whole.consistency) == (4, 0.75, 0.5, 0.5)
    assert (made.whole.differing_share, made.whole.noise_floor) == (0.5, 0.25)
    assert made.quantiles[2] == 0.5
    assert [(group.name, group.delta, group.prompts) for group in made.skills] == [
        ("count", 2.0, 1),
        ("read", 0.5, 2),
        ("(no skill named)", 0.0, 1),
    ]
    assert "7 samples drawn for it" in summary_lines(made)[0]


def test_what_a_report_samples_a_run_does_not_sample_again(tmp_path: Path) -> None:
    beats: list[str] = []
    ports, student, teacher = fake_ports(tmp_path / "scored", beats.append)
    settings = fake_settings(rounds=1)
    made = measure(settings, ports, student, teacher)
    assert made.samples == 2 * 4 * 48
    drawn = list(beats)
    assert measure(settings, ports, student, teacher) == made
    assert beats == drawn, "nothing is sampled twice"
    run_campaign(settings, ports, student, teacher)
    scored = recorded(ports.ledger, ports.blobs, "fake", 1, "score", Scores)
    assert scored is not None
    assert (scored.spent.teacher_samples, scored.spent.student_samples) == (0, 0)

    other, student, teacher = fake_ports(tmp_path / "alone")
    run_campaign(settings, other, student, teacher)
    alone = recorded(other.ledger, other.blobs, "fake", 1, "score", Scores)
    assert alone is not None
    assert alone.scores == scored.scores


def test_after_a_run_the_report_is_about_the_grown_pool_and_the_kept_student(tmp_path: Path) -> None:
    ports, student, teacher = fake_ports(tmp_path)
    settings = fake_settings(rounds=1)
    kept = run_campaign(settings, ports, student, teacher)
    made = measure(settings, ports, student, teacher)
    assert made.student.id == kept.id != student.id
    assert made.whole.prompts == len(ports.ledger.pool("fake")) > 48
