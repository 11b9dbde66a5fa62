"""Text that somebody else wrote, made fit to be shown: what no page can hold, or what reorders it, becomes `�`."""

from __future__ import annotations

import re
from typing import Any

from markupsafe import Markup

_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def clean(text: str) -> str:
    """Text without control characters, lone surrogates and marks that turn its direction."""
    return _UNFIT.sub("\N{REPLACEMENT CHARACTER}", text)


def finalize(value: Any) -> Any:
    """What templates do to each value before they escape it; what is not known is a dash."""
    if isinstance(value, Markup):
        return value
    return "–" if value is None else clean(str(value))
