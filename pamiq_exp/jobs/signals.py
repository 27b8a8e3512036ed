"""What a signal does to a command: one line and the exit status of a shell, never a traceback.

A run has handlers of its own while it lasts, which save first (see `pamiq_exp.runtime`).
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import TypeAlias

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""Signals that end a command: Ctrl-C, the end of a time limit, a closed terminal, preemption."""

Handler: TypeAlias = Callable[[int, FrameType | None], object] | int | None
"""What `signal.getsignal` returns."""


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
    """Let a signal of `STOPS` raise `Interrupted`; a second one ends the process at once."""
    caught: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if caught:  # the first one was lost in code that swallows exceptions, or is slow to end
            os._exit(128 + number)
        caught.append(number)
        raise Interrupted(number)

    with handling(STOPS, handle):
        yield


@contextmanager
def handling(
    numbers: Iterable[int], handle: Callable[[int, FrameType | None], None]
) -> Iterator[Mapping[int, Handler]]:
    """Have signals handled as long as this lasts, and yield the handlers that they had before.

    Signals that were ignored when the process began, as under `nohup`, stay so. Outside the main thread there are none.
    """
    main = threading.current_thread() is threading.main_thread()
    handlers = {number: signal.getsignal(number) for number in numbers} if main else {}
    before = {number: handler for number, handler in handlers.items() if handler not in (signal.SIG_IGN, None)}
    for number in before:
        signal.signal(number, handle)
    try:
        yield before
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
