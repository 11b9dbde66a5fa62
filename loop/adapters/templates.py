"""What a generator is told: Jinja2 files, shipped with this package; a user's folder may replace any of them.

    seed_guided.jinja, skill_guided.jinja    new questions on a picture
    new_chart.jinja                          a chart and questions on it
    failure_skill.jinja                      what the student lacks

They run in Jinja2's sandbox, and a value that they name and do not get is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from jinja2 import ChoiceLoader, FileSystemLoader, PackageLoader, StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from store.errors import UsageError

NAMES = ("seed_guided", "skill_guided", "new_chart", "failure_skill")
SUFFIX = ".jinja"


class Templates:
    """The shipped templates, with those of a folder in their place."""

    def __init__(self, folder: str | None = None) -> None:
        """Compile all of them. UsageError names a file that is none of ours, or where one is wrong."""
        shipped = PackageLoader("loop", "templates")
        own = [FileSystemLoader(folder)] if folder is not None else []
        environment = ImmutableSandboxedEnvironment(loader=ChoiceLoader([*own, shipped]), undefined=StrictUndefined)
        for path in sorted(Path(folder).glob(f"*{SUFFIX}")) if folder is not None else ():
            if path.stem not in NAMES:
                names = ", ".join(name + SUFFIX for name in NAMES)
                raise UsageError(f"`generation.templates`: {path} takes the place of nothing; the files are {names}")
        try:
            self._templates = {name: environment.get_template(name + SUFFIX) for name in NAMES}
        except (TemplateError, UnicodeDecodeError) as error:
            raise UsageError(f"`generation.templates`: {_place(error)}{error}; correct the file") from None

    def render(self, name: str, values: Mapping[str, object]) -> str:
        """A template's text. UsageError if it fails on these values."""
        try:
            return self._templates[name].render(values).strip()
        except Exception as error:  # a template may raise what any expression may raise
            raise UsageError(f"`generation.templates`: {name}{SUFFIX}: {error}; correct the file") from error


def _place(error: Exception) -> str:
    file, line = getattr(error, "filename", None), getattr(error, "lineno", None)
    return f"{file}:{line}: " if file else ""
