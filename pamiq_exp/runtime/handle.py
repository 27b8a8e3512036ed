"""A live run, for those who watch and steer it from outside."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pamiq_exp.interaction import Turn
from pamiq_exp.recording import LiveView
from pamiq_exp.runtime.control import RunControl
from pamiq_exp.runtime.engine import Engine
from pamiq_exp.runtime.saving import Saver

logger = logging.getLogger(__name__)

Status = dict[str, float | int | str | None]

WATCHED_SECONDS = 10.0
"""How long after the newest request for a view the run goes on keeping its newest turn."""


class RunHandle:
    """Watches and steers one run. Every method may be called from any thread and answers with the result."""

    def __init__(self, engine: Engine, control: RunControl, saver: Saver) -> None:
        self._engine = engine
        self._control = control
        self._saver = saver
        self._before: tuple[float, int, int] | None = None
        self._view = LiveView()
        self._viewed_at = 0.0

    def status(self) -> Status:
        """Return how the run is: its state, counters, and rates since the last call."""
        engine = self._engine
        steps_rate, training_rate = self._rates()
        return {
            "state": self._state(),
            "steps": engine.steps,
            "steps_per_second": steps_rate,
            "step_milliseconds_p50": 1e3 * engine.durations.quantile(0.5),
            "step_milliseconds_p99": 1e3 * engine.durations.quantile(0.99),
            "observation_age_seconds": engine.records.observation_age,
            "deadline_misses": engine.deadline_misses,
            "training_steps": engine.training_steps,
            "training_steps_per_second": training_rate,
            "dropped": engine.dropped,
            "pending": engine.pending,
            "records_waiting": engine.records.waiting,
            "model_version": engine.publisher.version,
            "model_age_seconds": engine.publisher.age,
            "run_seconds": engine.clock.run_seconds,
            "wall_seconds": engine.clock.wall_seconds,
            "failed_writes": engine.records.failed,
            "memory_bytes": _memory_bytes(),
            "load": os.getloadavg()[0],
            "last_checkpoint": self._saver.last.name if self._saver.last is not None else None,
        }

    def last_records(self) -> dict[str, Mapping[str, float | int | str]]:
        """Return the newest record of each source."""
        return dict(self._engine.records.latest)

    def view(self) -> list[dict[str, Any]]:
        """Return the newest pictures as `LiveView.read` does; none at the first call, which begins to keep them.

        The agent's thread keeps a reference to its newest turn as long as this is called now and then, and it never
        waits: pictures are made on the thread of the caller.
        """
        self._viewed_at = time.monotonic()
        self._engine.interaction.watcher = self._keep
        return self._view.read()

    def _keep(self, turn: Turn) -> None:
        try:
            self._view.take(turn)
        except Exception:
            logger.exception("the live view ended: this turn cannot be shown; the run goes on")
            self._engine.interaction.watcher = None
        if time.monotonic() - self._viewed_at > WATCHED_SECONDS:
            self._engine.interaction.watcher = None

    def pause(self, timeout: float = 10.0) -> bool:
        """Pause the run; return whether every thread had parked in time."""
        return self._control.pause(timeout)

    def resume(self) -> None:
        """Let a paused run go on."""
        self._control.resume()

    def save(self) -> Path | None:
        """Save a checkpoint now, also during a pause; return where, or None if it failed (see the log)."""
        return self._saver.save()

    def stop(self) -> None:
        """Let the run save and end."""
        self._control.stop("stopped", "console")

    def _state(self) -> str:
        if self._control.stopping:
            return "stopping"
        if self._control.pause_requested:
            return "paused" if self._control.paused else "pausing"
        return "running"

    def _rates(self) -> tuple[float, float]:
        now = (time.perf_counter(), self._engine.steps, self._engine.training_steps)
        before, self._before = self._before or now, now
        seconds = now[0] - before[0]
        if seconds <= 0.0:
            return 0.0, 0.0
        return (now[1] - before[1]) / seconds, (now[2] - before[2]) / seconds


def _memory_bytes() -> int | None:
    """The memory that this process holds; None where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None
