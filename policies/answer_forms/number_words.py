"""English number words: `two hundred and five`, `one third`, `three point five`, `twenty-first`.

Only the words at the start of a text are read: what follows them is a unit or something else, for the caller to say.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

SCALES = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
"""Powers of ten."""


def _words(text: str) -> list[str]:
    return text.split()


_ONES = {
    word: value
    for value, word in enumerate(
        _words(
            "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
            "seventeen eighteen nineteen"
        )
    )
}
_TENS = {
    word: 10 * value
    for value, word in enumerate(_words("twenty thirty forty fifty sixty seventy eighty ninety"), start=2)
}
_ORDINALS = {
    word: value
    for value, word in enumerate(
        _words(
            "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
            "fifteenth sixteenth seventeenth eighteenth nineteenth twentieth"
        ),
        start=1,
    )
} | {"thirtieth": 30, "fortieth": 40, "fiftieth": 50, "hundredth": 100}
_PARTS = {"half": 2, "quarter": 4} | {word: value for word, value in _ORDINALS.items() if value > 2}
_MANY_PARTS = {"halves": 2} | {f"{word}s": value for word, value in _PARTS.items()}

_WORD = re.compile(r"[ -]?([a-z]++)")
_NUMERIC_ORDINAL = re.compile(r"([0-9]{1,6})(?:st|nd|rd|th)(?![^\W_])")
_MAX_WORDS = 40


@dataclass(frozen=True)
class Words:
    """A number in words at the start of a text."""

    value: Fraction
    end: int
    """Where the text goes on."""
    scale: int
    """The power of ten that its last word names: 6 after `million`, else 0."""


def read_words(text: str, at: int = 0) -> Words | None:
    """The longest number in words that begins at `at`, or None."""
    tokens = _tokens(text, at)
    if not tokens:
        return None
    words = [word for word, _ in tokens]
    part = _half(words)
    if part is not None:
        value, used = part
        return Words(value, tokens[used - 1][1], SCALES.get(words[used - 1], 0))
    first = 1 if words[0] in ("a", "an") and len(words) > 1 and (words[1] in SCALES or words[1] == "dozen") else 0
    whole, used = _cardinal(words, first)
    if used == first:
        return None
    value, used = _with_part(words, used, Fraction(whole))
    return Words(value, tokens[used - 1][1], SCALES.get(words[used - 1], 0))


def ordinal_head(text: str) -> tuple[int, int] | None:
    """The ordinal that a text begins with (`twenty-first`, `21st`), and where it ends; or None."""
    numeric = _NUMERIC_ORDINAL.match(text)
    if numeric:
        return int(numeric[1]), numeric.end()
    tokens = _tokens(text, 0)
    if tokens and tokens[0][0] in _ORDINALS:
        return _ORDINALS[tokens[0][0]], tokens[0][1]
    if len(tokens) > 1 and tokens[0][0] in _TENS and 0 < _ORDINALS.get(tokens[1][0], 0) < 10:
        return _TENS[tokens[0][0]] + _ORDINALS[tokens[1][0]], tokens[1][1]
    return None


def _tokens(text: str, at: int) -> list[tuple[str, int]]:
    """Words from there on, each with where it ends."""
    tokens: list[tuple[str, int]] = []
    while len(tokens) < _MAX_WORDS:
        word = _WORD.match(text, at)
        if word is None or (text[word.end() : word.end() + 1].isalnum()):
            break
        at = word.end()
        tokens.append((word[1], at))
    return tokens


def _half(words: list[str]) -> tuple[Fraction, int] | None:
    """`half`, `a third`, `half a million`: the value and the number of words."""
    if words[:2] == ["half", "a"] and len(words) > 2 and words[2] in SCALES:
        return Fraction(10 ** SCALES[words[2]], 2), 3
    if words == ["half"]:
        return Fraction(1, 2), 1
    if words[0] == "a" and len(words) == 2 and words[1] in _PARTS:
        return Fraction(1, _PARTS[words[1]]), 2
    return None


def _cardinal(words: list[str], first: int) -> tuple[int, int]:
    """The value of a run of cardinal words and the index after it; with `first` 1, an article stands for one."""
    total, current, scale_above, used = 0, -1, 99, first
    index = first
    while index < len(words):
        word = words[index]
        below = max(current, 0)
        counted = current > 0 or (first > 0 and index == first)
        if word in _ONES and (current < 0 or (below and _fits(below, _ONES[word]))):
            current = below + _ONES[word]
        elif word in _TENS and (current < 0 or (below and below % 100 == 0)):
            current = below + _TENS[word]
        elif word == "hundred" and counted and current < 100:
            current = max(current, 1) * 100
        elif word in SCALES and 2 < SCALES[word] < scale_above and counted:
            total, scale_above = total + max(current, 1) * 10 ** SCALES[word], SCALES[word]
            current = -1
        elif word == "dozen" and counted:
            return total + max(current, 1) * 12, index + 1
        elif word == "and" and index > first and words[index - 1] in SCALES and index + 1 < len(words):
            if words[index + 1] not in _ONES and words[index + 1] not in _TENS:
                break
            index += 1
            continue
        else:
            break
        index += 1
        used = index
    return total + max(current, 0), used


def _fits(below: int, ones: int) -> bool:
    """Whether ones may follow: twenty-one, hundred five, hundred fifteen; not five six, nor twenty zero."""
    if ones == 0:
        return False
    return below % 100 == 0 or (below % 10 == 0 and below % 100 >= 20 and ones < 10)


def _with_part(words: list[str], used: int, value: Fraction) -> tuple[Fraction, int]:
    """With what makes it a fraction: `one third`, `two and a half`, `three point one four`."""
    rest = words[used:]
    if rest[:1] and rest[0] in _MANY_PARTS and value > 1:
        return value / _MANY_PARTS[rest[0]], used + 1
    if rest[:1] and rest[0] in _PARTS and value == 1:
        return value / _PARTS[rest[0]], used + 1
    if rest[:2] == ["and", "a"] and len(rest) > 2 and rest[2] in _PARTS:
        return value + Fraction(1, _PARTS[rest[2]]), used + 3
    if rest[:3] == ["and", "three", "quarters"]:
        return value + Fraction(3, 4), used + 3
    if rest[:1] == ["point"]:
        places = 0
        while 1 + places < len(rest) and _ONES.get(rest[1 + places], 10) < 10:
            places += 1
            value += Fraction(_ONES[rest[places]], 10**places)
        return value, used + 1 + places if places else used
    return value, used
