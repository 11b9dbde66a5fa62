"""Lines at a calm pace, bars on a terminal."""

from __future__ import annotations

import io

from rich.console import Console

from loop.progress import LineProgress, RichProgress, make_progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_lines_come_at_most_once_in_a_while_and_tell_count_rate_and_time_left() -> None:
    stream, clock = io.StringIO(), Clock()
    with LineProgress(stream, every_s=5.0, clock=clock).bar("student samples", 100) as advance:
        for _ in range(10):
            clock.now += 1.0
            advance(10)
    assert stream.getvalue().splitlines() == [
        "student samples 50/100 10/s, 5 s left",
        "student samples 100/100 10/s, 0 s left",
    ]


def test_time_left_follows_the_rate_and_is_not_told_where_it_is_unknown() -> None:
    stream, clock = io.StringIO(), Clock()
    progress = LineProgress(stream, every_s=5.0, clock=clock)
    with progress.bar("score", 4800) as known, progress.bar("import", None) as unknown:
        clock.now = 10.0
        known(0)
        clock.now = 20.0
        known(320)
        clock.now = 40.0
        known(320)
        clock.now = 50.0
        unknown(100)
    assert stream.getvalue().splitlines() == [
        "score 0/4800 0/s",
        "score 320/4800 16/s, 280 s left",
        "score 640/4800 16/s, 260 s left",
        "import 100 2/s",
    ]


def test_the_pace_is_that_of_all_bars_together() -> None:
    stream, clock = io.StringIO(), Clock()
    progress = LineProgress(stream, every_s=5.0, clock=clock)
    for label in ("a", "b", "c", "d", "e", "f"):
        with progress.bar(label, 1) as advance:
            clock.now += 1.0
            advance(1)
    assert stream.getvalue().splitlines() == ["e 1/1 1/s, 0 s left"]


def test_a_terminal_gets_bars_and_a_file_gets_lines() -> None:
    assert isinstance(make_progress(Terminal()), RichProgress)
    assert isinstance(make_progress(io.StringIO()), LineProgress)


def test_bars_may_be_open_together_and_leave_nothing_behind() -> None:
    stream = Terminal()
    progress = RichProgress(Console(file=stream, force_terminal=True, width=100))
    with progress.bar("outer", 2) as outer, progress.bar("inner", 4) as inner, progress.bar("no work", 0) as nothing:
        outer(1)
        inner(4)
        nothing(1)
    with progress.bar("later", 3) as later:
        later(3)
    shown = stream.getvalue()
    assert "outer" in shown
    assert "4/4" in shown
    assert "later" in shown
    assert "no work" not in shown
