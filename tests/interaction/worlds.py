"""Environments and agents that record what happens."""

from __future__ import annotations

import gymnasium
import numpy as np

from pamiq_exp.component import State
from pamiq_exp.interaction import Agent, Array, Environment, Observation


class Diary(Environment):
    """Shows the number of its step, pays it as reward, and records every action; episodes have the given length."""

    def __init__(self, num_envs: int = 1, episode: int | None = None, box: bool = False) -> None:
        self.num_envs = num_envs
        self.observation_space = gymnasium.spaces.Dict({"x": gymnasium.spaces.Box(0, 1e9, (1,), np.float32)})
        self.action_space = (
            gymnasium.spaces.Box(-1, 1, (2,), np.float32) if box else gymnasium.spaces.MultiDiscrete([50, 3])
        )
        self.step, self._episode = 0, episode
        self.actions: list[Array] = []

    def observe(self) -> Observation:
        ended = np.full(self.num_envs, self._episode is not None and self.step % (self._episode + 1) == self._episode)
        values = {"x": np.full((self.num_envs, 1), self.step, np.float32)}
        return Observation(values, np.full(self.num_envs, self.step, np.float32), ended, np.zeros_like(ended))

    def affect(self, action: Array) -> None:
        self.actions.append(action.copy())
        self.step += 1

    def state(self) -> State:
        return {"step": self.step}

    def load_state(self, state: State) -> None:
        self.step = int(state["step"])


class Counter(Agent[Observation, Array]):
    """Does 1, 2, 3, ... in its first branch."""

    def __init__(self, num_envs: int = 1) -> None:
        super().__init__()
        self.num_envs, self.turn = num_envs, 0
        self.seen: list[Observation] = []

    def step(self, observation: Observation) -> Array:
        self.seen.append(observation)
        self.turn += 1
        return np.array([[self.turn, self.turn % 3]] * self.num_envs)

    def state(self) -> State:
        return {"turn": self.turn}

    def load_state(self, state: State) -> None:
        self.turn = int(state["turn"])
