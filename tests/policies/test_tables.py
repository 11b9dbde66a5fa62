"""Count tables of a pool: what shares a table, what does not, and hostile codes."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from policies.tables import Tables, count_tables, tables_of_counts

Codes = NDArray[np.int16]

PROMPT = st.lists(st.integers(-1, 5), min_size=4, max_size=4).filter(lambda codes: max(codes) >= 0)
POOLS = st.lists(st.tuples(PROMPT, PROMPT), min_size=1, max_size=8)


def pairs_of(tables: Tables, prompt: int) -> list[tuple[int, int]]:
    entries = slice(*tables.starts[tables.of_prompt[prompt] :][:2])
    return list(zip(tables.student[entries].tolist(), tables.teacher[entries].tolist(), strict=True))


def counted(student: list[int], teacher: list[int]) -> list[tuple[int, int]]:
    tried, taught = Counter(student), Counter(teacher)
    return sorted(((tried[code], taught[code]) for code in (tried.keys() | taught.keys()) - {-1}), reverse=True)


@given(POOLS)
def test_tables_are_the_counts_of_each_prompt(pool: list[tuple[list[int], list[int]]]) -> None:
    student, teacher = (np.array(side, dtype=np.int16) for side in zip(*pool, strict=True))
    tables = count_tables(student, teacher)
    expected = [counted(*prompt) for prompt in pool]
    assert [pairs_of(tables, prompt) for prompt in range(len(pool))] == expected
    assert tables.num_distinct == len({tuple(pairs) for pairs in expected})
    assert tables.num_student[tables.of_prompt].tolist() == [sum(x for x, _ in pairs) for pairs in expected]


@given(POOLS, st.permutations(range(6)), st.randoms(use_true_random=False))
def test_tables_do_not_depend_on_names_and_order(
    pool: list[tuple[list[int], list[int]]], names: list[int], random: object
) -> None:
    student, teacher = (np.array(side, dtype=np.int16) for side in zip(*pool, strict=True))
    renamed = np.array([*names, -1], dtype=np.int16)
    order = list(range(4))
    random.shuffle(order)  # type: ignore[attr-defined]
    one, other = count_tables(student, teacher), count_tables(renamed[student][:, order], renamed[teacher])
    for field in ("student", "teacher", "starts", "of_prompt"):
        assert np.array_equal(getattr(one, field), getattr(other, field))


def test_tables_of_counts_are_those_of_codes() -> None:
    codes = count_tables(np.array([[0, 0, 3], [1, 1, 1]]), np.array([[3, 7], [1, 2]]))
    counts = tables_of_counts(np.array([[0, 2, 1], [3, 0, 0]]), np.array([[1, 0, 1], [1, 1, 0]]))
    assert [pairs_of(codes, i) for i in (0, 1)] == [pairs_of(counts, i) for i in (0, 1)]


def test_groups_of_equal_sizes_hold_each_table_once() -> None:
    rng = np.random.default_rng(0)
    student, teacher = rng.integers(-1, 4, size=(60, 3)), rng.integers(-1, 4, size=(60, 2))
    student[:, 0], teacher[:, 0] = 0, 1
    tables = count_tables(student, teacher)
    groups = list(tables.by_sizes())
    assert sorted(np.concatenate([group.tables for group in groups]).tolist()) == list(range(tables.num_distinct))
    for group in groups:
        assert set(np.bincount(group.rows, weights=group.student).tolist()) == {group.n}
        assert set(np.bincount(group.rows, weights=group.teacher).tolist()) == {group.m}


@pytest.mark.parametrize(
    ("student", "teacher", "side"), [([[0], [-1]], [[0], [0]], "student"), ([[0], [0]], [[0], [-1]], "teacher")]
)
def test_no_samples_on_a_side_is_refused(student: list[list[int]], teacher: list[list[int]], side: str) -> None:
    with pytest.raises(ValueError, match=f"the {side} has no samples on prompt number 1"):
        count_tables(np.array(student), np.array(teacher))


def test_sides_without_columns_are_refused_too() -> None:
    with pytest.raises(ValueError, match="no samples"):
        count_tables(np.zeros((2, 0), dtype=np.int16), np.zeros((2, 3), dtype=np.int16))
    with pytest.raises(ValueError, match="no samples"):
        count_tables(np.zeros((2, 0), dtype=np.int16), np.zeros((2, 0), dtype=np.int16))


def test_codes_of_different_pools_are_refused() -> None:
    with pytest.raises(ValueError, match="want"):
        count_tables(np.zeros((2, 3), dtype=np.int16), np.zeros((3, 3), dtype=np.int16))


def test_an_empty_pool_has_no_tables() -> None:
    tables = count_tables(np.zeros((0, 16), dtype=np.int16), np.zeros((0, 16), dtype=np.int16))
    assert (tables.num_distinct, len(tables.of_prompt), len(tables.num_student)) == (0, 0, 0)


def test_the_largest_codes_are_told_apart() -> None:
    widest = np.iinfo(np.int16).max
    tables = count_tables(np.array([[widest, widest - 1]], dtype=np.int16), np.array([[widest]], dtype=np.int16))
    assert pairs_of(tables, 0) == [(1, 1), (1, 0)]
    wide = count_tables(np.array([[2**40, 2**40 + 1]]), np.array([[2**40]]))
    assert pairs_of(wide, 0) == [(1, 1), (1, 0)]
