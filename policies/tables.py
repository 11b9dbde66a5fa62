"""Count tables of a pool: how often each side gave each answer class, for all prompts at once.

    class codes [prompts, n] and [prompts, m]  ->  entries (x, y) of every prompt  ->  distinct tables

A prompt's table is the multiset of its (x, y): how many of the student's and of the teacher's samples fell into one
class. What the class is called matters to nobody, so prompts with the same multiset share one table, and everything
that is computed from counts is computed once for each distinct one. With 2 x 16 samples, 200,000 prompts that mostly
agree have a few thousand.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Tables:
    """The distinct count tables of a pool, ragged: table t has the entries `starts[t]` to `starts[t + 1]`."""

    student: Ints
    """[entries] samples of the student in a class; within a table by descending (x, y)"""
    teacher: Ints
    """[entries] samples of the teacher in the same class; never both zero"""
    starts: Ints
    """[tables + 1]"""
    of_prompt: Ints
    """[prompts] the table of each prompt"""

    @property
    def num_distinct(self) -> int:
        """How many tables there are, which is how often anything is computed."""
        return len(self.starts) - 1

    @property
    def num_student(self) -> Ints:
        """[tables] samples of the student."""
        return self.per_table(self.student)

    @property
    def num_teacher(self) -> Ints:
        """[tables] samples of the teacher."""
        return self.per_table(self.teacher)

    @property
    def table(self) -> Ints:
        """[entries] the table that an entry belongs to."""
        return np.repeat(np.arange(self.num_distinct), np.diff(self.starts))

    def per_table(self, values: NDArray) -> NDArray:
        """Sums [..., tables] of what entries [..., entries] have."""
        if not self.num_distinct:
            return np.zeros((*values.shape[:-1], 0), dtype=values.dtype)
        sums: NDArray = np.add.reduceat(values, self.starts[:-1], axis=-1)
        return sums

    def by_sizes(self) -> Iterator[SameSizes]:
        """The tables in groups of equal sample counts, in which formulas and caches are the same."""
        num_student, num_teacher, table = self.num_student, self.num_teacher, self.table
        width = int(num_teacher.max(initial=0)) + 1
        sizes = num_student * width + num_teacher
        for size in np.unique(sizes).tolist():
            chosen = sizes == size
            kept, rows = chosen[table], np.cumsum(chosen) - 1
            places, entries = np.flatnonzero(chosen), rows[table]
            n, m = divmod(size, width)
            yield SameSizes(n, m, places, entries[kept], self.student[kept], self.teacher[kept])


@dataclass(frozen=True)
class SameSizes:
    """Those of a pool's tables that have n of the student's and m of the teacher's samples."""

    n: int
    m: int
    tables: Ints
    """[group] their places among all tables"""
    rows: Ints
    """[entries] which of the group an entry belongs to, ascending"""
    student: Ints
    """[entries]"""
    teacher: Ints
    """[entries]"""


def count_tables(student: NDArray[np.integer], teacher: NDArray[np.integer]) -> Tables:
    """The tables of class codes: student [prompts, n] and teacher [prompts, m], any integers from 0; -1 is no sample.

    Codes are compared within a prompt only. ValueError if a prompt has no sample on a side.
    """
    if student.ndim != 2 or teacher.ndim != 2 or len(student) != len(teacher):
        raise ValueError(f"codes have shapes {student.shape} and {teacher.shape}; want [prompts, n] and [prompts, m]")
    widest = max(int(codes.max(initial=0)) for codes in (student, teacher))
    # Both sides in one row, the side in the lowest bit: sorted, the samples of a class stand together.
    codes: NDArray[np.signedinteger] = np.concatenate([student, teacher], axis=1).astype(
        np.int32 if widest < 2**30 else np.int64
    )
    codes *= 2
    codes[:, student.shape[1] :] += 1
    codes.sort(axis=1)
    rows, columns = codes.shape
    flat = codes.ravel()
    first = np.ones(flat.size, dtype=bool)
    first[1:] = flat[1:] >> 1 != flat[:-1] >> 1
    if columns:
        first[::columns] = True
    begins = np.flatnonzero(first)
    if not begins.size:
        nothing = np.zeros(0, dtype=np.int64)
        return _tables(nothing, nothing, nothing, rows)
    sizes = np.diff(begins, append=flat.size)
    taught = np.add.reduceat(flat & 1, begins, dtype=np.int64)
    real = flat[begins] >= 0
    return _tables((begins // max(columns, 1))[real], (sizes - taught)[real], taught[real], rows)


def tables_of_counts(student: NDArray[np.integer], teacher: NDArray[np.integer]) -> Tables:
    """The tables of counts that are aligned already: both [prompts, classes]. ValueError as for `count_tables`."""
    rows, classes = np.nonzero((student > 0) | (teacher > 0))
    return _tables(rows, student[rows, classes].astype(np.int64), teacher[rows, classes].astype(np.int64), len(student))


def distinct(rows: Ints, keys: Ints, num_rows: int) -> tuple[Ints, Ints]:
    """The first row of each distinct multiset of keys, and the multiset of each row: ([distinct], [rows]).

    `rows` ascends; key i belongs to row rows[i]. A multiset is known by the sum, modulo 2^64, of its
    scrambled keys. That two different ones share a sum has a chance of about 1e-9 among 200,000.
    """
    begins = np.flatnonzero(np.diff(rows, prepend=-1))
    sums = np.zeros(num_rows, dtype=np.uint64)
    if begins.size:
        sums[rows[begins]] = np.add.reduceat(_scrambled(keys.astype(np.uint64)), begins)
    _, first, of_row = np.unique(sums, return_index=True, return_inverse=True)
    return first, of_row.ravel()


def _tables(rows: Ints, tried: Ints, taught: Ints, num_rows: int) -> Tables:
    """Tables of the entries of all rows, which are sorted by row."""
    for side, counts in (("student", tried), ("teacher", taught)):
        lacking = np.flatnonzero(np.bincount(rows, weights=counts, minlength=num_rows) <= 0)
        if lacking.size:
            raise ValueError(f"the {side} has no samples on prompt number {lacking[0]}; sample it before scoring")
    width = int(taught.max(initial=0)) + 1
    cells = tried * width + taught
    first, of_prompt = distinct(rows, (tried << 32) + taught, num_rows)
    place = np.full(num_rows, -1)
    place[first] = np.arange(len(first))
    kept = place[rows] >= 0
    tables, cells = place[rows][kept], cells[kept]
    # One order of classes for equal tables, whatever they are called: sums then agree to the last bit.
    largest = int(cells.max(initial=0)) + 1
    keys = np.sort(tables * largest + (largest - 1 - cells))
    tables, cells = keys // largest, largest - 1 - keys % largest
    starts = np.searchsorted(tables, np.arange(len(first) + 1))
    return Tables(cells // width, cells % width, starts.astype(np.int64), of_prompt)


def _scrambled(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finalizer of splitmix64 (Steele et al. 2014): near keys become unrelated ones."""
    mixed = keys + np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))
