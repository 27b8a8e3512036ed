"""Small environments and stand-ins for the launcher's ports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from torch import nn

from pamiq_exp.interaction import Array, Environment, Observation
from pamiq_exp.spaces import ArraySpec, SpacesDescription, describe_spaces, flatten_specs

OUTCOME_FIELDS: dict[str, object] = {
    "reward": {"shape": [], "dtype": "float32"},
    "environment_reward": {"shape": [], "dtype": "float32"},
    "terminated": {"shape": [], "dtype": "bool"},
    "truncated": {"shape": [], "dtype": "bool"},
    "ended": {"shape": [], "dtype": "bool"},
    "model_version": {"shape": [], "dtype": "int64"},
}


class ClockWorld(Environment):
    """Shows its own step number t, pays t for the transition out of step t, and ends episodes on schedule.

    Environment i ends an episode at each step number divisible by `ends[i]`: terminated if i is even, truncated if i
    is odd. The transition out of such a step pays -1000, which shows if it is counted.
    """

    def __init__(self, ends: tuple[int, ...] = (4, 6, 1000)) -> None:
        self.num_envs = len(ends)
        self.ends = np.array(ends)
        self.observation_space = gymnasium.spaces.Dict(
            {"step": gymnasium.spaces.Box(-np.inf, np.inf, (1,), dtype=np.float32)}
        )
        self.action_space = gymnasium.spaces.MultiDiscrete([3, 2])
        self.now = 0
        self.actions: list[Array] = []

    def ended_at(self, step: int) -> Array:
        return np.array((step > 0) & (step % self.ends == 0))

    def observe(self) -> Observation:
        ended, even = self.ended_at(self.now), np.arange(self.num_envs) % 2 == 0
        reward = np.where(self.ended_at(self.now - 1), -1000, self.now - 1).astype(np.float32)
        step = np.full((self.num_envs, 1), self.now, dtype=np.float32)
        return Observation({"step": step}, reward, ended & even, ended & ~even)

    def affect(self, action: Array) -> None:
        self.actions.append(action)
        self.now += 1


class Port:
    """A model as the launcher publishes it; `version` is set by the test."""

    def __init__(self, module: nn.Module, version: int = 0) -> None:
        self.module = module.eval()
        self.version = version

    def __call__(self, *args: Any) -> Any:
        return self.module(*args)


class Collector:
    """Keeps every record, as a real collector does: exactly its fields, copied."""

    def __init__(self, fields: Mapping[str, object]) -> None:
        self.fields: dict[str, ArraySpec] = flatten_specs(fields)
        self.records: list[dict[str, Array]] = []

    def collect(self, record: Mapping[str, Array]) -> None:
        assert record.keys() == self.fields.keys()
        self.records.append({name: value.copy() for name, value in record.items()})


def spaces(environment: Environment) -> SpacesDescription:
    return describe_spaces(environment.observation_space, environment.action_space, environment.num_envs)
