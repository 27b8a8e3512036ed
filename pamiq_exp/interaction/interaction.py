"""The interaction of an agent and its environment: observe, step, affect."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pamiq_exp.component import Component
from pamiq_exp.interaction.agent import Agent
from pamiq_exp.interaction.environment import Age, Array, Environment, Observation
from pamiq_exp.interaction.observer import StepObserver, Turn
from pamiq_exp.spaces import ACTION_MASK, describe_action


class NonFiniteActionError(ArithmeticError):
    """An agent gave an action with NaN or infinity in it; the message says which agent."""


class NonFiniteRewardError(ArithmeticError):
    """An environment gave a reward or an observation with NaN or infinity in it; the message says which and where."""


class ForbiddenActionsError(ValueError):
    """An action mask allows nothing; the message says which and where."""


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

    skip_nonfinite: bool = False
    """Whether numbers that are NaN or infinite are let through: a continuous action is replaced by zeros, and rewards
    and observations are left to the training, which skips batches with them."""

    def __init__(
        self,
        agent: Agent[Any, Any],
        environment: Environment,
        observers: Mapping[str, StepObserver] | None = None,
    ) -> None:
        self.agent = agent
        self.environment = environment
        self.observers: dict[str, StepObserver] = dict(observers or {})
        self._shared: dict[str, Any] = {}
        self.skipped_actions = 0
        """Actions that were replaced because they were not finite."""
        self.age = Age(0.0, 0.0)
        """How old the observation was when the action that answers it took effect, in the newest turn."""
        self.watcher: Callable[[Turn], None] | None = None
        """Sees each turn after the observers, while a person watches the live run."""

    def setup(self) -> None:
        """Offer the agent the environment and the world's truth (see `Agent`), and observers the agent."""
        self.agent.check_environment(self.environment)
        self.agent.attach_oracle(self.environment.ground_truth)
        for observer in self.observers.values():
            observer.attach(self.agent)

    @property
    def num_envs(self) -> int:
        """Environment steps in one turn."""
        return self.environment.num_envs

    def step(self) -> None:
        """Take one turn. Observers see the world as the agent saw it, before the action changes it."""
        environment = self.environment
        part = "environment"
        try:
            observation = environment.observe()
            if not self.skip_nonfinite:
                _require_numbers(observation, environment)
            if ACTION_MASK in observation.values:
                _require_choice(observation, environment)
            at = time.perf_counter() if environment.observed_at is None else environment.observed_at
            part = "interaction.agent"
            action = self.agent.step(observation)
            if isinstance(action, np.ndarray) and action.dtype.kind == "f" and not np.isfinite(action).all():
                action = self._replace(action)
            watcher = self.watcher
            if self.observers or watcher is not None:
                turn = Turn(observation, action, self.agent, environment, self._shared)
                for name, observer in self.observers.items():
                    part = f"the observer {name}"
                    observer.on_step(turn)
                if watcher is not None:
                    watcher(turn)
            acted_at = time.perf_counter()
            part = "environment"
            environment.affect(action)
        except Exception as error:
            error.add_note(f"(in {part})")
            raise
        self.age = Age(0.0, acted_at - at) if environment.age is None else environment.age

    def _replace(self, action: Array) -> Array:
        if not self.skip_nonfinite:
            raise NonFiniteActionError(
                f"{type(self.agent).__name__} gave an action that is not finite: {action.tolist()}. "
                "Look at the losses before it in metrics.jsonl; launcher.on_nonfinite=skip acts with zeros instead"
            )
        self.skipped_actions += 1
        return np.zeros_like(action)


def _require_numbers(observation: Observation, environment: Environment) -> None:
    """Raise NonFiniteRewardError for rewards that are not finite, and for observations with NaN."""
    name = getattr(environment, "name", type(environment).__name__)
    hint = "launcher.on_nonfinite=skip goes on, and leaves out what is trained on it"
    if not np.isfinite(observation.reward).all():
        index = int(np.flatnonzero(~np.isfinite(observation.reward))[0])
        shown = observation.reward[index]
        raise NonFiniteRewardError(f"{name} gave a reward that is not finite in copy {index}: {shown}. {hint}")
    for part, values in observation.values.items():
        if values.dtype.kind == "f" and np.isnan(values).any():
            index = int(np.argwhere(np.isnan(values))[0][0])
            raise NonFiniteRewardError(
                f"the part {part} of the observation of {name} in copy {index} holds NaN. {hint}"
            )


def _require_choice(observation: Observation, environment: Environment) -> None:
    """Raise ForbiddenActionsError for an action mask that allows no choice of some branch, but at episode ends."""
    mask = observation.values[ACTION_MASK]
    choices = describe_action(environment.action_space).get("nvec") or []
    if mask.shape[1:] != (sum(choices),):
        return  # no mask of these actions; a policy that is to read it has refused it
    branches = np.split(mask > 0.5, np.cumsum(choices)[:-1], axis=1)
    empty = np.stack([~branch.any(axis=1) for branch in branches], axis=1) & ~observation.ended[:, None]
    if empty.any():
        index, branch = (int(each) for each in np.argwhere(empty)[0])
        name = getattr(environment, "name", type(environment).__name__)
        where = f"branch {branch} of the action" if len(choices) > 1 else "every action"
        raise ForbiddenActionsError(
            f"the {ACTION_MASK} of {name} forbids {where} in copy {index}, and its episode has not ended: a mask must "
            "allow at least one choice, such as one that does nothing"
        )


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
        if environment.own_interval is not None:
            raise ValueError(
                f"this environment has a clock of its own ({environment.own_interval:g} s a turn), and two clocks "
                "would fight: use interaction=unpaced, then each turn lasts as long as the environment lets it"
            )
        self.interval = float(interval)
