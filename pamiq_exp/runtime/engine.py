"""The parts of one run and what can be done with them: a turn, a training round, a snapshot.

The engine has no threads and no loop of its own. Realtime and lockstep drive the same engine.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from lightning import LightningModule

from pamiq_exp.buffers import DataUser
from pamiq_exp.component import State, collect_state, components, restore_state
from pamiq_exp.interaction import Interaction
from pamiq_exp.runtime.checkpoints import CheckpointError, copy_state
from pamiq_exp.runtime.clock import Clock
from pamiq_exp.runtime.config import LaunchConfig
from pamiq_exp.runtime.control import RunControl
from pamiq_exp.runtime.publication import Publisher
from pamiq_exp.runtime.records import RecordStream
from pamiq_exp.runtime.timing import Durations
from pamiq_exp.trainers import Trainer


class Engine:
    """Everything that takes part in one run.

    Attributes:
        steps: Environment steps taken since the start of the run, resumed parts included.
        turns: Turns taken, likewise.
        durations: Wall seconds of each turn of this process.
        deadline_misses: Turns that were not over when the next one was due.
    """

    def __init__(
        self,
        interaction: Interaction,
        models: Mapping[str, LightningModule],
        users: Mapping[str, DataUser],
        trainers: Mapping[str, Trainer],
        config: LaunchConfig,
        clock: Clock,
        control: RunControl,
        publisher: Publisher,
        records: RecordStream,
        device: torch.device = torch.device("cpu"),
    ) -> None:
        self.interaction = interaction
        self.models = dict(models)
        self.users = dict(users)
        self.trainers = dict(trainers)
        self.config = config
        self.clock = clock
        self.control = control
        self.publisher = publisher
        self.records = records
        self.device = device
        self.steps = 0
        self.turns = 0
        self.deadline_misses = 0
        self.durations = Durations()
        self.lateness = Durations()
        """Seconds by which turns of this process began after they were due (realtime, fixed interval)."""
        self.skipped_turns = 0
        """Turns that never took place because the run lagged too far behind."""
        self.observation_ages = Durations()
        """Wall seconds from each observation to the moment when the action that answers it took effect (realtime)."""
        self.published_training_steps = 0
        """Batches trained by all trainers when the newest publication was made."""
        self.settle_training: Callable[[], State | None] = lambda: None
        """Lets a round under way end before a save, and returns what is still to be published of it."""
        self.pending_round: State | None = None
        """What `settle_training` returned when the run was saved that this one goes on from."""
        self._next_record = config.record_every_steps

    def turn(self) -> None:
        """Take one turn with one publication, and do the bookkeeping of it."""
        begin = time.perf_counter()
        self.publisher.begin_step()
        try:
            self.interaction.step()
        finally:
            self.publisher.end_step()
        self.durations.add(time.perf_counter() - begin)
        self.turns += 1
        self.steps += self.interaction.num_envs
        self.records.environment_step = self.steps
        self._note_age()
        if self.steps >= self._next_record:
            self._record_interaction()
        self.stop_if_done()

    def stop_if_done(self) -> None:
        """End the run if it has had the steps or the seconds that it was to have."""
        if self.config.max_steps is not None and self.steps >= self.config.max_steps:
            self.control.stop("finished", f"{self.steps} steps were taken (launcher.max_steps)")
        if self.config.max_seconds is not None and self.clock.wall_seconds >= self.config.max_seconds:
            self.control.stop("finished", f"{self.config.max_seconds} seconds are over (launcher.max_seconds)")

    def _note_age(self) -> None:
        """In realtime the age of an observation is measured, in simulated time it is what the delay makes it."""
        age = self.interaction.age
        if self.config.mode == "realtime":
            self.observation_ages.add(age.seconds)
            self.records.observation_age = age.seconds * self.config.time_scale
        else:
            self.records.observation_age = age.turns * (self.interaction.interval or 0.0)

    def pause(self) -> None:
        """Let the world's parts rest; called on the inference thread when it parks."""
        self.clock.pause()
        for _, part in components(self.interaction):
            part.on_pause()

    def resume(self) -> None:
        """Let them go on; called on the inference thread when it leaves."""
        for _, part in components(self.interaction):
            part.on_resume()
        self.clock.resume()

    @property
    def training_steps(self) -> int:
        """Batches trained by all trainers."""
        return sum(trainer.training_step for trainer in self.trainers.values())

    @property
    def dropped(self) -> int:
        """Environment steps that training never saw because it did not fetch them in time."""
        return sum(user.dropped for user in self.users.values())

    @property
    def pending(self) -> int:
        """Environment steps that were collected and not yet fetched."""
        return sum(user.pending for user in self.users.values())

    def round(self, name: str) -> Iterator[Mapping[str, float]]:
        """Run one round of a trainer, a batch at a time; an error says which trainer raised it."""
        try:
            yield from self.trainers[name].round()
        except Exception as error:
            error.add_note(f"(in trainers.{name})")
            raise

    def fetch_data(self) -> None:
        """Move what the agent collected into the buffers."""
        for user in self.users.values():
            user.update()

    def publish_rounds(self, rounds: Mapping[str, Mapping[str, float]]) -> None:
        """Publish together what finished rounds changed, and record their figures, by name of the trainer."""
        trainers = {name: self.trainers[name] for name in rounds}
        self.publisher.publish(dict.fromkeys(model for trainer in trainers.values() for model in trainer.trains))
        self.published_training_steps = self.training_steps
        for name, trainer in trainers.items():
            self.records.emit(name, rounds[name], trainer.training_step)
            self.records.show(trainer.media())

    def inference_state(self) -> dict[str, State]:
        """Copy what the inference thread owns. Call it on that thread, between turns."""
        return {
            "interaction": copy_state(collect_state(self.interaction)),
            "runtime": {
                "steps": self.steps,
                "turns": self.turns,
                "deadline_misses": self.deadline_misses,
                "next_record": self._next_record,
                "run_seconds": self.clock.run_seconds,
                "wall_seconds": self.clock.wall_seconds,
            },
        }

    def training_state(self) -> dict[str, State]:
        """Copy what the training thread owns. Call it on that thread, between batches."""
        pending = self.settle_training()
        self.fetch_data()
        # One walk for both: trainers refer to buffers, whose content must be saved once, under its own name.
        states = collect_state(self._training_components())
        return {
            "models": {name: copy_state(model.state_dict()) for name, model in self.models.items()},
            "buffers": copy_state(_below(states, "buffers")),
            "trainers": copy_state(_below(states, "trainers")),
            "generators": _global_generators(),
            "publication": {
                "version": self.publisher.version,
                "training_steps": self.published_training_steps,
                "pending": pending,
                "published": self.publisher.state() if pending is not None else None,
            },
        }

    def load(self, groups: Mapping[str, State], partial: bool = False) -> list[str]:
        """Restore a checkpoint into freshly set-up parts.

        Returns what did not fit, if `partial` allows it. Raises CheckpointError otherwise.
        """
        differences = self._load_models(groups["models"])
        training = {**groups["buffers"], **groups["trainers"]}
        for root, states, title in (
            (self._training_components(), training, "training"),
            (self.interaction, groups["interaction"], "interaction"),
        ):
            try:
                unclaimed, missing = restore_state(root, states)
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
                notes = " ".join(getattr(error, "__notes__", []))
                raise CheckpointError(
                    f"the checkpoint does not fit this config: {type(error).__name__}: {error} {notes}\n"
                    "resume with the config of the run"
                ) from error
            differences += [f"{title} part {address} is only in the checkpoint" for address in unclaimed]
            differences += [f"{title} part {address} is not in the checkpoint" for address in missing]
        if differences and not partial:
            raise CheckpointError(
                "the checkpoint does not fit this config:\n  "
                + "\n  ".join(differences)
                + "\nresume with the config of the run, or with resume.partial=true to start these parts anew"
            )
        runtime = groups["runtime"]
        self.steps, self.turns = runtime["steps"], runtime["turns"]
        self.deadline_misses = runtime["deadline_misses"]
        self._next_record = runtime["next_record"]
        self.records.environment_step = self.steps
        self.clock.restore(runtime["run_seconds"], runtime["wall_seconds"])
        publication = groups["publication"]
        self.publisher.restore(publication["version"], publication["published"])
        self.published_training_steps = publication["training_steps"]
        pending = publication["pending"]
        fits = pending is not None and set(pending["names"]) <= self.trainers.keys()
        self.pending_round = pending if fits else None
        _restore_global_generators(groups["generators"])
        return differences

    def _training_components(self) -> dict[str, Mapping[str, Any]]:
        return {"buffers": self.users, "trainers": self.trainers}

    def _load_models(self, states: State) -> list[str]:
        differences = [f"model {name} is only in the checkpoint" for name in states.keys() - self.models.keys()]
        for name, model in self.models.items():
            if name not in states:
                differences.append(f"model {name} is not in the checkpoint")
                continue
            try:
                model.load_state_dict(states[name])
            except RuntimeError as error:
                raise CheckpointError(f"model {name} has other parameters than the checkpoint: {error}") from error
        return differences

    def _record_interaction(self) -> None:
        every = self.config.record_every_steps
        self._next_record = (self.steps // every + 1) * every
        figures = self.interaction.agent.report() | self.interaction.environment.report()
        for observer in self.interaction.observers.values():
            figures |= observer.report()
            self.records.show(observer.media())
        figures |= self._timing()
        self.records.emit("interaction", figures, self.published_training_steps)
        if self.records.error is not None:
            self.control.fail("tracking", self.records.error)

    def _timing(self) -> dict[str, float]:
        """Figures that depend on the wall clock; a lockstep run leaves them out, so that its records repeat."""
        if self.config.mode != "realtime":
            return {}
        return {
            "time/step_milliseconds_p50": 1e3 * self.durations.quantile(0.5),
            "time/step_milliseconds_p99": 1e3 * self.durations.quantile(0.99),
            "time/lateness_milliseconds_p99": 1e3 * self.lateness.quantile(0.99),
            "time/observation_age_milliseconds_p50": 1e3 * self.observation_ages.quantile(0.5),
            "time/observation_age_milliseconds_p99": 1e3 * self.observation_ages.quantile(0.99),
            "time/deadline_misses": self.deadline_misses,
            "time/dropped": self.dropped,
            "time/queue_depth": self.records.waiting,
            "time/failed_writes": self.records.failed,
            "time/model_age_seconds": self.publisher.age,
        }


def _below(states: Mapping[str, State], prefix: str) -> dict[str, State]:
    return {address: state for address, state in states.items() if address.startswith(f"{prefix}.")}


def _global_generators() -> State:
    """User modules draw from the global generators while they train; the inference path never does."""
    kind, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    version, internal, gauss_next = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "numpy": [kind, np.asarray(keys).copy(), position, has_gauss, cached],
        "python": [version, list(internal), gauss_next],
    }


def _restore_global_generators(state: State) -> None:
    torch.set_rng_state(state["torch"])
    kind, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((kind, keys, position, has_gauss, cached))
    version, internal, gauss_next = state["python"]
    random.setstate((version, tuple(internal), gauss_next))
