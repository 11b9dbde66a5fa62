"""The one error tree. A message says what happened, with which value, and what to do."""

from __future__ import annotations


class DeltaloopError(Exception):
    """Base of every expected failure: the command line prints its message as one line and exits with `exit_code`."""

    exit_code = 1


class UsageError(DeltaloopError, ValueError):
    """Wrong usage: a bad option, an invalid or absent campaign file."""

    exit_code = 2


class Corrupt(DeltaloopError, ValueError):
    """Stored bytes do not match their digest."""


class StageChanged(DeltaloopError, ValueError):
    """A finished stage was asked for again with other inputs."""


class StageFailed(DeltaloopError, RuntimeError):
    """A stage raised; the error is recorded in the ledger and the campaign can be run again."""


class EmptyTrainingSet(DeltaloopError, ValueError):
    """There is nothing to train on."""


class ModelUnusable(DeltaloopError, ValueError):
    """A model cannot be loaded, or would silently ignore its images."""


class Missing(DeltaloopError, KeyError):
    """Something is asked for, or referred to, that the store does not hold."""

    __str__ = Exception.__str__  # KeyError would print the message's repr


class Unstorable(DeltaloopError, ValueError):
    """A value that the store cannot keep exactly, e.g. NaN."""


class LedgerUnusable(DeltaloopError, RuntimeError):
    """The ledger cannot be opened, read or written: no ledger, a newer one, locked, disk full."""


class CampaignHeld(DeltaloopError, RuntimeError):
    """Another process works on the campaign."""


class LeaseLost(DeltaloopError, RuntimeError):
    """Another process has taken over the campaign: this one must write nothing more."""


class LimitReached(DeltaloopError, RuntimeError):
    """A campaign or a stage has spent what it may: a normal end, after which a higher limit goes on."""

    exit_code = 0


class DiskFull(DeltaloopError, OSError):
    """Too little is free on a disk."""

    __str__ = Exception.__str__


class PoolTooLarge(DeltaloopError, MemoryError):
    """Holding a pool would take more memory than it may."""


class BackupUnusable(DeltaloopError, ValueError):
    """A backup cannot be written where it should be, or a file is no sound backup."""


class UnreadableImage(DeltaloopError, ValueError):
    """An image's bytes cannot be decoded: truncated, of an unknown format, or far too large."""


class TrainingDiverged(DeltaloopError, RuntimeError):
    """A training's loss is no longer a number, or its responses have degenerated."""


class HarnessFailed(DeltaloopError, RuntimeError):
    """An evaluation harness is not there, or could not finish a task."""


class ServerUnavailable(DeltaloopError, ConnectionError):
    """A server that draws responses does not answer, or not with what was asked for, after all retries."""
