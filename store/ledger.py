"""The ledger: the facts, in one SQL database. It alone is what a resume reads.

    Prompts    prompts, pools, quarantine, embeddings     Rollouts  samples of a version
    Scores     scores, regions, candidates of a round     Versions  checkpoints and their evaluations
    Rounds     campaigns, rounds, stages, plans           Leases    who works on a campaign
    Orders     what is asked of who works on a campaign   Browsing  what pages show

Records of `store.records` go in and come out; one public function is one transaction; adding a fact twice is harmless.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from store.browsing import Browsing
from store.database import BUSY_TIMEOUT_S, Database
from store.leases import Leases
from store.migrate import migrate
from store.orders import Orders
from store.prompts import Prompts
from store.rollouts import Rollouts
from store.rounds import Rounds
from store.scores import Scores
from store.versions import Versions


class Ledger(Prompts, Rollouts, Scores, Versions, Rounds, Leases, Orders, Browsing):
    """An open ledger, at the newest schema: created or migrated by opening it.

    Threads may share one. Every method raises LedgerUnusable if the database cannot be reached, Missing (a KeyError) if
    it is asked for, or refers to, what is not there, and Unstorable if a value cannot be kept exactly.
    """

    def __init__(self, url_or_path: str | Path, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        self._database = Database(url_or_path, busy_timeout_s=busy_timeout_s)
        migrate(self._database)

    @property
    def database(self) -> Database:
        """The database itself, for `store.verify`."""
        return self._database

    def close(self) -> None:
        """Give back the database file."""
        self._database.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
