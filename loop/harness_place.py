"""Where lmms-eval is: an environment of its own, whose Python runs it.

DELTALOOP_LMMS_EVAL, if set -> .venv-lmms-eval in the current folder -> .venv-lmms-eval beside this package
"""

from __future__ import annotations

import os
from pathlib import Path

from store.errors import HarnessFailed

VARIABLE = "DELTALOOP_LMMS_EVAL"
"""Names the Python of an environment in which lmms-eval is installed."""
ENVIRONMENT = ".venv-lmms-eval"
SETUP = f"sh scripts/setup_lmms_eval.sh makes it in {ENVIRONMENT}, or {VARIABLE} names the Python of another one"


def find_python() -> Path:
    """The Python of lmms-eval's environment. HarnessFailed if there is none."""
    told = os.environ.get(VARIABLE)
    places = [Path(told)] if told else [folder / ENVIRONMENT / "bin" / "python" for folder in _folders()]
    for place in places:
        if place.is_file():
            return place.absolute()  # a link, which must not be followed: it is what makes the environment
    where = f"{VARIABLE}={told} is no file" if told else f"there is no {places[-1]}"
    raise HarnessFailed(f"lmms-eval's environment is not there ({where}): {SETUP}")


def installed_version() -> str | None:
    """The version of lmms-eval in that environment, by its metadata alone; None if it is not there."""
    try:
        python = find_python()
    except HarnessFailed:
        return None
    found = sorted(python.parents[1].glob("lib/python*/site-packages/lmms_eval-*.dist-info"))
    return found[-1].name.removeprefix("lmms_eval-").removesuffix(".dist-info") if found else None


def _folders() -> tuple[Path, Path]:
    return Path.cwd(), Path(__file__).resolve().parents[1]
