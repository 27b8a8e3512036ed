"""Base class of observers of turns: metrics and recorders."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from numpy.typing import NDArray

from pamiq_exp.component import Component
from pamiq_exp.interaction.agent import Agent
from pamiq_exp.interaction.environment import Environment, Observation
from pamiq_exp.media import Media


class Turn:
    """One turn as an observer sees it: before the action has changed the world.

    Attributes:
        observation: What the agent saw.
        action: What it is about to do.
        agent: Who; `agent.signals` holds per-environment metrics of this turn, such as the intrinsic reward.
        environment: Where.
        shared: What observers of one interaction share from turn to turn, by name.
    """

    def __init__(
        self,
        observation: Observation,
        action: NDArray[Any],
        agent: Agent[Any, Any],
        environment: Environment,
        shared: dict[str, Any] | None = None,
    ) -> None:
        self.observation = observation
        self.action = action
        self.agent = agent
        self.environment = environment
        self.shared: dict[str, Any] = {} if shared is None else shared

    @cached_property
    def ground_truth(self) -> Mapping[str, NDArray[Any]]:
        """The world's truth at this moment, asked for once and shared by all observers."""
        return self.environment.ground_truth()


class StepObserver(Component):
    """Base class of metrics and recorders. `on_step` runs on the inference thread: keep it cheap."""

    def attach(self, agent: Agent[Any, Any]) -> None:
        """Called once, before `setup` and the first turn, with the agent that will be observed and its models."""

    def on_step(self, turn: Turn) -> None:
        """Watch one turn of all environments."""

    def report(self) -> dict[str, float]:
        """Return metrics for the records now (for example `coverage`)."""
        return {}

    def media(self) -> list[Media]:
        """Return the pictures and videos that are ready, and forget them."""
        return []

    def summary(self) -> dict[str, float]:
        """Return final metrics for `summary.json`; by default the last report."""
        return self.report()
