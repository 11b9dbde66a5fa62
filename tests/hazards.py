"""Text that somebody else may have written, and that acts where it is not taken for text.

Each is a question, an answer, a skill or a name in the tests of what people look at.
"""

from __future__ import annotations

import re

HAZARDS = {
    "script": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "end of a script": "</script></style></title><!--<svg onload=alert(1)>\u2028",
    "attribute": '"\'` onmouseover=alert(1) x="',
    "template": "{{ 7*7 }} {% raw %} ${7*7}",
    "formula": '=HYPERLINK("http://evil.example","x")',
    "plus": "+1+cmd|' /C calc'!A0",
    "minus": "-2+3",
    "at": "@SUM(1;2)",
    "tab": "\t=1+1",
    "return": "\r=1+1",
    "colours": "\x1b[31mred\x1b[0m \x1b]0;title\x07 \x1b]8;;http://evil.example\x07link",
    "eight bits": "\x9b2J\x9d0;title\x9c",
    "overwriting": "right\rwrong\x08\x7f",
    "another line": "end\n2026-01-01T00:00:00Z ERROR fake/1/score forged\u2029",
    "markup": "[bold red]loud[/] [/nothing] [link=http://evil.example]x[/link] :skull:",
    "table": "a | b ` c `` | <b>",
    "mathematics": r"$\frac{ \unknown$ or 5",
    "direction": "abc\u202edcba\u2066",
    "no encoding": "\ud800 \udcff \ufffe",
    "nothing": "a\x00b",
}

ACTING = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
"""What no page and no table may hold."""

ACTING_ON_A_LINE = re.compile(f"{ACTING.pattern[:-1]}\r\t\u2028\u2029]")
"""What no line on a terminal or in a log may hold besides."""
