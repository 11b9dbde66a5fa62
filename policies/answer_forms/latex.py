"""LaTeX: what is plain text in disguise is unwrapped; formulas get their form from math-verify's parser and sympy.

    folded answer -> unwrapped (`\\frac{1}{2}` -> `1/2`, `\\text{red}` -> `red`) -> the other tiers
                  -> formula_form (`\\frac{\\sqrt{2}}{2}`, `(x+1)^2` -> `⟦sqrt(2)/2⟧`, `⟦x**2 + 2*x + 1⟧`)

math-verify bounds its work with SIGALRM, which fails in threads and would make a form depend on the machine's load.
So no timeouts are passed; instead, only formulas whose cost is known to be small are parsed: short, shallow, made of an
allowed set of commands, with small exponents. The parser's tables are shared between threads, hence the lock. Only the
LaTeX grammar is used: math-verify's other extractor evaluates what it is given as Python.
"""

from __future__ import annotations

import logging
import math
import re
import threading
from fractions import Fraction
from functools import cache, lru_cache
from typing import Any

from policies.answer_forms.numbers import Number

OPEN, CLOSE = "⟦", "⟧"
"""Around a formula's form, so that it is told from an answer still to be read."""

MAX_FORMULA = 120
MAX_UNWRAP = 4000
_MAX_DEPTH = 5
_MAX_EXPONENT = 400
"""Product of all exponents: no nesting of them can make more digits of it."""
_MAX_TERMS = 200
"""Sums are multiplied out up to this many terms."""
_MAX_OPERATIONS = 60

_LOCK = threading.Lock()

_WRAPPED = re.compile(r"\\(?:text(?:bf|it|rm)?|math(?:rm|bf|it)|operatorname|mbox|boxed|fbox) ?\{([^{}]*+)\}")
_BOXED = re.compile(r"\\(?:boxed|fbox) ?\{(.*)\}", re.DOTALL)
_SPACING = re.compile(r"\\(?:[,;:! ]|(?:quad|qquad|displaystyle)(?![a-z]))|~")
_SIZING = re.compile(r"\\(?:left|right)(?![a-z])")
_FRACTION = re.compile(r"([0-9]?)(-?)\\[dtc]?frac ?(?:\{ ?(-?[0-9]{1,30}) ?\} ?\{ ?([0-9]{1,30}) ?\}|([0-9])([0-9]))")
_REPLACED = {
    "\\%": "%", "\\$": "$", "\\{": "{", "\\}": "}", "\\&": "&", "\\#": "#", "\\_": "_", "{,}": ",", "\\degree": "°",
    "^{\\circ}": "°", "^\\circ": "°", "\\times": "×", "\\cdot": "·", "\\leq": "<=", "\\geq": ">=", "\\le": "<=",
    "\\ge": ">=", "\\lt": "<", "\\gt": ">", "\\pounds": "£", "\\euro": "€", "\\infty": "∞",
}  # fmt: skip
_COMMAND = re.compile(r"\\(?:[%$&#_{}]|(?:leq?|geq?|lt|gt|times|cdot|degree|pounds|euro|infty)(?![a-z]))")
_DEGREE = re.compile(r"\^ ?(?:\{ ?\\circ ?\}|\\circ)")
_MATH_SHELL = re.compile(r"\$\$?([^$]++)\$\$?|\\\((.*)\\\)|\\\[(.*)\\\]", re.DOTALL)

