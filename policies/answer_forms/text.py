"""Text: what spellings of the same words have in common.

    answer -> fold (case, width, digits, diacritics, spacing) -> trim (quotes, brackets, markup around it) -> text_form

`fold` keeps everything that numbers, dates and formulas need; `text_form` then drops what only prose has: punctuation
and articles. Both are linear in the length of the text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

SENTENCE_END = ".,;:!?…"
"""Punctuation that ends a sentence around an answer, and is not part of it."""

CURRENCY = "$€£¥₹₩₽₺₫₴₦₱₿"
"""Signs that say in which money, not how much. The cent sign is not one of them: 5¢ is not 5 $."""

_UNSEEN = ("Cc", "Cf", "Cs")
_MAX_MARKS = 30
"""Combining marks in a row that are kept (the stream-safe limit of UAX 15): normalising longer runs is quadratic."""

_POWERS = re.compile("⁻?[⁰¹²³⁴⁵⁶⁷⁸⁹]++")
_POWER_DIGITS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
"""Powers, which NFKC would turn into plain digits (10³ is not 103)."""

_PLAIN = str.maketrans(
    dict(zip("‐‑‒–—―−⁄٪٫٬’‘ʼ′“”„«»", '-------/%.,\'\'\'\'"""""', strict=True))
    | {"ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe", "ı": "i", "≤": "<=", "≥": ">=", "÷": "/", "∶": ":"}
)
"""Hyphens, dashes and the minus sign; quotes; letters whose stroke no normalisation takes off."""

_GROUP_SPACE = re.compile("(?<=[0-9])[\u00a0\u2009\u202f](?=[0-9]{3}(?![0-9]))")
"""A no-break or thin space before three digits separates thousands; an ordinary one may separate two answers."""

_VULGAR = re.compile("(?<=[0-9])(?=[¼½¾⅐-⅞])")
_MARKS = re.compile("[\u0300-\u036f\ufe00-\ufe0f]")

_AROUND = SENTENCE_END + "'\"()[]{}*_`|~。、「」『』（）【】"
"""Characters that mean nothing at either end of an answer: quotes, brackets, markup."""
_LEADING = re.compile(rf"(?:\.(?![0-9])|(?!\.)[{re.escape(_AROUND)} ])*+")
_INTERVAL = re.compile(r"(?:\[[^\[\]()]{1,80}\)|\([^\[\]()]{1,80}\])")
"""A half-open interval: the one place where the kind of a bracket matters."""

_ARTICLES = frozenset(("a", "an", "the"))
_LEADING_ARTICLE = re.compile(r"the |an? (?=\w\w)")
_ACRONYM = re.compile(r"(?<![^\W_])([^\W\d_])\.(?=[^\W\d_](?:\.|(?![^\W_])))")
_ACRONYM_END = re.compile(r"(?<=[^\W\d_])\.(?![^\W_])")
_NO_WORD = re.compile(r"[^\w ]")
_KEPT = frozenset("%&@#*/\\‰_")
_BY = re.compile(r"(?<=[0-9]) ?[x×] ?(?=[0-9])")
_EQUALS = re.compile(r" ?(<=|>=|[<=>]) ?")


def fold(answer: str) -> str:
    """Case, width, digits of all scripts, diacritics and spacing folded, to the fixed point that one pass may miss."""
    while True:
        folded = _fold_once(answer)
        if folded == answer:
            return folded
        answer = folded


def trim(text: str) -> str:
    """The text without quotes, brackets, markup and final punctuation around it; a half-open interval is left whole."""
    bare = text.strip(" .,;:!?…$`*")
    if _INTERVAL.fullmatch(bare):
        return bare
    return _LEADING.sub("", text.rstrip(_AROUND + " "), count=1)


def interval(text: str) -> tuple[str, str, str] | None:
    """The opening bracket, the inside and the closing bracket of a half-open interval."""
    return (text[0], text[1:-1], text[-1]) if _INTERVAL.fullmatch(text) else None


