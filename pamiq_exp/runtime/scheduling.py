"""What the operating system is told about the threads of a run. Elsewhere than on Linux, nothing."""

from __future__ import annotations

import ctypes
import os
import sys
import threading

_PR_SET_TIMERSLACK = 29
"""From `linux/prctl.h`."""


def be_nice(niceness: int) -> None:
    """Lower the priority of the calling thread by `niceness`."""
    if niceness and sys.platform == "linux":
        own = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, own, min(19, os.getpriority(os.PRIO_PROCESS, own) + niceness))


def wake_promptly() -> None:
    """Ask for timers of the calling thread to end when they are due.

    Linux lets them end up to 50 us late, to save wake-ups. A thread that asks for the interpreter lock waits
    by such a timer before it may demand the lock, anew after each operation that let go of it.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, ctypes.c_ulong(1), 0, 0, 0)
