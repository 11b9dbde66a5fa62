"""Templates and the files that pages load; escaping is on everywhere."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from loop.text import clean

if TYPE_CHECKING:
    from jinja2 import Environment, Template

STATIC = {"style.css": "text/css", "live.js": "text/javascript", "icon.svg": "image/svg+xml"}


def template(name: str) -> Template:
    """A template by its file name."""
    return _environment().get_template(name)


def static_file(name: str) -> tuple[str, int, None, str] | None:
    """The text of a file that pages load, as arguments of a response; None if there is no such file."""
    return (read_static(name), 200, None, STATIC[name]) if name in STATIC else None


def read_static(name: str) -> str:
    """The text of a file that pages load."""
    return (files("loop.dashboard") / "static" / name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("loop.dashboard"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_fit,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["number"] = lambda value, places=2: None if value is None else f"{value:,.{places}f}"
    made.filters["percent"] = lambda value: None if value is None else f"{value:.1%}"
    return made


def _fit(value: Any) -> Any:
    """What templates do to each value before they escape it; what is not known is a dash."""
    if isinstance(value, Markup):
        return value
    return "–" if value is None else clean(str(value))
