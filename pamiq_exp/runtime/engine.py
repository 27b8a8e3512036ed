"""The parts of one run and what can be done with them: take a turn, fetch data, train, publish.

The engine has no threads and no loop of its own: lockstep, pipelined and realtime drive the same engine.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping

import torch

from pamiq_exp.buffers import DataUser
from pamiq_exp.component import components
from pamiq_exp.every import Every
from pamiq_exp.interaction import Interaction
from pamiq_exp.publishable import Model
from pamiq_exp.runtime.clock import Clock
from pamiq_exp.runtime.config import WALL_CLOCK, LaunchConfig
from pamiq_exp.runtime.control import RunControl, TurnGivenUp
from pamiq_exp.runtime.publication import Publisher, Snapshot
from pamiq_exp.runtime.records import Means, RecordStream
from pamiq_exp.runtime.statistics import RunStatistics
from pamiq_exp.runtime.trace import NO_TRACE, NoTrace
from pamiq_exp.trainers import Trainer

_SIGNAL_SECONDS = 0.1
"""How much later than its environment's programs a run may get a signal that is sent to all of them."""


class Engine:
    """Everything that takes part in one run.

    Attributes:
        device, inference_device: Where models are trained, and where the agent's copies of them are.
        next_record: When the interaction is recorded, in environment steps.
        trace: Records what a replay needs.
    """

    def __init__(
        self,
        interaction: Interaction,
        models: Mapping[str, Model],
        users: Mapping[str, DataUser],
        trainers: Mapping[str, Trainer],
        config: LaunchConfig,
        clock: Clock,
        control: RunControl,
        publisher: Publisher,
        statistics: RunStatistics,
        records: RecordStream,
        device: torch.device = torch.device("cpu"),
        inference_device: torch.device | None = None,
    ) -> None:
        self.interaction = interaction
        self.models = dict(models)
        self.users = dict(users)
        self.trainers = dict(trainers)
        self.config = config
        self.clock = clock
        self.control = control
        self.publisher = publisher
        self.statistics = statistics
        self.records = records
        self.device = device
        self.inference_device = inference_device or device
        self.next_record = Every(config.record_every_steps)
        self.trace: NoTrace = NO_TRACE

    def turn(self) -> None:
        """Take one turn with one publication, and count and record it.

        Raises:
            TurnGivenUp: It failed, and a signal has ended the run: a signal to a whole group of processes ends the
                programs of an environment, too.
        """
        statistics = self.statistics
        begin = time.perf_counter()
        snapshot = self.publisher.begin_step()
        try:
            with torch.no_grad():
                self.interaction.step()
        except Exception as error:
            self.trace.turn(snapshot.version)  # a replay comes to the same error
            if threading.current_thread() is threading.main_thread():
                time.sleep(_SIGNAL_SECONDS)
            if self.control.stopped_by_signal:
                raise TurnGivenUp from error
            raise
        finally:
            self.publisher.end_step()
        statistics.turn_durations.add(time.perf_counter() - begin)
        statistics.turns += 1
        statistics.steps += self.interaction.num_envs
        self._measure_age()
        if self.next_record.due(statistics.steps):
            self.next_record.done(statistics.steps)
            self._record_interaction(snapshot)
        self.trace.turn(snapshot.version)
        self.stop_if_done()

    def fetch_data(self) -> None:
        """Move what the agent collected into the buffers."""
        for user in self.users.values():
            user.update()
        self.trace.fetched(self.users)

    def flush(self) -> None:
        """Let training fetch all that was collected: the agent takes no more turns."""
        for user in self.users.values():
            user.collector.flush()

    def train(self, name: str, heartbeat: Callable[[], None]) -> dict[str, float]:
        """Run one whole round of a trainer and return its mean metrics; `heartbeat` is called after each batch."""
        means = Means()
        for metrics in self.round(name):
            means.add(metrics)
            heartbeat()
        return means.result()

    def round(self, name: str) -> Iterator[Mapping[str, float]]:
        """Run one round of a trainer, a batch at a time; a note on an error names the trainer that raised it."""
        try:
            self.trace.round_begins(name)
            for metrics in self.trainers[name].round():
                self.trace.batch()
                self.statistics.count_batches()
                yield metrics
        except Exception as error:
            error.add_note(f"(in trainers.{name})")
            raise

    def publish(self, rounds: Mapping[str, Mapping[str, float]], steps: int | None = None) -> None:
        """Publish together what finished rounds changed, and record their metrics, by name of the trainer.

        Args:
            rounds: The mean metrics of each round.
            steps: The environment step of these records; by default that of this moment.
        """
        trainers = {name: self.trainers[name] for name in rounds}
        changed = list(dict.fromkeys(model for trainer in trainers.values() for model in trainer.trains))
        steps = self.statistics.steps if steps is None else steps
        self.statistics.count_batches()
        version = self.publisher.publish(changed, self.statistics.training_steps)
        for name, trainer in trainers.items():
            self.records.emit(name, rounds[name], trainer.training_step, steps=steps)
            self.records.show(trainer.media())
        self.trace.published(version, steps, {name: self.models[name] for name in changed}, rounds)

    def pause(self) -> None:
        """Stop the clock and pause environment and agent; called on the inference thread when it parks."""
        self.clock.pause()
        for _, part in components(self.interaction):
            part.on_pause()

    def resume(self) -> None:
        """Undo `pause`; called on the inference thread when it goes on."""
        for _, part in components(self.interaction):
            part.on_resume()
        self.clock.resume()

    def stop_if_done(self) -> None:
        """End the run if it has taken the steps or lasted the seconds that were configured."""
        config = self.config
        if config.max_steps is not None and self.statistics.steps >= config.max_steps:
            self.control.stop("finished", f"{self.statistics.steps} steps were taken (launcher.max_steps)")
        if config.max_seconds is not None and self.clock.wall_seconds >= config.max_seconds:
            self.control.stop("finished", f"{config.max_seconds} seconds are over (launcher.max_seconds)")

    def _measure_age(self) -> None:
        """On the wall clock the age of an observation is measured, in simulated time it is what the delay makes it."""
        age, statistics = self.interaction.age, self.statistics
        if self.config.mode in WALL_CLOCK:
            statistics.observation_ages.add(age.seconds)
            statistics.observation_age_seconds = age.seconds * self.config.time_scale
        else:
            statistics.observation_age_seconds = age.turns * (self.interaction.interval or 0.0)

    def _record_interaction(self, snapshot: Snapshot) -> None:
        metrics = self.interaction.agent.report() | self.interaction.environment.report()
        for observer in self.interaction.observers.values():
            metrics |= observer.report()
            self.records.show(observer.media())
        if self.config.mode in WALL_CLOCK:  # the records of other modes repeat
            metrics |= self.statistics.records()
        self.records.emit("interaction", metrics, snapshot.training_step, snapshot.version)
        if self.records.error is not None:
            self.control.fail("tracking", self.records.error)