_TOKEN = re.compile(
    r"\\(?:[dt]?frac|sqrt|pi|theta|alpha|beta|gamma|delta|lambda|mu|sigma|omega|phi|times|cdot|div|pm"
    r"|sin|cos|tan|ln|log|exp|infty)(?![a-z])"
    # Three letters in a row are a word: read as a product, "cat" would be the same as "act".
    r"|[0-9]{1,15}(?:\.[0-9]{1,15})?(?![0-9])|[a-z]{1,2}(?![a-z])|[-+*/^_(){}\[\]|=<> ]"
)
_EXPONENT = re.compile(
    r"\^ ?(?:\{ ?-? ?([0-9]{1,3}|[0-9]{1,2}/[0-9]{1,2}) ?\}|\{ ?-? ?[0-9]{0,3}[a-z] ?\}|([0-9])(?![0-9])|[a-z])"
)
_PLAIN_EXPONENT = re.compile(r"\^ ?(?:\((-?[0-9]{1,3}(?:/[0-9]{1,3})?)\)|(-[0-9]{1,3}|[0-9]{2,3})(?![0-9]))")
_PLAIN_NAME = re.compile(r"(?<![\\a-z])(pi|sin|cos|tan|ln|log|exp)(?![a-z])")
_PLAIN_ROOT = re.compile(r"(?<![\\a-z])sqrt ?\(([^()]*+)\)|√ ?(?:\(([^()]*+)\)|([0-9]++|[a-z]))")
_FORMULA = re.compile(
    r"\^|√|π|\\(?:[dt]?frac|sqrt|pi)|(?<![a-z])(?:sqrt|pi)(?![a-z])"
    r"|[a-z)] ?[=+*]|[=+*] ?\(?[0-9]*[a-z]|[0-9](?:[xyzn]|xy)(?! ?[a-z0-9])|[xyzn]/[0-9]"
)
"""Formulas hold one of these: 3 × 4 and 555-1234 are no sums to be worked out."""
_ASSIGNMENT = re.compile(r"[a-z](?:_[0-9a-z])? ?= ?(?P<value>[^=<>]++)")
_PHONE = re.compile(r"[0-9] ++[0-9]|\) ?[0-9]")
_HIGH_ROOT = re.compile(r"\\sqrt ?\[(?! ?[0-9]{1,2} ?\])")
"""Roots whose index is not a small number: sympy takes minutes over the 999999999th root of a product."""
_DANGLING = re.compile(r"^[+*/^=]|[-+*/^=]$|[+*/^=] ?[+*/^=]|\^ ?(?:[0-9a-z]|\{[^{}]*+\}) ?\^")
"""Signs without a side, and powers of powers without brackets."""


def unwrap(text: str) -> str:
    """A folded text without the LaTeX that only sets it: shells, fonts, spacing, escapes, fractions of numbers."""
    if len(text) > MAX_UNWRAP or not ("\\" in text or "$" in text or "{,}" in text):
        return text
    shell = _MATH_SHELL.fullmatch(text)
    if shell:
        text = next(group for group in shell.groups() if group is not None)
    boxed = _BOXED.fullmatch(text)
    if boxed and _depth(boxed[1]) is not None:
        text = boxed[1]
    for _ in range(_MAX_DEPTH):
        text, replaced = _WRAPPED.subn(r"\1", text)
        if not replaced:
            break
    text = _DEGREE.sub("°", _SPACING.sub(" ", _SIZING.sub("", text))).replace("{,}", ",")
    text = _FRACTION.sub(_plain_fraction, text)
    text = _COMMAND.sub(lambda command: _REPLACED[command[0]], text)
    return " ".join(text.split())


def assigned(text: str) -> str | None:
    """The right side of `x = ...`, or None."""
    found = _ASSIGNMENT.fullmatch(text) if len(text) <= MAX_FORMULA else None
    return found["value"].strip() if found else None


def formula_form(text: str) -> str | None:
    """The form of an unwrapped text that is a formula of bounded cost, else None."""
    if len(text) > MAX_FORMULA or not _FORMULA.search(text):
        return None
    source = _as_latex(text)
    return _parsed(source) if _is_bounded(source) else None


def _plain_fraction(found: re.Match[str]) -> str:
    num, den = found[3] or found[5], found[4] or found[6]
    return f"{found[1]}{' ' if found[1] else ''}{found[2]}{num}/{den}"


def _as_latex(text: str) -> str:
    text = _PLAIN_ROOT.sub(lambda root: f"\\sqrt{{{root[1] or root[2] or root[3] or ''}}}", text)
    for plain, latex in (("**", "^"), ("×", "\\times "), ("·", "\\cdot "), ("π", "\\pi "), ("∞", "\\infty ")):
        text = text.replace(plain, latex)
    text = _PLAIN_EXPONENT.sub(lambda power: f"^{{{power[1] or power[2]}}}", text)
    return _PLAIN_NAME.sub(r"\\\1 ", text).strip()


