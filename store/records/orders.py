"""What an operator has asked of the controller of a campaign."""

from __future__ import annotations

from enum import StrEnum


class Order(StrEnum):
    """`run` is what holds where nobody has asked for anything."""

    RUN = "run"
    PAUSE = "pause"
    """Take no new work, and wait; a controller that starts meanwhile waits too."""
    STOP = "stop"
    """End. It is meant for the controller that is there when it is given, and for no later one."""
