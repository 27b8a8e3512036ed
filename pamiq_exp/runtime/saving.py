"""When a run is saved, and by whom."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from pathlib import Path

from pamiq_exp.component import State
from pamiq_exp.runtime.checkpoints import remove_leftovers, write_checkpoint
from pamiq_exp.runtime.control import Worker
from pamiq_exp.runtime.engine import Engine

logger = logging.getLogger(__name__)


class Saver:
    """Saves a run without stopping its world.

    Each thread copies what it owns at its own next safe point, which takes the inference thread well under
    a turn and happens between two batches of the training thread; checksums and the disk come afterwards,
    on the thread that asked.

    Args:
        engine: What to save.
        folder: The run's `checkpoints` folder; None saves nothing.
        hold: Called before each save: sees that the run folder is still there, or raises OSError.

    Attributes:
        inference: The worker that owns agent and environment; None before and after it runs.
        training: The worker that owns models, buffers and trainers; the same one where one thread does all.
        saved: Checkpoints written by this process.
        failed: Saves that did not succeed (disk full, folder read-only).
    """

    def __init__(self, engine: Engine, folder: Path | None, hold: Callable[[], None] = lambda: None) -> None:
        self._engine = engine
        self._hold = hold
        self._folder = folder
        self._config = engine.config.checkpoint
        self.inference: Worker | None = None
        self.training: Worker | None = None
        self.saved = 0
        self.failed = 0
        self.last: Path | None = None
        self._saved_step: int | None = None
        self._next_step = math.inf
        self._next_time = math.inf
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin to count: once the run stands where it goes on from."""
        self._next_step = self._step_after(self._engine.steps)
        self._next_time = self._time_after()
        if self._folder is not None:
            remove_leftovers(self._folder)

    @property
    def due_by_steps(self) -> bool:
        """Whether enough steps were taken since the last save."""
        return self._engine.steps >= self._next_step

    @property
    def seconds_until_due(self) -> float:
        """Seconds until the next save by time; infinite without one."""
        return max(0.0, self._next_time - time.monotonic())

    def save_if_due(self) -> None:
        """Save if it is time. A save that fails is told and counted, and the run goes on."""
        if self.due_by_steps or self.seconds_until_due == 0.0:
            self._next_step = self._step_after(self._engine.steps)
            self._next_time = self._time_after()
            self.save()

    def save_at_end(self) -> None:
        """Save after the last turn, unless the last save holds it already."""
        if self._config.at_end and self._saved_step != self._engine.steps:
            self.save()

    def save(self) -> Path | None:
        """Save now; return where, or None if it was not possible (the log says why)."""
        if self._folder is None:
            return None
        # Not under the lock: the thread that is asked for its part may be waiting to save as well.
        groups = self._snapshot()
        if groups is None:
            return None
        with self._lock:
            return self._write(self._folder, groups)

    def _write(self, folder: Path, groups: dict[str, State]) -> Path | None:
        step = groups["runtime"]["steps"]
        try:
            self._hold()
            path = write_checkpoint(folder, step, groups, self._config.keep)
        except OSError as error:
            self.failed += 1
            good = f"the last good checkpoint is {self.last}" if self.last else "there is no checkpoint yet"
            logger.error("could not save at step %d: %s. The run goes on; %s.", step, error, good)
            return None
        self.saved += 1
        self.last = path
        self._saved_step = step
        logger.info("saved %s", path)
        return path

    def _snapshot(self) -> dict[str, State] | None:
        """Let each thread copy its part; None if the run ended before they could."""
        engine = self._engine
        if self.inference is self.training:
            # One thread, one moment: no turn may pass between the two halves.
            return self._ask(self.inference, lambda: engine.inference_state() | engine.training_state())
        first = self._ask(self.inference, engine.inference_state)
        second = self._ask(self.training, engine.training_state)
        return None if first is None or second is None else first | second

    def _ask(self, worker: Worker | None, copy: Callable[[], dict[str, State]]) -> dict[str, State] | None:
        if worker is None or worker.is_current:
            return copy()
        results: list[dict[str, State]] = []
        done = threading.Event()

        def errand() -> None:
            try:
                results.append(copy())
            finally:
                done.set()

        worker.ask(errand)
        while not done.wait(0.1):
            if worker not in self._engine.control.workers:
                break
        return results[0] if results else None

    def _step_after(self, steps: int) -> float:
        every = self._config.every_steps
        return math.inf if every is None or self._folder is None else (steps // every + 1) * every

    def _time_after(self) -> float:
        every = self._config.every_seconds
        return math.inf if every is None or self._folder is None else time.monotonic() + every
