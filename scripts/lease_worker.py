"""A controller reduced to its lease: `python -m scripts.lease_worker LEDGER LEASE_S` holds one, and writes and writes.

It says "ready". Each line on its standard input makes it try: it says "held" and works, or "refused: why" and waits for
the next line. It ends with code 1 when it loses the lease. `scripts.drill_lease` and tests start, stop and kill it.
"""

from __future__ import annotations

import os
import sys
import time
from itertools import count

from loop.lease import holding
from store.errors import CampaignHeld, LeaseLost
from store.ledger import Ledger

CAMPAIGN = "drill"


def work(ledger: Ledger, lease_s: float) -> None:
    """Write as long as this process may."""
    with holding(ledger, CAMPAIGN, lease_s=lease_s):
        print("held", flush=True)
        for number in count():
            ledger.add_plan(f"{os.getpid()}/{number}", [])
            time.sleep(0.02)


def main(url: str, lease_s: float) -> int:
    """Try at each line of the standard input; returns the exit code."""
    with Ledger(url) as ledger:
        print("ready", flush=True)
        for _ in sys.stdin:
            try:
                work(ledger, lease_s)
            except CampaignHeld as refusal:
                print(f"refused: {refusal}", flush=True)
            except LeaseLost as loss:
                print(f"lost: {loss}", flush=True)
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], float(sys.argv[2])))