def text_form(text: str) -> str:
    """A folded text without punctuation, articles and markup; as it is where nothing else is in it.

    Punctuation between two digits stays (1.5 is not 15, 10:30 not 1030), symbols stay (C++ is not C). An article is
    dropped only before a word of at least two characters: a bare "a" or "a b" names options.
    """
    if "^" in text or "\\" in text:
        return text  # a formula that is not understood: brackets mean something in it
    bare = text.replace("**", "").replace("__", "").replace("`", "").strip(CURRENCY + " ")
    bare = _ACRONYM_END.sub("", _ACRONYM.sub(r"\1", bare)) if "." in bare else bare
    bare = _BY.sub("x", _EQUALS.sub(r"\1", _without_punctuation(bare)))
    return " ".join(_without_articles(bare.split())) or text


def without_article(text: str) -> str:
    """The text without a leading article."""
    article = _LEADING_ARTICLE.match(text)
    return text[article.end() :] if article else text


def _without_articles(words: list[str]) -> list[str]:
    """From the end on, so that "the a cat" loses both and "the a b" none."""
    kept: list[str] = []
    for word in reversed(words):
        if word not in _ARTICLES or not kept or not kept[-1][:2].isalnum() or len(kept[-1]) < 2:
            kept.append(word)
    return kept[::-1]


def _fold_once(text: str) -> str:
    if text.isascii():
        folded = " ".join(text.split()).lower()
        return folded if folded.isprintable() else " ".join("".join(filter(str.isprintable, folded)).split())
    text = _stream_safe(_VULGAR.sub(" ", _GROUP_SPACE.sub("", text)))
    text = _POWERS.sub(lambda power: "^" + power[0].translate(_POWER_DIGITS), text)
    text = _by_character(" ".join(text.split()), lambda c: "" if unicodedata.category(c) in _UNSEEN else c)
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(_by_character(text, _plain_character).translate(_PLAIN).split())


def _by_character(text: str, plain: Callable[[str], str]) -> str:
    """A function of single characters on a text; each different one is looked at once."""
    return text.translate({ord(character): plain(character) for character in set(text)})


def _plain_character(character: str) -> str:
    """Digits of all scripts as 0-9; Latin, Greek and ё without diacritics. Marks of other scripts are letters."""
    if character.isascii():
        return character
    if character.isdecimal():
        return str(unicodedata.decimal(character))
    if "\u0300" <= character <= "\u036f" or "\ufe00" <= character <= "\ufe0f":
        return ""
    if character < "\u0400" or character == "ё" or "\u1e00" <= character <= "\u1fff":
        return _MARKS.sub("", unicodedata.normalize("NFD", character))
    return character


def _stream_safe(text: str) -> str:
    """At most 30 combining marks in a row."""
    if not any(map(unicodedata.combining, set(text))):
        return text
    kept, run = [], 0
    for character in text:
        run = run + 1 if unicodedata.combining(character) else 0
        if run <= _MAX_MARKS:
            kept.append(character)
    return "".join(kept)


def _without_punctuation(text: str) -> str:
    """Punctuation as blanks, but for what stands inside of a number, a word (an apostrophe) or a name (example.com)."""
    return _NO_WORD.sub(_kept, text)


def _kept(found: re.Match[str]) -> str:
    character, at, text = found[0], found.start(), found.string
    if character in _KEPT or not unicodedata.category(character).startswith("P"):
        return character
    before, after = text[at - 1 : at], text[at + 1 : at + 2]
    inside_number = before.isdecimal() and after.isdecimal()
    if character == "'" and not inside_number:
        return ""
    inside_name = character == "." and before.isalnum() and after.isalnum()
    negative = character == "-" and after.isdecimal() and not before.isalnum()
    return character if inside_number or inside_name or negative else " "
