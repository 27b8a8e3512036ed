"""Saving a run while it goes on."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pamiq_exp.component import State
from pamiq_exp.every import Every
from pamiq_exp.runtime.best_checkpoint import BestCheckpoint
from pamiq_exp.runtime.checkpoints import GroupsWriter, remove_leftovers, remove_old_checkpoints, write_checkpoint
from pamiq_exp.runtime.config import CheckpointConfig
from pamiq_exp.runtime.control import Worker
from pamiq_exp.runtime.engine import Engine
from pamiq_exp.runtime.learner import Learner
from pamiq_exp.runtime.run_state import inference_state

logger = logging.getLogger(__name__)


class Saver:
    """Saves a run without stopping its environment.

    Each thread copies what it owns at its own next safe point, which takes the inference thread well under
    a turn and happens between two batches of the training thread; checksums and the disk come afterwards,
    on the thread that asked.

    Args:
        engine: What to save.
        learner: Copies and writes what training owns.
        folder: The run's `checkpoints` folder; None saves nothing.
        hold: Called before each save: sees that the run folder is still there, or raises OSError.

    Attributes:
        last: The newest checkpoint that this process wrote.
    """

    def __init__(
        self, engine: Engine, learner: Learner, folder: Path | None, hold: Callable[[], None] = lambda: None
    ) -> None:
        self._engine = engine
        self._learner = learner
        self._hold = hold
        self._folder = folder
        self._config = engine.config.checkpoint if folder is not None else CheckpointConfig()
        self._best = BestCheckpoint(folder or Path(), self._config.keep_best)
        self.last: Path | None = None
        self._inference: Worker | None = None
        self._training: Worker | None = None
        self._pending_round: Callable[[], State | None] = lambda: None
        self._saved_step: int | None = None
        self._by_steps = Every(self._config.every_steps)
        self._counting_since = math.inf
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin to count: once the run is where it starts, or goes on, from."""
        self._restart_counting()
        if self._folder is not None:
            remove_leftovers(self._folder)
            self._best.read()

    @contextmanager
    def serving(
        self, inference: Worker, training: Worker | None, pending_round: Callable[[], State | None] = lambda: None
    ) -> Iterator[None]:
        """Let these workers copy their parts of the state, as long as they run; before and afterwards the caller does.

        Args:
            inference: The worker that owns agent and environment.
            training: The worker that owns models, buffers and trainers; the same one where one thread does all.
            pending_round: Waits for a round under way and returns what is still to be published of it. It is called
                for later saves as well.
        """
        self._inference, self._training, self._pending_round = inference, training, pending_round
        try:
            yield
        finally:
            self._inference = self._training = None

    @property
    def due_by_steps(self) -> bool:
        """Whether enough steps were taken since the last save."""
        return self._by_steps.due(self._engine.statistics.steps)

    @property
    def seconds_until_due(self) -> float:
        """Seconds until the next save by time; infinite without one."""
        every = self._config.every_seconds
        return math.inf if every is None else max(0.0, self._counting_since + every - time.monotonic())

    def save_if_due(self) -> None:
        """Save if it is time. A save that fails is logged and counted, and the run goes on."""
        if self.due_by_steps or self.seconds_until_due == 0.0:
            self._restart_counting()
            self.save()

    def save_at_end(self) -> None:
        """Save after the last turn, unless the last save holds it already."""
        self._engine.flush()
        if self._config.at_end and self._saved_step != self._engine.statistics.steps:
            self.save()
        self._best.warn_if_unknown(self._engine.records)

    def save(self) -> Path | None:
        """Save now; return where, or None if it was not possible (the log has the reason)."""
        if self._folder is None:
            return None
        value = self._best.value_in(self._engine.records)
        # Not under the lock: the thread that is asked for its part may be waiting to save as well.
        copied = self._snapshot()
        if copied is None:
            return None
        with self._lock:
            return self._write(self._folder, value, *copied)

    def _write(self, folder: Path, value: float, groups: dict[str, State], training: GroupsWriter) -> Path | None:
        step = groups["runtime"]["steps"]
        try:
            self._hold()
            path = write_checkpoint(folder, step, groups, self._config.keep, self._best.name, [training])
            if self._best.note(path, value):
                remove_old_checkpoints(folder, self._config.keep, self._best.name)
        except OSError as error:
            self._engine.statistics.failed_saves += 1
            good = f"the last good checkpoint is {self.last}" if self.last else "there is no checkpoint yet"
            logger.error("could not save at step %d: %s. The run goes on; %s.", step, error, good)
            return None
        self.last = path
        self._saved_step = step
        logger.info("saved %s", path)
        return path

    def _snapshot(self) -> tuple[dict[str, State], GroupsWriter] | None:
        """Let each thread copy its part; None if the run ended before they could."""
        ask = self._engine.control.run_at_safe_point
        if self._inference is self._training:
            # One thread, one moment: no turn may pass between the two halves.
            first, second = ask(self._inference, lambda: (inference_state(self._engine), self._training_state())) or (
                None,
                None,
            )
        else:
            first = ask(self._inference, lambda: inference_state(self._engine))
            second = ask(self._training, self._training_state)
        return None if first is None or second is None else (first, second)

    def _training_state(self) -> GroupsWriter | None:
        return self._learner.copy_state(self._pending_round())

    def _restart_counting(self) -> None:
        self._by_steps.done(self._engine.statistics.steps)
        self._counting_since = time.monotonic()
