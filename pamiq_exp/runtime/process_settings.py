"""What a launch changes in its process, for as long as it lasts."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from pamiq_exp.runtime.control import RunControl


@contextmanager
def switch_interval(seconds: float | None) -> Iterator[None]:
    """Let Python switch threads after so many seconds, as long as this lasts; None changes nothing."""
    before = sys.getswitchinterval()
    if seconds is not None:
        sys.setswitchinterval(seconds)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


_is_frozen = False


@contextmanager
def frozen_heap(collect: bool = True) -> Iterator[None]:
    """Keep what exists now out of garbage collections, after one of them if `collect` says so.

    Torch and Lightning leave some hundred thousand objects behind that are never freed. Going through them
    takes the collector a tenth of a second, on whichever thread happens to trigger it. In a process that was just
    forked it would also copy all of them. Within another frozen heap, what that one keeps out stays out.
    """
    global _is_frozen
    if collect:
        gc.collect()
    if _is_frozen:
        yield
        return
    gc.freeze()
    _is_frozen = True
    try:
        yield
    finally:
        gc.unfreeze()
        _is_frozen = False


_STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)


@contextmanager
def stop_on_signals(control: RunControl) -> Iterator[None]:
    """SIGTERM, SIGHUP, SIGUSR1 and the first Ctrl-C save and stop; the second Ctrl-C stops at once.

    From the first part that is set up to the last file that is written: a signal never leaves a run without its end.
    Signals that the process ignores, as SIGHUP under `nohup`, stay ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    asked = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        # The second signal may come while the first one is still being reported. Once the loop is over, what is left is
        # to write how the run ended, and the first one does not prevent that.
        if number == signal.SIGINT and (asked or (control.stopping and control.workers)):
            raise KeyboardInterrupt("interrupted twice")
        asked = True
        name = signal.Signals(number).name
        # Neither print nor the logger: the handler may have interrupted either of them.
        with suppress(OSError):  # a terminal that is gone takes nothing, and SIGHUP is how a process notices
            os.write(2, f"\n{name}: the run saves and stops; press Ctrl-C again to stop at once\n".encode())
        control.stop_from_signal(name)

    handled = [number for number in _STOPS if signal.getsignal(number) not in (signal.SIG_IGN, None)]
    before = {number: signal.signal(number, handle) for number in handled}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
