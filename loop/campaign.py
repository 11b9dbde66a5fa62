"""Many rounds: start or resume a campaign, and run what its ledger says is left to do.

A completed round is never entered again: its verdict is read from the ledger. A round that was interrupted keeps the
settings of its first start; changed settings apply from the next round.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace

from loop.config import CampaignSettings
from loop.logs import working_at
from loop.ports import Blobs, Ledger, Ports
from loop.provenance import provenance
from loop.round import close, prepare, run_round
from loop.stages import StageLog, recorded
from loop.summary import outputs_of, reader, spent_of
from loop.work import Work
from store.errors import LimitReached
from store.records import Spent, Status, Verdict, Version, canonical_json


@dataclass(frozen=True)
class Progressed:
    """How far the completed rounds of a campaign have brought it."""

    student: Version
    next_round: int
    stopped_because: str
    """Why a verdict ended the campaign; '' if none did."""


def run_campaign(
    settings: CampaignSettings, ports: Ports, student: Version, teacher: Version, *, upto: int | None = None
) -> Version:
    """Run, or resume, all rounds, or those up to one; returns the student that is kept.

    While rounds are left the campaign stays `running`. LimitReached if a limit of the settings ends it before: the
    campaign is stopped, and goes on under a higher limit.
    """
    ledger = ports.ledger
    ledger.add_version(student)
    ledger.add_version(teacher)
    ledger.start_campaign(settings.name, seed=settings.seed, pool=settings.pool.name, identity=settings.identity())
    if ports.spending.limits_campaign:  # which takes reading the outputs of all rounds
        ports.spending.counts_from(*spent_so_far(ledger, ports.blobs, settings.name))
    try:
        watched = replace(ports, progress=ports.spending.watching(ports.progress))
        kept, is_over = _run_rounds(settings, watched, student, teacher, settings.rounds if upto is None else upto)
    except LimitReached:
        _end(settings, ports, Status.STOPPED)
        raise
    except Exception:
        _end(settings, ports, Status.FAILED)
        raise
    except BaseException:
        _end(settings, ports, Status.STOPPED)
        raise
    if is_over:
        _end(settings, ports, Status.COMPLETED)
    return kept


def progressed(ledger: Ledger, blobs: Blobs, campaign: str, student: Version) -> Progressed:
    """Follow the verdicts of the completed rounds, from the student that the campaign began with."""
    index, reason = 0, ""
    for row in ledger.rounds(campaign):
        if row.status is not Status.COMPLETED:
            break
        index = row.index + 1
        verdict = recorded(ledger, blobs, campaign, row.index, "judge", Verdict)
        if verdict is not None:
            student, reason = verdict.student, verdict.reason if verdict.stop else ""
    return Progressed(student, index, reason)


def spent_so_far(ledger: Ledger, blobs: Blobs, campaign: str) -> tuple[Spent, float]:
    """What the completed stages of a campaign have spent, and the seconds of all attempts."""
    rounds = ledger.rounds(campaign)
    spent = Spent.total([spent_of(outputs_of(row, reader(blobs))) for row in rounds] or [Spent()])
    return spent, sum(stage.seconds for row in rounds for stage in row.stages)


def is_finished(ledger: Ledger, blobs: Blobs, settings: CampaignSettings) -> bool:
    """Whether a run of these settings would find nothing to do. UsageError if the pair or the seed changed."""
    row = ledger.find_campaign(settings.name)
    if row is None or row.status is not Status.COMPLETED or row.identity != settings.identity():
        return False
    rounds = ledger.rounds(settings.name)
    last = recorded(ledger, blobs, settings.name, rounds[-1].index, "judge", Verdict) if rounds else None
    return len(rounds) > settings.rounds or (last is not None and last.stop)


def _run_rounds(
    settings: CampaignSettings, ports: Ports, student: Version, teacher: Version, upto: int
) -> tuple[Version, bool]:
    """The kept student, and whether no round is left."""
    done = progressed(ports.ledger, ports.blobs, settings.name, student)
    student, index, reason = done.student, done.next_round, done.stopped_because
    while index <= min(upto, settings.rounds) and not reason:
        with working_at(settings.name, index):
            student, reason = _run_one(settings, index, ports, student, teacher)
        index += 1
    return student, index > settings.rounds or bool(reason)


def _run_one(
    settings: CampaignSettings, index: int, ports: Ports, student: Version, teacher: Version
) -> tuple[Version, str]:
    """Run or resume one round; returns the kept student, and why the campaign should stop, if it should."""
    code = provenance()
    row = ports.ledger.start_round(
        settings.name,
        index,
        settings=canonical_json(ports.budget(settings, index).model_dump(mode="json")),
        commit=code.commit,
        dirty=code.dirty,
    )
    work = Work(settings.name, index, CampaignSettings.model_validate_json(row.settings), teacher)
    stage = StageLog(
        ports.ledger, ports.blobs, ports.tracker, settings.name, index, spending=ports.spending, look=ports.look
    )
    tags = {"commit": code.commit, "dirty": str(code.dirty).lower(), "branch": code.branch}
    ports.tracker.round_started(settings.name, index, work.settings.model_dump(mode="json"), tags)
    status = Status.STOPPED
    reason = ""
    try:
        if index == 0:
            prepare(work, student, ports, stage)
        else:
            verdict = run_round(work, student, ports, stage)
            student, reason = verdict.student, verdict.reason if verdict.stop else ""
            if reason or index == work.settings.rounds:
                close(work, student, ports, stage)
        status = Status.COMPLETED
    except LimitReached:
        raise
    except Exception:
        status = Status.FAILED
        raise
    finally:
        ports.ledger.end_round(settings.name, index, status)
        ports.tracker.round_ended(settings.name, index, status)
    shutil.rmtree(ports.work_dir / work.key(), ignore_errors=True)
    return student, reason


def _end(settings: CampaignSettings, ports: Ports, status: Status) -> None:
    ports.ledger.end_campaign(settings.name, status)
    ports.tracker.campaign_ended(settings.name, status)
