"""What a run counts and measures about itself while it goes on."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Protocol

from pamiq_exp.buffers import DataUser
from pamiq_exp.interaction import Interaction
from pamiq_exp.machine import load, process_memory
from pamiq_exp.run_folder import RunFolder
from pamiq_exp.run_folder.statistics import Place, statistics_in
from pamiq_exp.runtime.clock import Clock
from pamiq_exp.runtime.durations import Durations
from pamiq_exp.runtime.publication import Publisher
from pamiq_exp.shared_memory import words
from pamiq_exp.tracking import RecordWriter
from pamiq_exp.trainers import Trainer


class Queue(Protocol):
    """What environment steps go through on their way to training."""

    @property
    def dropped(self) -> int:
        """Environment steps lost because training did not fetch them in time."""

    @property
    def pending(self) -> int:
        """Environment steps that are collected and not yet fetched."""


class RunStatistics:
    """The statistics of one run, each an attribute or property of the name that `STATISTICS` gives it.

    The inference thread counts, and training its batches, maybe in another process; any thread may read.

    Attributes:
        turns: Turns taken since the start of the run, resumed parts included.
        deadline_misses: Turns that were not over when the next one was due, likewise.
        skipped_turns: Turns that never took place because the run lagged too far behind.
        failed_saves: Saves that did not succeed (disk full, folder read-only).
        observation_age_seconds: How old the newest observation was when the action that answers it took effect, in
            seconds of run time.
        turn_durations: Wall seconds of each turn of this process.
        lateness: Seconds by which turns of this process began after they were due (realtime, fixed interval).
        observation_ages: Wall seconds from each observation to the moment when the action that answers it took effect
            (realtime).
    """

    def __init__(
        self,
        interaction: Interaction,
        users: Mapping[str, DataUser],
        trainers: Mapping[str, Trainer],
        clock: Clock,
        publisher: Publisher,
        writer: RecordWriter | None,
        folder: RunFolder | None,
        shared: bool = False,
    ) -> None:
        self._steps = words(1, shared)
        """A process that trains notes when its rounds ended."""
        self.turns = 0
        self.deadline_misses = 0
        self.skipped_turns = 0
        self.failed_saves = 0
        self.observation_age_seconds = 0.0
        self.turn_durations = Durations()
        self.lateness = Durations()
        self.observation_ages = Durations()
        self._interaction = interaction
        self.queues: Mapping[str, Queue] = users
        """What turns wait in, and may be lost in, on their way to training."""
        self.restarts: int | None = None
        """How often actors were started again; None where the agent is in this process."""
        self._trainers = trainers
        self._clock = clock
        self._publisher = publisher
        self._writer = writer
        self._folder = folder
        self._batches = words(1, shared)
        """Batches trained by all trainers, counted where they are trained."""
        self._before: tuple[float, int, int] | None = None

    def count_batches(self) -> None:
        """Note how many batches were trained. Called where training is."""
        self._batches[0] = sum(trainer.training_step for trainer in self._trainers.values())

    def note_batches(self, batches: int) -> None:
        """Note how many batches were trained elsewhere."""
        self._batches[0] = batches

    def summary(self) -> dict[str, float]:
        """What goes into `summary.json`."""
        return self._values("summary")

    def records(self) -> dict[str, float]:
        """What goes into the records of a realtime run: all of it depends on the wall clock."""
        return {f"time/{name}": value for name, value in self._values("records").items()}

    def status(self) -> dict[str, float]:
        """How the run is now; rates are those since the last call."""
        steps_rate, training_rate = self._rates()
        rates = {"steps_per_second": steps_rate, "training_steps_per_second": training_rate}
        return self._values("status") | rates

    def _values(self, place: Place) -> dict[str, float]:
        return {name: value for name in statistics_in(place) if (value := getattr(self, name)) is not None}

    def _rates(self) -> tuple[float, float]:
        now = (time.perf_counter(), self.steps, self.training_steps)
        before, self._before = self._before or now, now
        seconds = now[0] - before[0]
        if seconds <= 0.0:
            return 0.0, 0.0
        return (now[1] - before[1]) / seconds, (now[2] - before[2]) / seconds

    @property
    def steps(self) -> int:
        """Environment steps taken since the start of the run, resumed parts included."""
        return self._steps[0]

    @steps.setter
    def steps(self, steps: int) -> None:
        self._steps[0] = steps

    @property
    def run_seconds(self) -> float:
        """Seconds of run time."""
        return self._clock.run_seconds

    @property
    def wall_seconds(self) -> float:
        """Wall seconds, pauses excluded."""
        return self._clock.wall_seconds

    @property
    def steps_per_second(self) -> float:
        """Environment steps in a wall second, over the whole run."""
        return self.steps / self.wall_seconds if self.wall_seconds > 0 else 0.0

    @property
    def training_steps(self) -> int:
        """Batches trained by all trainers."""
        return self._batches[0]

    @property
    def training_steps_per_second(self) -> float:
        """Batches in a wall second, over the whole run."""
        return self.training_steps / self.wall_seconds if self.wall_seconds > 0 else 0.0

    @property
    def dropped(self) -> int:
        """Environment steps that training never got because it did not fetch them in time."""
        return sum(queue.dropped for queue in self.queues.values())

    @property
    def pending(self) -> int:
        """Environment steps that were collected and not yet fetched."""
        return sum(queue.pending for queue in self.queues.values())

    @property
    def skipped_actions(self) -> int:
        """Actions that were not finite and were replaced."""
        return self._interaction.skipped_actions

    @property
    def model_version(self) -> int:
        """The newest publication."""
        return self._publisher.version

    @property
    def model_age_seconds(self) -> float:
        """Wall seconds since the newest publication."""
        return self._publisher.age

    @property
    def step_milliseconds_p50(self) -> float:
        """Median duration of a turn."""
        return 1e3 * self.turn_durations.quantile(0.5)

    @property
    def step_milliseconds_p99(self) -> float:
        """Duration that 99 % of the turns do not exceed."""
        return 1e3 * self.turn_durations.quantile(0.99)

    @property
    def step_milliseconds_p999(self) -> float:
        """Duration that 99.9 % of the turns do not exceed."""
        return 1e3 * self.turn_durations.quantile(0.999)

    @property
    def step_milliseconds_max(self) -> float:
        """Duration of the longest turn."""
        return 1e3 * self.turn_durations.maximum

    @property
    def lateness_milliseconds_p99(self) -> float:
        """Lateness that 99 % of the turns do not exceed."""
        return 1e3 * self.lateness.quantile(0.99)

    @property
    def lateness_milliseconds_max(self) -> float:
        """Largest lateness of a turn."""
        return 1e3 * self.lateness.maximum

    @property
    def observation_age_milliseconds_p50(self) -> float:
        """Median age of observations."""
        return 1e3 * self.observation_ages.quantile(0.5)

    @property
    def observation_age_milliseconds_p99(self) -> float:
        """Age that 99 % of the observations do not exceed."""
        return 1e3 * self.observation_ages.quantile(0.99)

    @property
    def records_waiting(self) -> int:
        """Records and media that are still to be written."""
        return self._writer.queue_depth if self._writer is not None else 0

    @property
    def failed_writes(self) -> int:
        """Writes that did not succeed, and how often the run folder was found moved or removed."""
        of_trackers = self._writer.failed_writes if self._writer is not None else 0
        return of_trackers + (self._folder.failed_writes if self._folder is not None else 0)

    @property
    def memory_bytes(self) -> int | None:
        """The memory that this process holds; None where the system does not report it."""
        return process_memory()

    @property
    def load(self) -> float:
        """Processes that run or wait for a core of this machine, mean over a minute."""
        return load()
