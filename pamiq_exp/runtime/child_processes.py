"""What the processes that a run starts on its machine have in common."""

from __future__ import annotations

import ctypes
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_IGNORED_SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1}
"""Signals by which a run saves and stops: its first process asks the others for what they take."""

_PR_SET_PDEATHSIG = 1
"""From `linux/prctl.h`."""


@contextmanager
def signals_held_back() -> Iterator[None]:
    """Start a process here, so that no signal ends it before it calls `follow_first_process`."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _IGNORED_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def follow_first_process() -> None:
    """Ignore the signals that a run is stopped by, and (on Linux) end with the process that started this one."""
    for number in _IGNORED_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _IGNORED_SIGNALS)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def cause_of_exit(who: str, status: int | None) -> str:
    """Return a sentence on the end of a process.

    Args:
        who: The process, such as "the learner's process".
        status: Its exit status, as `multiprocessing` gives it; None while it lives.
    """
    if status is None:
        return f"{who} sent what cannot be read"
    if status < 0:
        name = signal.Signals(-status).name
        hint = "; the system ends processes so when memory is short: make buffers or batches smaller"
        return f"{who} was ended by {name}{hint if name == 'SIGKILL' else ''}"
    return f"{who} ended by itself (exit status {status})"
