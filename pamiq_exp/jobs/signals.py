"""What a signal does to a command: one line and the exit status of a shell, never a traceback.

A run has handlers of its own while it lasts, which save first (see `pamiq_exp.runtime`).
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""Signals that end a command: Ctrl-C, the end of a time limit, a closed terminal, preemption."""


class Interrupted(KeyboardInterrupt):
    """A signal came while there was no run that could save.

    Attributes:
        number: The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number

    @property
    def status(self) -> int:
        """The exit status, as a shell reports it."""
        return 128 + self.number


def status_of(error: KeyboardInterrupt) -> int:
    """Return the exit status of a command that was interrupted."""
    return error.status if isinstance(error, Interrupted) else 128 + signal.SIGINT


@contextmanager
def interruptible() -> Iterator[None]:
    """Let a signal of `STOPS` raise `Interrupted`; a second one ends the process at once.

    Signals that were ignored when the process began, as under `nohup`, stay so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if caught:  # the first one was lost in code that swallows exceptions, or is slow to end
            os._exit(128 + number)
        caught.append(number)
        raise Interrupted(number)

    before = {number: signal.getsignal(number) for number in STOPS}
    handled = [number for number in STOPS if before[number] not in (signal.SIG_IGN, None)]
    for number in handled:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, before[number])
