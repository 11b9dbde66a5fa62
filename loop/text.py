"""Text that somebody else wrote, made fit to be shown: what would act on a page or a terminal becomes `�`.

clean        -> pages: white space stays as it is
clean_lines  -> tables on a terminal, pictures: lines stay lines
one_line     -> lines on a terminal or in a log
encodable    -> files for programs: everything stays that an encoding has
"""

from __future__ import annotations

import re

_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_BREAKS = re.compile("\r\n|[\t\n\r\x85\u2028\u2029]")


def clean(text: str) -> str:
    """Text without control characters, lone surrogates and marks that turn its direction."""
    return _UNFIT.sub("\N{REPLACEMENT CHARACTER}", text)


def one_line(text: str) -> str:
    """Clean text in one line: nothing in it passes for another line, nor moves, colours or erases what is shown."""
    return clean(_BREAKS.sub(" ", text))


def clean_lines(text: str) -> str:
    """Clean text whose lines end with a line feed, and hold no other break."""
    return "\n".join(map(one_line, text.split("\n")))


def encodable(text: str) -> str:
    """Text without lone surrogates; a control character in it does nothing to a program that reads it."""
    return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)
