"""Notices threads that hang, and shows where."""

from __future__ import annotations

import logging
import sys
import threading
import time
import traceback

from pamiq_exp.runtime.control import RunControl

logger = logging.getLogger(__name__)


def stacks() -> str:
    """Return what every thread of this process is doing, as text."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    parts = []
    for identity, frame in sys._current_frames().items():
        lines = "".join(traceback.format_stack(frame))
        parts.append(f"thread {names.get(identity, identity)}:\n{lines}")
    return "\n".join(parts)


class Watchdog:
    """Logs the stacks of all threads when a worker gives no sign of life for too long, once for each time.

    Args:
        control: Whose workers to watch.
        seconds: How long is too long; None never logs.
    """

    def __init__(self, control: RunControl, seconds: float | None) -> None:
        self._control = control
        self._seconds = seconds
        self._told: dict[str, float] = {}

    def look(self) -> None:
        """Look at all workers now."""
        if self._seconds is None:
            return
        for worker in self._control.workers:
            silent_since = worker.last_sign_of_life
            silent = time.monotonic() - silent_since
            resting = worker.waiting or worker.parked
            if silent > self._seconds and not resting and self._told.get(worker.name) != silent_since:
                self._told[worker.name] = silent_since
                logger.warning(
                    "the %s thread has given no sign of life for %.1f s (launcher.watchdog_seconds); "
                    "what all threads are doing:\n%s",
                    worker.name,
                    silent,
                    stacks(),
                )
