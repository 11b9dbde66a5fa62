"""`verify` names every planted fault, and the fingerprint depends on the facts alone."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from store.errors import Missing
from store.records import Prompt, Role, Status, Version
from store.verify import Verification, verify
from tests.store.facts import ADAPTER, STUDENT, TEACHER, FilledHome, rollout_of, score_of


def verified(home: FilledHome, campaign: str | None = None) -> Verification:
    return verify(home.ledger, home.blobs, home.checkpoints, home.indices, campaign=campaign)


def sql(home: FilledHome, statement: str) -> None:
    """Change a row behind the ledger's back."""
    connection = sqlite3.connect(str(home.ledger.database.url.database))
    connection.execute("PRAGMA foreign_keys = OFF")
    assert connection.execute(statement).rowcount > 0
    connection.commit()
    connection.close()


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_sound_home_has_no_problems(home: FilledHome) -> None:
    assert verified(home).problems == ()
    assert len(verified(home).fingerprint) == 64


Fault = Callable[[FilledHome], object]

FAULTS: dict[str, tuple[Fault, str]] = {
    "image changed": (lambda home: flip(home.blobs.path(home.image)), "do not match"),
    "image gone": (lambda home: home.blobs.path(home.image).unlink(), "missing, an image of prompt"),
    "output changed": (lambda home: flip(home.blobs.path(home.output)), "do not match"),
    "output gone": (lambda home: home.blobs.path(home.output).unlink(), "missing, the output of stage `score`"),
    "orphan blob changed": (lambda home: flip(home.blobs.path(home.blobs.put(b"orphan"))), "do not match"),
    "centroids unknown": (lambda home: sql(home, "UPDATE regions SET centroids = 'ab'"), "the centroids of region"),
    "question changed": (lambda home: sql(home, "UPDATE prompts SET question = 'Q?'"), "the digest of its content"),
    "candidate changed": (lambda home: sql(home, "UPDATE candidates SET question = 'Q?'"), "candidate 0 of round 1"),
    "row unreadable": (lambda home: sql(home, "UPDATE prompts SET images = '[\"'"), "cannot be read"),
    "prompt gone": (lambda home: sql(home, "DELETE FROM prompts"), "refers to a row of prompts"),
    "weights changed": (
        lambda home: flip(home.checkpoints.path(home.checkpoint) / "model.safetensors"),
        "do not match the checkpoint's digest",
    ),
    "weights gone": (
        lambda home: (home.checkpoints.path(home.checkpoint) / "model.safetensors").unlink(),
        "do not match the checkpoint's digest",
    ),
    "adapter changed": (
        lambda home: flip(home.checkpoints.path(home.checkpoint) / ADAPTER),
        "do not match the checkpoint's digest",
    ),
    "adapter gone": (
        lambda home: shutil.rmtree((home.checkpoints.path(home.checkpoint) / ADAPTER).parent),
        "do not match the checkpoint's digest",
    ),
    "checkpoint gone": (
        lambda home: home.checkpoints.path(home.checkpoint).rename(home.indices.parent / "elsewhere"),
        "no such checkpoint",
    ),
    "checkpoint of another version": (
        lambda home: sql(home, f"UPDATE versions SET source = 'checkpoint:{'e' * 64}' WHERE campaign = 'demo'"),
        "the two must be equal",
    ),
    "embedding changed": (
        lambda home: sql(home, "UPDATE embeddings SET vector = x'0000803f0000803f'"),
        "not a unit vector",
    ),
    "embedding cut": (lambda home: sql(home, "UPDATE embeddings SET vector = x'000080'"), "not a unit vector"),
    "index changed": (lambda home: flip(home.indices / "index-pool.faiss"), "does not match its manifest"),
    "index gone": (lambda home: (home.indices / "index-pool.faiss").unlink(), "index file is missing"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_named(home: FilledHome, name: str) -> None:
    plant, message = FAULTS[name]
    plant(home)
    problems = verified(home).problems
    assert any(message in problem for problem in problems), problems


def test_a_blob_that_no_row_names_is_an_orphan_and_no_problem(home: FilledHome) -> None:
    assert verified(home).orphans == ()
    orphan = home.blobs.put(b"orphan")
    assert (verified(home).orphans, verified(home).problems) == ((orphan,), ())


def test_every_fault_is_named_at_once(home: FilledHome) -> None:
    flip(home.blobs.path(home.image))
    home.blobs.path(home.output).unlink()
    flip(home.indices / "index-pool.faiss")
    assert len(verified(home).problems) == 3


def test_two_homes_with_the_same_facts_have_one_fingerprint(tmp_path: Path, home: FilledHome) -> None:
    rng = random.Random(5)
    other = FilledHome(tmp_path / "other")
    other.fill(order=lambda rows: rng.sample(rows, len(rows)))
    assert verified(other).fingerprint == verified(home).fingerprint
    assert verified(other, "demo").fingerprint == verified(home, "demo").fingerprint
    other.ledger.close()


def test_the_ways_of_a_run_are_no_facts(home: FilledHome) -> None:
    before, of_campaign = verified(home).fingerprint, verified(home, "demo").fingerprint
    home.ledger.start_campaign("demo", seed=3, pool="pool", identity="pair-and-seed")
    home.ledger.end_campaign("demo", Status.STOPPED)
    home.ledger.end_round("demo", 1, Status.FAILED)
    home.ledger.start_stage("demo", 1, "distill", {"work": "w"})
    home.ledger.end_stage("demo", 1, "distill", Status.FAILED, seconds=9.0, output=None, error="disk full")
    home.ledger.add_plan("demo/1/score", [["a"]])
    home.blobs.put(b"orphan")
    sql(home, "UPDATE rounds SET 'commit' = 'def', dirty = 1")
    sql(home, "UPDATE stages SET seconds = seconds + 1, attempts = attempts + 1")
    sql(home, "UPDATE prompts SET created = 'yesterday'")
    sql(home, "UPDATE versions SET source = 'elsewhere' WHERE role = 'teacher'")
    assert (verified(home).fingerprint, verified(home, "demo").fingerprint) == (before, of_campaign)


CHANGES = [
    'UPDATE prompts SET attributes = \'{"a": "b"}\'',
    "UPDATE prompts SET origin = 'skill_guided'",
    "DELETE FROM pool_prompts",
    "UPDATE quarantine SET reason = 'another'",
    "UPDATE rollouts SET text = text || ' '",
    "UPDATE rollouts SET status = 'truncated'",
    "UPDATE scores SET delta = delta + 1e-12",
    "UPDATE regions SET budget = budget + 1",
    "UPDATE regions SET posterior_mean = 0.5",
    "UPDATE candidates SET fate = 'admitted'",
    "UPDATE candidates SET position = position + 10",
    "UPDATE versions SET role = 'teacher'",
    "UPDATE evaluations SET \"values\" = '[1.0]'",
    "UPDATE harness_scores SET stderr = 0.5",
    "UPDATE rounds SET settings = '{}'",
    "UPDATE stages SET inputs = '{}'",
    "UPDATE stages SET output = 'ab'",
    "UPDATE campaigns SET seed = 4",
]


@pytest.mark.parametrize("change", CHANGES)
def test_every_fact_is_in_the_fingerprint(home: FilledHome, change: str) -> None:
    before, of_campaign = verified(home).fingerprint, verified(home, "demo").fingerprint
    sql(home, change)
    assert verified(home).fingerprint != before
    assert verified(home, "demo").fingerprint != of_campaign


def test_another_campaign_on_other_prompts_leaves_the_fingerprint_of_the_first(home: FilledHome) -> None:
    before, of_campaign = verified(home).fingerprint, verified(home, "demo").fingerprint
    other = [Prompt.make(f"Something else {n}?") for n in range(3)]
    home.ledger.add_prompts(other, pool="another pool")
    home.ledger.add_version(Version("o" * 64, Role.STUDENT, "embedded:other"))
    home.ledger.start_campaign("other", seed=4, pool="another pool", identity="i")
    home.ledger.start_round("other", 1, settings="{}", commit="", dirty=False)
    home.ledger.add_rollouts([rollout_of(prompt, 0, version) for prompt in other for version in (TEACHER, STUDENT)])
    home.ledger.add_scores("other", 1, [score_of(prompt) for prompt in other])
    assert verified(home).fingerprint != before
    assert verified(home, "demo").fingerprint == of_campaign
    assert verified(home, "other").fingerprint not in (before, of_campaign)


def test_an_unknown_campaign_is_named(home: FilledHome) -> None:
    with pytest.raises(Missing, match="unheard"):
        verified(home, "unheard")
