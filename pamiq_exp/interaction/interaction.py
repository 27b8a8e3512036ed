"""One turn after another: observe, step, affect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pamiq_exp.component import Component
from pamiq_exp.interaction.agent import Agent
from pamiq_exp.interaction.environment import Environment
from pamiq_exp.interaction.observer import StepObserver, Turn


class Interaction(Component):
    """An agent in its environment, as fast as both can go.

    Args:
        agent: Who acts.
        environment: Where.
        observers: What watches each turn, by name: metrics and recorders. They see what the agent must
            not (the world's ground truth), and the agent never sees them.
    """

    interval: float | None = None
    """Seconds of world time from one turn to the next; None means unpaced."""

    def __init__(
        self,
        agent: Agent[Any, Any],
        environment: Environment,
        observers: Mapping[str, StepObserver] | None = None,
    ) -> None:
        self.agent = agent
        self.environment = environment
        self.observers: dict[str, StepObserver] = dict(observers or {})

    @property
    def lanes(self) -> int:
        """Environment steps in one turn."""
        return self.environment.lanes

    def step(self) -> None:
        """Take one turn. Observers see the world as the agent saw it, before the action changes it."""
        observation = self.environment.observe()
        action = self.agent.step(observation)
        if self.observers:
            turn = Turn(observation, action, self.agent, self.environment)
            for observer in self.observers.values():
                observer.on_step(turn)
        self.environment.affect(action)


class FixedIntervalInteraction(Interaction):
    """An interaction that takes a turn every `interval` seconds of world time.

    The launcher paces it with absolute deadlines (wall clock, scaled by `launcher.time_scale`); in
    lockstep the virtual clock moves on by `interval` each turn.
    """

    def __init__(
        self,
        agent: Agent[Any, Any],
        environment: Environment,
        interval: float,
        observers: Mapping[str, StepObserver] | None = None,
    ) -> None:
        super().__init__(agent, environment, observers)
        if not interval > 0:
            raise ValueError(f"interval must be a positive number of seconds, not {interval!r}")
        self.interval = float(interval)
