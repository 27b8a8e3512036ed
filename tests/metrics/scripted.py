"""An environment whose ground truth and rewards follow a script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from torch import nn

from pamiq_exp.interaction import Agent, Array, Environment, InferencePort, Interaction, Observation, StepObserver


class ScriptedWorld(Environment):
    """Shows `truth[step]`, `rewards[step]` and `ended[step]`, whatever the action."""

    def __init__(
        self,
        truth: Sequence[Mapping[str, Array]],
        rewards: Array | None = None,
        ended: Array | None = None,
        num_envs: int = 1,
        image: Array | None = None,
    ) -> None:
        self.num_envs = num_envs
        self.observation_space = gymnasium.spaces.Dict({"x": gymnasium.spaces.Box(0, 1, (1,), np.float32)})
        self.action_space = gymnasium.spaces.Discrete(2)
        self._truth, self._step = truth, 0
        self._rewards = np.zeros((len(truth), num_envs), np.float32) if rewards is None else rewards
        self._ended = np.zeros((len(truth), num_envs), np.bool_) if ended is None else ended
        self._image = image

    def observe(self) -> Observation:
        ended = self._ended[self._step]
        values: dict[str, Array] = {"x": np.zeros((self.num_envs, 1), np.float32)}
        if self._image is not None:
            values["image"] = self._image
        return Observation(values, self._rewards[self._step], ended, np.zeros_like(ended))

    def affect(self, action: Array) -> None:
        self._step += 1

    def ground_truth(self) -> Mapping[str, Array]:
        return self._truth[self._step]


class ScriptedAgent(Agent[Observation, Array]):
    """Takes `actions[step]`, and shows the intrinsic rewards `signals[step]`."""

    def __init__(self, actions: Sequence[Array] | None = None, signals: Sequence[Array] | None = None) -> None:
        super().__init__()
        self._actions, self._signals, self._step = actions, signals, 0

    def step(self, observation: Observation) -> Array:
        step, self._step = self._step, self._step + 1
        if self._signals is not None:
            self.signals["reward"] = self._signals[step]
        if self._actions is not None:
            return self._actions[step]
        return np.zeros((len(observation.reward), 1), dtype=np.int64)


class Port(InferencePort):
    """A model that is never updated."""

    version = 0

    def __init__(self, module: nn.Module) -> None:
        self._module = module

    @property
    def module(self) -> nn.Module:
        return self._module

    def __call__(self, *arguments: Any) -> Any:
        return self._module(*arguments)


def agent_with(**models: nn.Module) -> ScriptedAgent:
    """Return an agent that shows these models to metrics."""
    agent = ScriptedAgent()
    agent.attach({name: Port(module) for name, module in models.items()}, {})
    return agent


def watch(
    observer: StepObserver,
    truth: Sequence[Mapping[str, Array]],
    *,
    agent: ScriptedAgent | None = None,
    **world: Any,
) -> StepObserver:
    """Let an observer watch a whole script."""
    interaction = Interaction(agent or ScriptedAgent(), ScriptedWorld(truth, **world), {"it": observer})
    for _ in truth:
        interaction.step()
    return observer
