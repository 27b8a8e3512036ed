"""Turns at a fixed rate, by absolute deadlines."""

from __future__ import annotations

import time
from collections.abc import Callable

from pamiq_exp.runtime.config import Overrun
from pamiq_exp.runtime.durations import Durations

_MOST_CATCH_UP = 10
"""Intervals by which a run may lag behind before it skips turns even with `catch_up`: beyond that it is
overloaded, and a burst of late turns would not help."""

_LONGEST_SLEEP = 0.05
"""Seconds; waits are cut into pieces so that a stop or a task is noticed soon."""


class Pacer:
    """Waits for the next deadline. Deadlines lie on a grid, so lateness never adds up to drift.

    Args:
        interval: Wall seconds from one turn to the next.
        overrun: What to do after a turn that took longer than that; see `LaunchConfig.overrun`.
        lateness: Takes the seconds by which turns began after they were due.
    """

    def __init__(self, interval: float, overrun: Overrun, lateness: Durations) -> None:
        self.interval = interval
        self.skipped = 0
        """Turns that never took place because the run lagged behind."""
        self._overrun = overrun
        self._lateness = lateness
        self._due = time.perf_counter()

    def realign(self) -> None:
        """The next turn is due now: after a pause."""
        self._due = time.perf_counter()

    def wait(self, interrupted: Callable[[], bool]) -> bool:
        """Wait until the next turn is due. Returns False, early, when `interrupted` returns true."""
        while (remaining := self._due - time.perf_counter()) > 0:
            if interrupted():
                return False
            time.sleep(min(remaining, _LONGEST_SLEEP))
        self._lateness.add(-remaining)
        return True

    def turn_taken(self) -> bool:
        """Move the deadline on; return whether the turn that just ended was over in time."""
        self._due += self.interval
        lag = time.perf_counter() - self._due
        if lag <= 0:
            return True
        if self._overrun == "skip" or lag > _MOST_CATCH_UP * self.interval:
            missed = int(lag / self.interval) + 1
            self.skipped += missed
            self._due += missed * self.interval
        return False
