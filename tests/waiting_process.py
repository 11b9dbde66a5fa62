"""A process that was started to train, and waits: `python -m tests.waiting_process FOLDER` writes FOLDER/pid."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

from loop.train_process import end_with_the_controller

if __name__ == "__main__":
    threading.Thread(target=end_with_the_controller, daemon=True).start()
    file = Path(sys.argv[1]) / "pid"
    file.with_suffix(".part").write_text(str(os.getpid()))
    file.with_suffix(".part").replace(file)
    time.sleep(600)