def _is_bounded(source: str) -> bool:
    """Whether parsing and multiplying out is known to be cheap, and nothing in it is prose or a phone number."""
    at = 0
    while at < len(source):
        token = _TOKEN.match(source, at)
        if token is None:
            return False
        at = token.end()
    if _PHONE.search(source) or _DANGLING.search(source) or _HIGH_ROOT.search(source):
        return False
    depth = _depth(source)
    exponents = list(_EXPONENT.finditer(source))
    total = math.prod(int((found[1] or found[2] or "1").partition("/")[0]) or 1 for found in exponents)
    return depth is not None and depth <= _MAX_DEPTH and len(exponents) == source.count("^") and total <= _MAX_EXPONENT


def _depth(text: str) -> int | None:
    """How deep brackets nest; None if they do not pair."""
    depth = deepest = 0
    for character in text:
        depth += (character in "({[") - (character in ")}]")
        deepest = max(deepest, depth)
        if depth < 0:
            return None
    return deepest if depth == 0 else None


@cache
def _parser() -> tuple[Any, Any, Any]:
    """math-verify's LaTeX parser, its settings, and sympy; imported when the first formula comes: it takes a second."""
    import sympy  # type: ignore[import-untyped]
    from math_verify import parse  # type: ignore[import-untyped]
    from math_verify.parser import LatexExtractionConfig  # type: ignore[import-untyped]

    # It warns that there is no timeout; the bounds above are the remedy that it asks for.
    logging.getLogger("math_verify.parser").addFilter(lambda record: "Timeout is disabled" not in str(record.msg))
    return parse, [LatexExtractionConfig(boxed_match_priority=-1)], sympy


@lru_cache(maxsize=4096)
def _parsed(source: str) -> str | None:
    with _LOCK:
        parse, settings, sympy = _parser()
        try:
            found = parse(
                f"${source}$", settings, fallback_mode="no_fallback", parsing_timeout=None, raise_on_error=True
            )
            return _normal_form(found[0], sympy) if found else None
        except Exception:
            # The parser of another project, on what a model wrote: whatever it raises, this is no formula that it
            # knows, and the next tier compares it as text.
            return None


def _normal_form(parsed: Any, sympy: Any) -> str | None:
    if not isinstance(parsed, sympy.Basic):
        return None
    formula = _evaluated(parsed, sympy)
    if isinstance(formula, sympy.Rational):
        return Number.of(Fraction(int(formula.p), int(formula.q))).form()
    if isinstance(formula, sympy.core.relational.Relational):
        formula = formula.canonical
    elif isinstance(formula, sympy.Expr) and _is_small(formula, sympy):
        formula = _multiplied_out(formula, sympy)
    return f"{OPEN}{formula}{CLOSE}"


def _evaluated(node: Any, sympy: Any) -> Any:
    """The parser leaves 1/2 a quotient of two numbers: build it again, with exact decimals."""
    if isinstance(node, sympy.Float):
        return sympy.Rational(str(node))
    return node.func(*(_evaluated(child, sympy) for child in node.args)) if node.args else node


def _multiplied_out(formula: Any, sympy: Any) -> Any:
    expanded = sympy.expand(formula)
    symbols = expanded.free_symbols
    if len(symbols) == 1 and expanded.is_rational_function(*symbols) and not expanded.is_polynomial(*symbols):
        return sympy.expand(sympy.cancel(expanded))
    if not symbols:
        return sympy.expand(sympy.radsimp(expanded))
    return expanded


def _is_small(formula: Any, sympy: Any) -> bool:
    return bool(sympy.count_ops(formula) <= _MAX_OPERATIONS and _terms(formula) <= _MAX_TERMS)


def _terms(formula: Any) -> int:
    """An upper bound on the terms of the formula multiplied out, itself bounded."""
    if not formula.args:
        return 1
    counts = [_terms(child) for child in formula.args]
    if formula.is_Pow and formula.exp.is_Rational:  # (a + b)^(99/2) is multiplied out too
        return min(counts[0] ** min(math.ceil(abs(formula.exp)), 64), 10**9)
    return min(sum(counts) if formula.is_Add else math.prod(counts), 10**9)
