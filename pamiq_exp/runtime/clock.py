"""Clocks of a run: wall time, and run time that may be scaled or virtual."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod


class Clock(ABC):
    """Two readings: wall seconds and run seconds, both without pauses and both going on after a resume."""

    @property
    @abstractmethod
    def run_seconds(self) -> float:
        """Seconds of run time: scaled in realtime, virtual in lockstep."""

    @property
    @abstractmethod
    def wall_seconds(self) -> float:
        """Wall seconds of this run."""

    def start(self) -> None:
        """Begin to count. Before it both readings stand still."""

    def pause(self) -> None:
        """Stop counting."""

    def resume(self) -> None:
        """Count on."""

    @abstractmethod
    def restore(self, run_seconds: float, wall_seconds: float) -> None:
        """Go on from saved readings. Call it before `start`."""


class _Stopwatch:
    """Monotonic seconds, pausable. Pausing twice or resuming twice changes nothing."""

    def __init__(self) -> None:
        # One reference, read and replaced as a whole: other threads may look at any moment.
        self._reading: tuple[float, float | None] = (0.0, None)
        """Seconds until it was last set going, and when that was; None while it stands still."""

    @property
    def seconds(self) -> float:
        elapsed, since = self._reading
        return elapsed if since is None else elapsed + time.perf_counter() - since

    def go(self) -> None:
        elapsed, since = self._reading
        if since is None:
            self._reading = elapsed, time.perf_counter()

    def stop(self) -> None:
        self._reading = self.seconds, None

    def restore(self, seconds: float) -> None:
        self._reading = seconds, self._reading[1]


class WallClock(Clock):
    """Real time, `time_scale` run seconds to the wall second."""

    def __init__(self, time_scale: float = 1.0) -> None:
        self.time_scale = time_scale
        self._watch = _Stopwatch()
        self._run_offset = 0.0
        """Run seconds minus scaled wall seconds: not zero when a run was resumed with another scale."""

    @property
    def run_seconds(self) -> float:
        return self._watch.seconds * self.time_scale + self._run_offset

    @property
    def wall_seconds(self) -> float:
        return self._watch.seconds

    def start(self) -> None:
        self._watch.go()

    def pause(self) -> None:
        self._watch.stop()

    def resume(self) -> None:
        self._watch.go()

    def restore(self, run_seconds: float, wall_seconds: float) -> None:
        self._watch.restore(wall_seconds)
        self._run_offset = run_seconds - wall_seconds * self.time_scale


class VirtualClock(Clock):
    """Run time that moves only with `advance`; wall time is read for information."""

    def __init__(self) -> None:
        self._watch = _Stopwatch()
        self._run_seconds = 0.0

    @property
    def run_seconds(self) -> float:
        return self._run_seconds

    @property
    def wall_seconds(self) -> float:
        return self._watch.seconds

    def advance(self, seconds: float) -> None:
        """Let run time pass."""
        self._run_seconds += seconds

    def start(self) -> None:
        self._watch.go()

    def pause(self) -> None:
        self._watch.stop()

    def resume(self) -> None:
        self._watch.go()

    def restore(self, run_seconds: float, wall_seconds: float) -> None:
        self._run_seconds = run_seconds
        self._watch.restore(wall_seconds)
