"""Ending a process well: by SIGTERM, Ctrl-C, an order, or because its lease is lost.

    asked to end    -> raised by `look` at the next moment at which nothing is uncommitted
    8 s later       -> raised in the main thread wherever it is: what is uncommitted is dropped, and done again later
    10 s later      -> the process ends, whatever it is doing: as after a crash, which is safe
    asked again     -> the process ends at once, likewise

A signal is noticed by a thread, not by the main one, which may be deep in a library for a minute.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from loop.logs import tell

GRACE_S = 8.0
"""How long work that is not committed yet may go on."""

END_S = 9.5
"""After which the process ends, whatever it is doing."""

SIGNALS = {signal.SIGTERM: ("stopped by SIGTERM", 0), signal.SIGINT: ("interrupted", 130)}
"""Which signals ask to end, in which words, and with which exit code."""

INTERRUPT = signal.SIGUSR2
"""Wakes the main thread up, also where it waits for something."""

OVER, WAKE = b"\0", b"\xff"
"""What is written beside the numbers of signals: nobody listens any more; look at the times."""

AT_ONCE = 130
"""Exit code of a process that did not end its work."""


class Stopped(KeyboardInterrupt):
    """The process is to end; what is committed is kept. Libraries let it through, as they do Ctrl-C."""

    def __init__(self, reason: str, exit_code: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.exit_code = exit_code


def interrupt_main_thread() -> None:
    """Interrupt it wherever it is."""
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, INTERRUPT)


class Stopping:
    """Whether this process is to end, and why. `listening` makes one."""

    def __init__(
        self,
        end: Callable[[int], object],
        wake: Callable[[], object] = lambda: None,
        interrupt: Callable[[], object] = interrupt_main_thread,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """How it is done.

        Args:
            end: ends the process at once, with an exit code.
            wake: tells whoever keeps to the times, by `waits_s`, that they have begun.
            interrupt: has the main thread call `on_interrupt`.
            clock: seconds.
        """
        self._end = end
        self._wake = wake
        self.interrupt = interrupt
        self._clock = clock
        self._lock = threading.Lock()
        self._asked: Stopped | None = None
        self._raised = False
        self._since = 0.0
        self.changed = threading.Event()
        """Set when the process is asked to end."""

    def ask(self, reason: str, exit_code: int) -> None:
        """Ask the process to end; the second time, end it at once."""
        with self._lock:
            again = self._asked is not None
            if not again:
                self._asked, self._since = Stopped(reason, exit_code), self._clock()
                self.changed.set()
                tell(f"{reason}: ending at the next commit, in {GRACE_S:.0f} s at most")
        if again:
            self._end(AT_ONCE)
        self._wake()

    def look(self) -> None:
        """Stopped, if the process is asked to end. Called where nothing is uncommitted."""
        if self._asked is not None:
            self._raised = True
            raise self._asked

    def on_interrupt(self, number: int, frame: FrameType | None) -> None:
        """What the main thread does when it is interrupted: end its work, if it does not yet."""
        if self._raised:
            return
        self._raised = True
        raise self._asked or Stopped("interrupted", AT_ONCE)

    def waits_s(self) -> float | None:
        """Keep to the times: interrupt or end what is due. Returns the seconds until something is; None for never."""
        if self._asked is None:
            return None
        gone = self._clock() - self._since
        if gone >= END_S:
            self._end(self._asked.exit_code)
        if self._raised:
            return max(0.0, END_S - gone)
        if gone >= GRACE_S:
            self.interrupt()
            return 0.1
        return GRACE_S - gone


@contextmanager
def listening(end: Callable[[int], object] = os._exit) -> Iterator[Stopping]:
    """Within, signals ask the process to end; once asked, it is held to the times until it has ended. Main thread only.

    Args:
        end: ends the process at once, with an exit code.
    """
    reading, writing = os.pipe()
    stopping = Stopping(end, wake=lambda: os.write(writing, WAKE))
    for descriptor in (reading, writing):
        os.set_blocking(descriptor, False)
    before = {number: signal.signal(number, _noticed) for number in SIGNALS}
    before[INTERRUPT] = signal.signal(INTERRUPT, stopping.on_interrupt)
    woken = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    os.register_at_fork(after_in_child=_forget)
    thread = threading.Thread(target=_listen, args=(stopping, reading), name="signals", daemon=True)
    thread.start()
    try:
        yield stopping
    finally:
        if not stopping.changed.is_set():
            signal.set_wakeup_fd(woken)
            for number, handler in before.items():
                signal.signal(number, handler)
            os.write(writing, OVER)
            thread.join()
            for descriptor in (reading, writing):
                os.close(descriptor)


def _noticed(number: int, frame: FrameType | None) -> None:
    """The thread has been told already; this keeps the signal from ending the process."""


def _forget() -> None:
    """A forked child is its own process: a signal to it must not be taken for one to its parent."""
    if signal.getsignal(signal.SIGTERM) is _noticed:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(INTERRUPT, signal.SIG_DFL)


def _listen(stopping: Stopping, descriptor: int) -> None:
    while True:
        select.select([descriptor], [], [], stopping.waits_s())
        try:
            numbers = os.read(descriptor, 64)
        except BlockingIOError:
            continue
        for number in numbers:
            if number == OVER[0]:
                return
            if number in SIGNALS:
                stopping.ask(*SIGNALS[signal.Signals(number)])
