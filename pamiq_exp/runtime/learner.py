"""Where models are trained, as the agent's side of a run sees it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol

from pamiq_exp.component import Component, State, components, tear_down
from pamiq_exp.runtime.checkpoints import GroupsWriter, StateCopy
from pamiq_exp.runtime.control import Worker
from pamiq_exp.runtime.engine import Engine
from pamiq_exp.runtime.run_state import load_training_state, training_state
from pamiq_exp.runtime.training_loop import TrainingLoop


class Training(Protocol):
    """What trains beside the agent.

    Attributes:
        worker: Its place in the run: a pause waits for it, and it does tasks.
    """

    worker: Worker

    def run(self) -> None:
        """Train until the run ends, on a thread of its own."""


class Learner(ABC):
    """The side of a run that owns models, buffers and trainers.

    Chunks of transitions go to it through collectors, parameters come back through the publisher, and both work between
    threads and between processes. What is left is here.
    """

    @abstractmethod
    def start(self, checkpoint: Mapping[str, State] | None) -> list[str]:
        """Set up buffers and trainers and restore them, before the agent's side is set up.

        Returns the parts that are not in the checkpoint, or only there, one sentence each.
        """

    @abstractmethod
    def training(self) -> Training | None:
        """What trains beside the agent in realtime; None if nothing does."""

    @abstractmethod
    def copy_state(self, pending_round: State | None) -> GroupsWriter | None:
        """Copy what training owns between two batches, and return what writes it. See `training_state`.

        None if training ended before it could.
        """

    @abstractmethod
    def summary(self) -> dict[str, float]:
        """Return the final metrics of all trainers."""

    @abstractmethod
    def end_trace(self) -> None:
        """Note in the trace, if there is one, what training has come to. Nothing trains any more."""

    @abstractmethod
    def close(self) -> None:
        """Tear down buffers and trainers, also after an error."""


class LocalLearner(Learner):
    """Training in this process: on the agent's thread or another one."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def start(self, checkpoint: Mapping[str, State] | None) -> list[str]:
        """See `Learner.start`."""
        for address, part in components(training_parts(self._engine)):
            set_up_part(part, address)
        return [] if checkpoint is None else load_training_state(self._engine, checkpoint)

    def training(self) -> TrainingLoop | None:
        """See `Learner.training`."""
        return TrainingLoop(self._engine) if self._engine.trainers else None

    def copy_state(self, pending_round: State | None) -> StateCopy:
        """See `Learner.copy_state`."""
        return StateCopy(training_state(self._engine, pending_round))

    def summary(self) -> dict[str, float]:
        """See `Learner.summary`."""
        return {name: value for each in self._engine.trainers.values() for name, value in each.summary().items()}

    def end_trace(self) -> None:
        """See `Learner.end_trace`."""
        self._engine.trace.ended(self._engine)

    def close(self) -> None:
        """See `Learner.close`."""
        tear_down(training_parts(self._engine))


def training_parts(engine: Engine) -> dict[str, Mapping[str, Any]]:
    """Return what a learner sets up and tears down."""
    return {"buffers": engine.users, "trainers": engine.trainers}


def set_up_part(part: Component, address: str) -> None:
    """Set up one part; a note on an error has its address."""
    try:
        part.setup()
    except Exception as error:
        error.add_note(f"(while {address} was set up)")
        raise
