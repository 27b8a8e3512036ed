"""Priority, timers and torch threads of the threads of a run. Priority and timers: Linux only."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_PR_SET_TIMERSLACK = 29
_PR_GET_TIMERSLACK = 30
"""From `linux/prctl.h`."""


def lower_priority(niceness: int) -> None:
    """Lower the priority of the calling thread by `niceness`."""
    if niceness and sys.platform == "linux":
        own = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, own, min(19, os.getpriority(os.PRIO_PROCESS, own) + niceness))


@contextmanager
def reduced_timer_slack() -> Iterator[None]:
    """Ask for timers of the calling thread to end when they are due, as long as this lasts.

    Linux lets them end up to 50 us late, to save wake-ups. A thread that asks for the interpreter lock waits
    by such a timer before it may demand the lock, again after each operation that let go of it.
    """
    if sys.platform != "linux":
        yield
        return
    prctl = ctypes.CDLL(None).prctl
    before = prctl(_PR_GET_TIMERSLACK, 0, 0, 0, 0)
    prctl(_PR_SET_TIMERSLACK, ctypes.c_ulong(1), 0, 0, 0)
    try:
        yield
    finally:
        prctl(_PR_SET_TIMERSLACK, ctypes.c_ulong(max(before, 1)), 0, 0, 0)


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Let torch use so many threads inside one operation of the calling thread, as long as this lasts."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
