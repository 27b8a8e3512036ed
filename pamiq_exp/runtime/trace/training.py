"""What of a trace is noted where training is: in the agent's process or in one of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pamiq_exp.runtime.trace.digests import (
    digest_of_generators,
    digest_of_models,
    digest_of_state,
    digest_of_training,
)
from pamiq_exp.runtime.trace.generators import generators_state

if TYPE_CHECKING:
    from pamiq_exp.buffers import DataUser
    from pamiq_exp.publishable import Model
    from pamiq_exp.runtime.engine import Engine

Event = list[Any]
"""What happened where training is: its kind, and what belongs to it; see `TrainingTrace`."""


class NoTrace:
    """What an engine without a trace calls: nothing happens. All methods are those of `Trace`."""

    def start(self, seed: int, checkpoint: Path | None) -> None:
        """The run is where it starts, or goes on, from."""

    def turn(self, version: int) -> None:
        """A turn has been taken with this publication. Called on the thread of the agent."""

    def fetched(self, users: Mapping[str, DataUser]) -> None:
        """Collected turns were moved into the buffers. This and what follows is called where training happens."""

    def round_begins(self, trainer: str) -> None:
        """A trainer is about to run a round."""

    def batch(self) -> None:
        """A batch of that round is done."""

    def published(
        self, version: int, steps: int, models: Mapping[str, Model], metrics: Mapping[str, Mapping[str, float]]
    ) -> None:
        """Models were published after the rounds of the trainers that `metrics` names."""

    def ended(self, engine: Engine) -> None:
        """No turn is taken and nothing trained any more."""

    def happened(self, event: Event) -> None:
        """Keep an event. Called where the agent is, by a learner that is elsewhere."""

    def close(self) -> None:
        """Write what is left."""


NO_TRACE = NoTrace()


class TrainingTrace(NoTrace):
    """Notes what happens where training is, as events in their order.

    - `["fetch", batch, {buffer: [[first turn, turns], ...]}]`: moved into the buffers after so many batches of a round
    - `["round", trainer, checksum of the global generators, their state or null]`
    - `["publish", version, environment step, trainers, checksum of the models, checksum of the metrics]`
    - `["end", batches of an unfinished round, checksums]`

    Args:
        send: Called with each event.
    """

    def __init__(self, send: Callable[[Event], None]) -> None:
        self._send = send
        self._batches: int | None = None
        self._generators = ""

    def fetched(self, users: Mapping[str, DataUser]) -> None:
        """See `NoTrace`."""
        moved = {name: user.fetched for name, user in users.items() if user.fetched}
        if moved:
            self._send(["fetch", self._batches or 0, moved])

    def round_begins(self, trainer: str) -> None:
        """See `NoTrace`."""
        generators = digest_of_generators()
        state = None if generators == self._generators else generators_state()
        self._batches = 0
        self._send(["round", trainer, generators, state])

    def batch(self) -> None:
        """See `NoTrace`."""
        if self._batches is not None:
            self._batches += 1

    def published(
        self, version: int, steps: int, models: Mapping[str, Model], metrics: Mapping[str, Mapping[str, float]]
    ) -> None:
        """See `NoTrace`."""
        self._batches = None
        self._generators = digest_of_generators()
        digests = digest_of_models(models), digest_of_state(metrics)
        self._send(["publish", version, steps, list(metrics), *digests])

    def ended(self, engine: Engine) -> None:
        """See `NoTrace`."""
        self._send(["end", self._batches, digest_of_training(engine)])
