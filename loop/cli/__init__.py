"""The command line: `deltaloop COMMAND`. Arguments come in here; what they mean is elsewhere.

    0    done
    1    failed: one line on standard error says what, with which value, and what to do
    2    wrong usage, an invalid or absent campaign file included
    130  interrupted (by SIGTERM or `stop`: 0): what is committed is kept, and the same command goes on from there

    running    works: rounds, a Δ report, an evaluation     exchange   prompts in, prompts and students out
    looking    only looks                                 facts      verify, gc, backup, restore
    operating  serve, ui, pause, resume, stop             planning  what it will cost, which budget is best
    arguments  what several of them take

Results go to standard output, progress and errors to standard error. Each command imports what it needs when it runs:
`--help` and `status` are quick.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings

import typer

from loop.cli import exchange, facts, looking, operating, planning, running
from loop.logs import OneLine, end, tell
from store.errors import DeltaloopError

TRACEBACK = "DELTALOOP_TRACEBACK"
"""If this environment variable is set, a failure shows where it happened."""

app = typer.Typer(
    help="Finds the prompts on which a student still differs from its teacher, makes more of them, and distils there.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for _command in (
    running.init,
    running.run,
    looking.status,
    exchange.import_,
    looking.compare,
    running.score,
    facts.verify,
    facts.gc,
    facts.backup,
    facts.restore,
    exchange.student,
    exchange.export,
    exchange.report,
    running.evaluate,
    planning.plan,
    planning.tune,
    looking.doctor,
    operating.serve,
    operating.ui,
    operating.pause,
    operating.resume,
    operating.stop,
):
    app.command(_command.__name__.rstrip("_"))(_command)


def main() -> None:
    """Run a command, and turn what happens into an exit code."""
    end()  # of what an earlier command in this process logged
    _quiet()
    try:
        app()
    except DeltaloopError as error:
        if os.environ.get(TRACEBACK):
            raise
        tell(f"error: {' '.join(str(error).split())}", logging.ERROR)
        sys.exit(error.exit_code)


def _quiet() -> None:
    """Settings that must be made before torch and MLflow load; whoever set them otherwise keeps them."""
    for name, value in {
        # Two processes with torch threads that spin while they wait slow each other ten- to a hundredfold.
        "OMP_WAIT_POLICY": "PASSIVE",
        "TOKENIZERS_PARALLELISM": "false",
        "TRANSFORMERS_VERBOSITY": "error",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GIT_PYTHON_REFRESH": "quiet",
    }.items():
        os.environ.setdefault(name, value)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    shown = logging.StreamHandler()
    shown.setFormatter(OneLine("%(levelname)s: %(message)s"))
    logging.basicConfig(level=logging.ERROR, handlers=[shown])
    for name in ("loop", "store", "policies"):
        logging.getLogger(name).setLevel(logging.WARNING)
