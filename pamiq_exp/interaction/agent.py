"""Base class of agents."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from numpy.typing import NDArray

from pamiq_exp.component import Component

if TYPE_CHECKING:
    from pamiq_exp.interaction.environment import Environment
    from pamiq_exp.interaction.protocols import CollectorPort, InferencePort

ObservationT = TypeVar("ObservationT")
ActionT = TypeVar("ActionT")


class Agent(Component, ABC, Generic[ObservationT, ActionT]):
    """Base class of agents: maps observations to actions, and adds transitions to collectors.

    Models and collectors are asked for by name; the launcher attaches them before `setup`.
    `step` runs without gradients, and all models that one step uses come from one publication.
    """

    greedy: bool = False
    """Whether the agent does what it takes for best, in place of drawing its actions or exploring: an evaluation sets
    it. An agent that draws its actions must heed it; `PolicyAgent` takes the `mode` of its policy's distribution."""

    def __init__(self) -> None:
        self._models: Mapping[str, InferencePort] = {}
        self._collectors: Mapping[str, CollectorPort] = {}
        self.signals: dict[str, NDArray[Any]] = {}
        """Per-environment values of the last step, for observers: `reward` of the newest transition, and `rewarded`,
        where it is valid (not after the end of an episode, nor while models warm up)."""

    def attach(self, models: Mapping[str, InferencePort], collectors: Mapping[str, CollectorPort]) -> None:
        """Called by the launcher, once, before `setup`."""
        self._models = models
        self._collectors = collectors

    def check_environment(self, environment: Environment) -> None:
        """Raise ValueError if this agent cannot learn there; called by the interaction, once, in `setup`."""

    def attach_oracle(self, ground_truth: Callable[[], Mapping[str, NDArray[Any]]]) -> None:
        """Offered by the interaction, once, in `setup`: what provides the world's ground truth.

        Nothing that the agent sees or learns from may come from it; it exists for rewards that are upper bounds
        (oracles) and say so by their name. By default it is ignored.
        """

    @property
    def models(self) -> Mapping[str, InferencePort]:
        """All published models by name."""
        return self._models

    def model(self, name: str) -> InferencePort:
        """Return the published model `name`. Raises KeyError with the names that exist."""
        return _named(self._models, name, "model")

    def collector(self, name: str) -> CollectorPort:
        """Return the collector of the buffer `name`. Raises KeyError with the names that exist."""
        return _named(self._collectors, name, "buffer")

    @abstractmethod
    def step(self, observation: ObservationT) -> ActionT:
        """Return the action for this observation."""

    def report(self) -> dict[str, float]:
        """Return metrics for the records, averaged since the last call (for example `reward`)."""
        return {}

    def summary(self) -> dict[str, float]:
        """Return final metrics for `summary.json` (for example `reward_mean`)."""
        return {}


PartT = TypeVar("PartT")


def _named(parts: Mapping[str, PartT], name: str, kind: str) -> PartT:
    try:
        return parts[name]
    except KeyError:
        known = ", ".join(sorted(parts)) or "none"
        raise KeyError(f"the agent asks for the {kind} '{name}', but the {kind}s of this run are: {known}") from None
