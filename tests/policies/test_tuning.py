"""Which budget is best, by numbers that a person can check, and by what must always hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.tuning import Worth, choose, front, may_be_best, pooled


def worth(accuracy: float, tokens: float, error: float = 0.01) -> Worth:
    return Worth(accuracy, error, before=0.5, tokens=tokens, paid=tokens)


def test_the_front_holds_what_nothing_dominates() -> None:
    assert front([worth(0.6, 100), worth(0.6, 200), worth(0.7, 300), worth(0.5, 50), worth(0.65, 300)]) == [0, 2, 3]


def test_of_two_equal_ones_both_are_on_the_front() -> None:
    assert front([worth(0.6, 100), worth(0.6, 100)]) == [0, 1]


def test_the_cheapest_within_an_error_of_the_best_is_chosen() -> None:
    assert choose([worth(0.70, 900), worth(0.695, 400), worth(0.68, 100)]) == 1
    assert choose([worth(0.70, 900, error=0.03), worth(0.695, 400), worth(0.68, 100)]) == 2
    with pytest.raises(ValueError, match="no trial"):
        choose([])


def test_the_ratio_is_the_gain_per_million_tokens() -> None:
    assert worth(0.7, 500_000).ratio == pytest.approx(0.4)
    assert worth(0.4, 0).ratio < 0


def test_only_what_noise_may_hide_is_repeated() -> None:
    assert may_be_best(worth(0.5, 1), best=None)
    assert may_be_best(worth(0.68, 1), best=0.70)
    assert not may_be_best(worth(0.60, 1), best=0.70)


def test_seeds_that_scatter_more_than_their_questions_widen_the_error() -> None:
    both = pooled([worth(0.6, 100), worth(0.8, 300)])
    assert (both.accuracy, both.tokens, both.paid, both.seeds) == (pytest.approx(0.7), 200, 400, 2)
    assert both.error == pytest.approx(0.1)
    assert pooled([worth(0.6, 100)]) == worth(0.6, 100)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(1, 1e9), st.floats(0, 0.1)), min_size=1, max_size=20))
def test_the_front_is_never_empty_and_the_choice_is_cheap_and_good(rows: list[tuple[float, float, float]]) -> None:
    trials = [worth(*row) for row in rows]
    places = front(trials)
    assert places
    assert max(trials, key=lambda own: own.accuracy).accuracy == max(trials[place].accuracy for place in places)
    best = max(trials, key=lambda own: (own.accuracy, -own.tokens))
    assert trials[choose(trials)].tokens <= best.tokens
    assert trials[choose(trials)].accuracy >= best.accuracy - best.error
