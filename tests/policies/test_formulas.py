"""Formulas: parsed only where that is cheap, the same in every thread, without signals, and nothing is executed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.answer_forms.latex import formula_form, unwrap
from policies.answers import AnswerSettings, canonical

ROOT = Path(__file__).parents[2]
SAMPLES = [r"\frac{\sqrt{2}}{2}", "(x+1)^2", "x^2+2x+1", r"\frac{x^2-1}{x-1}", r"\sin(x)+1", "2^{10}", r"\sqrt[3]{8}"]


@pytest.mark.parametrize(
    "hostile",
    [
        "9^{9^{9}}",
        "9^9^9^9",
        "((9^{99})^{99})^{99}",
        "9^{99999}",
        "x^{" * 30 + "}" * 30,
        "(" * 50 + "x^2" + ")" * 50,
        "\\frac{1}{" * 40 + "x" + "}" * 40,
        "+".join(["x^2"] * 60),
        "(a+b+c+d)^{40}",
        "(a+b)^{20}(c+d)^{20}(e+f)^{20}",
        "\\sum_{n=1}^{99999999} n!",
        "99999999!",
        "x" * 100_000 + "^2",
        "^" * 1000,
        "\\frac" * 1000,
        "\\frac{",
        "$" * 999,
        "x^2 = = 3",
        "\\sqrt[",
        "1/0 + x^2",
        "0^{-1}",
        "\\exp(99999999999999999999999999)",
        "\\sqrt[99999999999999999999]{2}",
        "\\sqrt[999999999]{(\\frac{(c)(b)/123456789/y}{99})(b)}",
        "(\\sqrt{((123456789)^{3}/99)(123456789+\\pi-\\frac{y}{a})})^{99}",
        "9^{1/999999999}",
    ],
)
def test_a_hostile_formula_has_a_form_in_little_time(hostile: str) -> None:
    began = time.process_time()
    form = canonical(hostile)
    assert time.process_time() - began < 10
    assert canonical(form) == form


def test_what_costs_too_much_is_compared_as_text() -> None:
    for dear in ("9^{9^{9}}", "((9^{99})^{99})^{99}", "9^{99999}", "(" * 8 + "x^2" + ")" * 8, "x^2" + "+x" * 100):
        assert formula_form(dear) is None


def test_what_is_not_multiplied_out_keeps_its_factors() -> None:
    assert canonical("(a+b)^{20}") == canonical("(b+a)^{20}") == "⟦(a + b)**20⟧"


def test_threads_get_the_forms_of_the_main_thread_and_no_signal_is_set() -> None:
    handler = signal.getsignal(signal.SIGALRM)
    program = (
        "import json, sys, threading\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from policies.answers import canonical\n"
        "with ThreadPoolExecutor(8) as pool:\n"
        "    print(json.dumps(list(pool.map(canonical, json.loads(sys.argv[1]) * 4))))\n"
    )
    import json

    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(SAMPLES)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == [canonical(sample) for sample in SAMPLES] * 4
    assert done.stderr == ""
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(canonical, SAMPLES)) == [canonical(sample) for sample in SAMPLES]
    assert signal.getsignal(signal.SIGALRM) is handler
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_nothing_heavy_is_loaded_before_the_first_formula() -> None:
    program = (
        "import sys; from policies.answers import canonical, partition\n"
        "partition(['12 %', 'red, blue', 'May 3, 2020', 'x = 5', '\\\\frac{1}{2}', '2010-2012', '5 km'])\n"
        "print('sympy' in sys.modules, 'math_verify' in sys.modules); canonical('x^2')\n"
        "print('sympy' in sys.modules, 'math_verify' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False", "True", "True"]


def test_nothing_that_a_model_wrote_is_executed(tmp_path: Path) -> None:
    trace = tmp_path / "executed"
    call = f"open('{trace}','w')"
    for answer in (call, f"x^2 + {call}", f"\\sqrt{{{call}}}", "__import__('os').system('true')^2"):
        assert canonical(canonical(answer)) == canonical(answer)
    assert not trace.exists()


def test_formulas_are_a_setting() -> None:
    text_only = AnswerSettings(formulas=False)
    assert canonical("(x+1)^2", settings=text_only) != canonical("x^2+2x+1", settings=text_only)
    assert canonical("(x+1)^2") == canonical("x^2+2x+1")


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        (r"\text{red}", "red"),
        (r"\mathrm{\text{red}}", "red"),
        (r"$\left(1, 2\right)$", "(1, 2)"),
        (r"\boxed{\sqrt{2}}", r"\sqrt{2}"),
        (r"\boxed{a}, \boxed{b}", "a, b"),
        (r"5\,km", "5 km"),
        (r"\lefty", r"\lefty"),
        ("$5 - $10", "$5 - $10"),
    ],
)
def test_unwrap(text: str, plain: str) -> None:
    assert unwrap(text) == plain


TERMS = st.lists(
    st.tuples(st.integers(-9, 9), st.sampled_from(["", "x", "y", "x^2", "\\sqrt{2}", "\\pi"])), min_size=2, max_size=4
)


@given(TERMS, st.randoms(use_true_random=False))
def test_the_order_of_terms_does_not_matter(terms: list[tuple[int, str]], random: object) -> None:
    shuffled = list(terms)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    forms = {canonical("$" + "+".join(f"({n}){t}" for n, t in order) + "+z^2$") for order in (terms, shuffled)}
    assert len(forms) == 1
    assert all(form.startswith("⟦") for form in forms)
