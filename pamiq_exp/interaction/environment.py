"""The world as the agent meets it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from pamiq_exp.component import Component

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Observation:
    """What a world shows at one moment, for all its lanes.

    Attributes:
        values: The arrays that `observation_space` declares, each `(lanes, *shape)`.
        reward: Reward of the transition that led here, `(lanes,)` float32.
        terminated: This observation is the last of its episode and its world has no future, `(lanes,)` bool.
        truncated: This observation is the last of its episode, but only for lack of time, `(lanes,)` bool.

    After an observation that ends an episode the next one starts a new episode, whatever the action
    (Gymnasium's next-step autoreset): no observation is ever lost, and the transition between the two
    means nothing. A continual world never ends: all flags are false.
    """

    values: Mapping[str, Array]
    reward: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]

    @property
    def ended(self) -> NDArray[np.bool_]:
        """Lanes whose episode ends with this observation, `(lanes,)`."""
        return self.terminated | self.truncated


def continual(values: Mapping[str, Array]) -> Observation:
    """An observation of a world that neither ends nor rewards."""
    lanes = len(next(iter(values.values())))
    never = np.zeros(lanes, dtype=np.bool_)
    return Observation(values, np.zeros(lanes, dtype=np.float32), never, never)


class Environment(Component, ABC):
    """A world with `lanes` independent copies of itself (one, if it is real).

    Attributes:
        observation_space: What one lane shows: a Dict of named Boxes.
        action_space: What one lane accepts: Discrete, MultiDiscrete or one-dimensional Box.
        lanes: Number of copies; the leading axis of every observation and action.
    """

    observation_space: gymnasium.spaces.Dict
    action_space: gymnasium.Space  # type: ignore[type-arg]
    lanes: int = 1

    @abstractmethod
    def observe(self) -> Observation:
        """Return what the world shows now. The arrays must not change afterwards."""

    @abstractmethod
    def affect(self, action: Array) -> None:
        """Act on the world. `action` is `(lanes, branches)` int64, or `(lanes, *shape)` float32 for a Box."""

    def ground_truth(self) -> Mapping[str, Array]:
        """What is true of the world now (pose, noise mask, ...): for metrics only, never for agents."""
        return {}
