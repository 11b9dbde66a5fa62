"""Numbers: one form for all spellings of a value, with its unit.

    folded text -> sign, currency, numeral (digits, fraction, words), scale, percent sign or unit -> Quantity -> form

Digits are handled as text, exactly and in linear time; only short fractions are computed. Money signs and names drop,
units stay, and nothing is converted: 5 km is neither 5 nor 5000 m.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

from policies.answer_forms.number_words import SCALES, ordinal_head, read_words
from policies.answer_forms.text import CURRENCY, text_form
from policies.answer_forms.units import UNITS

Percent = Literal["keep", "number", "fraction"]
"""What 12 % is: itself, the number 12, or the number 0.12."""

MAX_QUANTITY = 200
"""Longer answers are no quantities; a bare number may have any length."""

_MAX_PLAIN = 40
"""Numbers of more characters are written with an exponent."""

_NUMERAL = re.compile(
    r"(?:(?P<european>[1-9][0-9]{0,2}(?:\.[0-9]{3})++,[0-9]{1,2})(?![0-9,.])"
    r"|(?P<whole>[1-9][0-9]{0,2}(?:,[0-9]{3})++(?!,?[0-9])|[1-9][0-9]?(?:,[0-9]{2}(?=,))++,[0-9]{3}(?!,?[0-9])"
    r"|[1-9][0-9]{0,2}(?:'[0-9]{3})++(?!'?[0-9])|[0-9]*+)(?:\.(?P<part>[0-9]++))?+)"
    r"(?:e(?P<e>[+-]?[0-9]{1,9})(?![0-9a-z]))?+"
)
_TEN_TO = re.compile(r" ?(?:[x×*·⋅]|\\times|\\cdot) ?10 ?(?:\^|\*\*) ?[({]?(?P<e>[+-]?[0-9]{1,9})[)}]?(?![0-9])")
_POWER_OF_TEN = re.compile(r"10 ?(?:\^|\*\*) ?[({]?(?P<e>[+-]?[0-9]{1,9})[)}]?(?![0-9])")
_OVER = re.compile(r" ?/ ?(?P<den>[0-9]{1,30})(?![0-9]|[.,/][0-9])")
_MIXED = re.compile(r" (?:and )?(?P<num>[0-9]{1,30}) ?/ ?(?P<den>[0-9]{1,30})(?![0-9]|[.,/][0-9])")
_HALF = re.compile(r" and (?:a (?P<half>half|third|quarter)|three quarters)(?![^\W_])")

_CODES = "us dollars?|dollars?|usd|us|euros?|eur|gbp|yen|jpy|rupees?|inr|rs|yuan|cny|rmb|won|krw|chf|cad|aud"
_HEDGE = re.compile(r"(?:(?:approximately|approx|about|around|roughly|circa)[. ]++|[~≈] ?)++")
_SIGN = re.compile(r"(?P<minus>-(?! )|minus |negative )|\+(?! )")
_MONEY = re.compile(
    rf"(?:(?:us|a|c|hk)?[{re.escape(CURRENCY)}]|(?:usd|eur|gbp|jpy|inr|rs|cny|rmb|krw|chf)\.?(?= ?[0-9])) ?"
)
_SCALE = re.compile(rf" ?({'|'.join(SCALES)}|dozen)s?(?![^\W_])")
_SHORT_SCALE = re.compile(r"(?:(?P<attached>k|bn)| ?(?P<money>k|thou|m|mn|mln|b|bn|t|tn|trn))(?![^\W_])")
_SHORT = {"k": 3, "thou": 3, "m": 6, "mn": 6, "mln": 6, "b": 9, "bn": 9, "t": 12, "tn": 12, "trn": 12}
_MONEY_AFTER = re.compile(rf" ?(?:[{re.escape(CURRENCY)}]|(?:{_CODES})(?![^\W_]))")
_PERCENT = re.compile(r" ?(?:%|(?:percent|per cent|pct)(?![^\W_]))(?! ?(?:points?|pts?)(?![^\W_]))")
_COMPARED = re.compile(
    r"(?:(?P<sign><=|>=|<|>)|(?P<words>more than|greater than|less than|fewer than|at least|at most)) ?"
)
_COMPARISONS = {"at least": ">=", "at most": "<=", "less than": "<", "fewer than": "<"}
_SEPARATOR = re.compile(r"[,;:] |;| and | & | to | or ")

_NO_UNIT = re.compile(
    r" ?[x×] ?[0-9]|(?:st|nd|rd|th)(?![^\W_])|(?:[xyzn]|xy)(?![^\W_])|(?!.*(?:m|ft|in|s)\^-?[123]).*[+=*<>^]"
)
"""Dimensions (1920x1080), ordinals (21st) and formulas (2x, 2x + 1) are no quantities."""


@dataclass(frozen=True)
class Number:
    """(-1)^negative · digits · 10^exponent, over a denominator where no decimal is exact."""

    negative: bool
    digits: str
    exponent: int = 0
    denominator: int = 1

    @staticmethod
    def of(value: Fraction) -> Number:
        """An exact fraction: a decimal where there is one, else in lowest terms."""
        den, twos, fives = value.denominator, 0, 0
        while den % 2 == 0:
            den, twos = den // 2, twos + 1
        while den % 5 == 0:
            den, fives = den // 5, fives + 1
        num = abs(value.numerator)
        if den > 1:
            return Number(value < 0, str(num), 0, value.denominator)
        places = max(twos, fives)
        return Number(value < 0, str(num * 10**places // value.denominator), -places)

    @property
    def short(self) -> bool:
        """Whether it is small enough to compute with."""
        return len(self.digits) <= 60 and abs(self.exponent) <= 60

    @property
    def fraction(self) -> Fraction:
        """The value, for short ones."""
        value = int(self.digits or "0") * Fraction(10) ** self.exponent / self.denominator
        return -value if self.negative else value

    def times_power_of_ten(self, power: int) -> Number:
        """The number with its point moved."""
        if self.denominator > 1:
            return Number.of(self.fraction * Fraction(10) ** power)
        return replace(self, exponent=self.exponent + power)

    def form(self) -> str:
        """`-1200.5`, `1/3`; above 40 characters `1.5e60`."""
        if self.denominator > 1:
            return f"{'-' if self.negative else ''}{self.digits}/{self.denominator}"
        digits = self.digits.lstrip("0")
        kept = digits.rstrip("0")
        exponent = self.exponent + len(digits) - len(kept)
        if not kept:
            return "0"
        return ("-" if self.negative else "") + _decimal(kept, exponent)


@dataclass(frozen=True)
class Quantity:
    """A number and what it counts or measures."""

    number: Number
    unit: str = ""
    """`%`, a unit in its short form, other text, or nothing."""
    scale: int = 0
    """The power of ten that a last word like `million` has brought into the number."""
    money: bool = False
    """Whether a money sign or name stood with it."""

    def form(self, percent: Percent = "keep") -> str:
        """`12`, `12%`, `5 km`."""
        number, unit = self.number, self.unit
        if unit == "%" and percent != "keep":
            unit = ""
            if percent == "fraction":
                number = number.times_power_of_ten(-2)
        return number.form() + (unit if unit == "%" or not unit else f" {unit}")


def read_number(text: str) -> Quantity | None:
    """A folded text that is a bare number of any length, with money sign or percent sign: the fast and linear part."""
    start = text.lstrip("+-$ ")[:1]
    if not (start.isdecimal() or start == "." or start in CURRENCY):
        return None
    negative, at, money = _sign_and_money(text)
    numeral = _NUMERAL.match(text, at)
    if numeral is None or numeral.end() == at or not _has_digits(numeral):
        return None
    rest = text[numeral.end() :]
    percent = bool(rest) and len(rest) <= MAX_QUANTITY and _PERCENT.fullmatch(rest) is not None
    if rest and not percent and not (len(rest) <= MAX_QUANTITY and _MONEY_AFTER.fullmatch(rest)):
        return None
    return Quantity(_of_numeral(numeral, negative), "%" if percent else "", money=money)


def read_quantity(text: str) -> Quantity | None:
    """A folded text that is a number with its unit, in digits or words; None if it is something else."""
    if len(text) > MAX_QUANTITY:
        return None
    hedge = _HEDGE.match(text)
    text = text[hedge.end() :] if hedge else text
    negative, at, money = _sign_and_money(text)
    found = _numeral(text, at)
    if found is None:
        return None
    number, end, scale = found
    number = replace(number, negative=negative) if negative else number
    quantity, end = _scaled(Quantity(number, scale=scale, money=money), text, end)
    return _with_unit(quantity, text[end:])


def comparison_form(text: str, percent: Percent) -> str | None:
    """`>= 5 km` for "at least 5 kilometers", or None."""
    compared = _COMPARED.match(text) if len(text) <= MAX_QUANTITY else None
    quantity = read_quantity(text[compared.end() :]) if compared else None
    if compared is None or quantity is None:
        return None
    return (compared["sign"] or _COMPARISONS.get(compared["words"], ">")) + quantity.form(percent)


def ordinal_form(text: str) -> str | None:
    """`21st century` for "twenty-first century", or None."""
    head = ordinal_head(text) if len(text) <= MAX_QUANTITY else None
    if head is None:
        return None
    place, end = head
    suffix = "th" if 10 < place % 100 < 14 else {1: "st", 2: "nd", 3: "rd"}.get(place % 10, "th")
    rest = text_form(text[end:]) if text[end:].strip() else ""
    return f"{place}{suffix} {rest}".strip()


def _sign_and_money(text: str) -> tuple[bool, int, bool]:
    """Whether there is a minus, where the numeral begins, and whether a money sign stands before it."""
    negative, money, at = False, False, 0
    for _ in range(2):  # -$5 and $-5
        sign = None if negative else _SIGN.match(text, at)
        if sign:
            negative, at = sign["minus"] is not None, sign.end()
        sum_ = _MONEY.match(text, at)
        if sum_:
            money, at = True, sum_.end()
    return negative, at, money


def _has_digits(numeral: re.Match[str]) -> bool:
    return bool(numeral["european"] or numeral["whole"] or numeral["part"])


def _of_numeral(numeral: re.Match[str], negative: bool) -> Number:
    whole, part = numeral["whole"] or "", numeral["part"] or ""
    if numeral["european"]:
        whole, _, part = numeral["european"].replace(".", "").partition(",")
    digits = whole.replace(",", "").replace("'", "") + part
    return Number(negative, digits, int(numeral["e"] or 0) - len(part))


def _numeral(text: str, at: int) -> tuple[Number, int, int] | None:
    """The number that begins there, where it ends, and the power of ten that its last word names, if one does."""
    power = _POWER_OF_TEN.match(text, at)
    if power:
        return Number(False, "1", int(power["e"])), power.end(), 0
    numeral = _NUMERAL.match(text, at)
    if numeral is None or not _has_digits(numeral):
        words = read_words(text, at)
        return (Number.of(words.value), words.end, words.scale) if words else None
    number, end = _of_numeral(numeral, False), numeral.end()
    ten_to = _TEN_TO.match(text, end)
    if ten_to:
        return number.times_power_of_ten(int(ten_to["e"])), ten_to.end(), 0
    if not number.short:
        return number, end, 0
    over, mixed, half = _OVER.match(text, end), _MIXED.match(text, end), _HALF.match(text, end)
    if over and number.exponent == 0 and int(over["den"]):
        return Number.of(number.fraction / int(over["den"])), over.end(), 0
    if mixed and number.exponent == 0 and 0 < int(mixed["num"]) < int(mixed["den"]):
        part = Fraction(int(mixed["num"]), int(mixed["den"]))
        return Number.of(number.fraction + part), mixed.end(), 0
    if half:
        parts = {"half": Fraction(1, 2), "third": Fraction(1, 3), "quarter": Fraction(1, 4), None: Fraction(3, 4)}
        return Number.of(number.fraction + parts[half["half"]]), half.end(), 0
    return number, end, 0


def _scaled(quantity: Quantity, text: str, end: int) -> tuple[Quantity, int]:
    """With `million` and the like taken into the number; `m` and `b` are units unless a money sign stands before."""
    word = _SCALE.match(text, end)
    short = None if word else _SHORT_SCALE.match(text, end)
    if word and word[1] == "dozen":
        if not quantity.number.short:
            return quantity, end
        return replace(quantity, number=Number.of(quantity.number.fraction * 12)), word.end()
    if word:
        power, end = SCALES[word[1]], word.end()
    elif short and (short["attached"] or quantity.money):
        power, end = _SHORT[short["attached"] or short["money"]], short.end()
    else:
        return quantity, end
    return replace(quantity, number=quantity.number.times_power_of_ten(power), scale=power), end


def _with_unit(quantity: Quantity, rest: str) -> Quantity | None:
    """With what follows the number as its unit; None where that is no unit."""
    percent = _PERCENT.match(rest)
    money = None if percent else _MONEY_AFTER.match(rest)
    if money:
        quantity, rest = replace(quantity, money=True), rest[money.end() :]
    if percent:
        rest = rest[percent.end() :]
    if _SEPARATOR.search(rest) or _NO_UNIT.match(rest) or (rest and not (rest[0] in " °%‰¢" or rest[0].isalpha())):
        return None
    words = text_form(rest.strip()) if rest.strip() else ""
    if words and not (words[0].isalpha() or words[0] in "°%‰¢"):
        return None
    unit = UNITS.get(words, words)
    if percent:
        unit = f"% {unit}".strip()
    return replace(quantity, unit=unit)


def _decimal(kept: str, exponent: int) -> str:
    """Digits without zeros at either end, times a power of ten."""
    point = len(kept) + exponent
    length = max(point, len(kept), len(kept) - point + 1)
    if length > _MAX_PLAIN:
        return f"{kept[0]}{'.' if kept[1:] else ''}{kept[1:]}e{point - 1}"
    if exponent >= 0:
        return kept + "0" * exponent
    return f"{kept[:point]}.{kept[point:]}" if point > 0 else f"0.{'0' * -point}{kept}"
