"""Copies of one environment side by side."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import gymnasium
import numpy as np
from gymnasium.vector.utils import create_empty_array, iterate
from gymnasium.vector.utils.space_utils import concatenate
from numpy.typing import NDArray

from pamiq_exp.environments.gymnasium_adapter.observations import Space, numeric
from pamiq_exp.environments.gymnasium_adapter.snapshot import NotPlainError, Snapshot, restore_snapshot, take_snapshot

Env: TypeAlias = "gymnasium.Env[Any, Any]"
VectorEnv: TypeAlias = "gymnasium.vector.VectorEnv[Any, Any, Any]"


@dataclass
class Outcome:
    """What all lanes show after a step: raw observations, one a lane, and `(lanes,)` arrays."""

    observations: list[Any]
    reward: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]


def unrewarded(observations: list[Any]) -> Outcome:
    """The outcome of starting new episodes everywhere."""
    count = len(observations)
    never = np.zeros(count, dtype=np.bool_)
    return Outcome(observations, np.zeros(count, dtype=np.float32), never, never.copy())


def common_numbers(infos: Sequence[Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Stack what the infos of all lanes have in common: `(lanes, *shape)` by name."""
    stacked: dict[str, NDArray[Any]] = {}
    for name, first in infos[0].items():
        others = [info.get(name) for info in infos]
        if all(other is not None and other.shape == first.shape for other in others):
            stacked[name] = np.stack([np.asarray(other) for other in others])
    return stacked


class Lanes(ABC):
    """Several copies of one environment that are stepped together."""

    count: int
    resets_alone: bool = True
    """Whether a lane can start a new episode whenever that is wanted, without the others."""
    observation_space: Space
    action_space: Space

    @abstractmethod
    def reset(self, lanes: Sequence[int], seeds: Sequence[int]) -> dict[int, Any]:
        """Start new episodes in these lanes with these seeds; return their raw observations by lane."""

    @abstractmethod
    def step(self, actions: Sequence[Any], over: NDArray[np.bool_]) -> Outcome:
        """Step all lanes; those whose episode is over start a new one instead, whatever the action."""

    @abstractmethod
    def render(self) -> list[Any]:
        """Return a picture of each lane."""

    @abstractmethod
    def close(self) -> None:
        """Free windows, processes and sockets."""

    def infos(self) -> list[dict[str, NDArray[Any]]]:
        """Return the numbers of the last `info` of each lane."""
        return [{} for _ in range(self.count)]

    def attribute(self, path: str) -> list[Any]:
        """Return an attribute of each innermost environment, by its dotted path."""
        raise ValueError(f"'{path}' cannot be read: only vectorization=lanes gives access to the environments")

    def snapshots(self, any_class: bool) -> list[Snapshot]:
        """Return the state of each lane. Raises NotPlainError if there may be more than can be taken."""
        raise NotPlainError("a vector of environments keeps its state to itself")

    def restore(self, snapshots: Sequence[Snapshot]) -> None:
        """Give each lane its state back. Raises ValueError for lanes that cannot take it."""
        raise ValueError(
            "this checkpoint holds the state of each environment, which a vector of environments cannot take over: "
            "go on with vectorization=lanes, as it was saved"
        )


class SeparateLanes(Lanes):
    """Environments of their own, stepped one after another on the inference thread."""

    def __init__(self, factory: Callable[[], Env], count: int) -> None:
        self.environments = [factory() for _ in range(count)]
        self.count = count
        self.observation_space = self.environments[0].observation_space
        self.action_space = self.environments[0].action_space
        self._infos: list[dict[str, Any]] = [{} for _ in range(count)]

    def reset(self, lanes: Sequence[int], seeds: Sequence[int]) -> dict[int, Any]:
        observations: dict[int, Any] = {}
        for lane, seed in zip(lanes, seeds, strict=True):
            observations[lane], self._infos[lane] = self.environments[lane].reset(seed=seed)
        return observations

    def step(self, actions: Sequence[Any], over: NDArray[np.bool_]) -> Outcome:
        observations: list[Any] = []
        reward = np.zeros(self.count, dtype=np.float32)
        terminated = np.zeros(self.count, dtype=np.bool_)
        truncated = np.zeros(self.count, dtype=np.bool_)
        for lane, environment in enumerate(self.environments):
            if over[lane]:
                raw, info = environment.reset()
            else:
                raw, reward_, terminated[lane], truncated[lane], info = environment.step(actions[lane])
                reward[lane] = float(reward_)
            observations.append(raw)
            self._infos[lane] = info
        return Outcome(observations, reward, terminated, truncated)

    def render(self) -> list[Any]:
        return [environment.render() for environment in self.environments]

    def close(self) -> None:
        for environment in self.environments:
            environment.close()

    def infos(self) -> list[dict[str, NDArray[Any]]]:
        return [numeric(info) for info in self._infos]

    def attribute(self, path: str) -> list[Any]:
        values: list[Any] = []
        for environment in self.environments:
            value: Any = environment.unwrapped
            for name in path.split("."):
                value = getattr(value, name)
            values.append(value)
        return values

    def snapshots(self, any_class: bool) -> list[Snapshot]:
        return [take_snapshot(environment, any_class) for environment in self.environments]

    def restore(self, snapshots: Sequence[Snapshot]) -> None:
        for environment, snapshot in zip(self.environments, snapshots, strict=True):
            restore_snapshot(environment, snapshot)


class VectorLanes(Lanes):
    """A Gymnasium vector environment that resets a lane at the step after its end."""

    resets_alone = False

    def __init__(self, vector: VectorEnv) -> None:
        self.vector = vector
        self.count = vector.num_envs
        self.observation_space = vector.single_observation_space
        self.action_space = vector.single_action_space

    def reset(self, lanes: Sequence[int], seeds: Sequence[int]) -> dict[int, Any]:
        if len(lanes) != self.count:
            raise ValueError("a vector environment can only be reset as a whole")
        raw, _ = self.vector.reset(seed=seeds[0])  # vector environments derive those of their lanes
        return dict(enumerate(self._split(raw)))

    def step(self, actions: Sequence[Any], over: NDArray[np.bool_]) -> Outcome:
        batch = concatenate(self.action_space, actions, cast(Any, create_empty_array(self.action_space, self.count)))
        raw, reward, terminated, truncated, _ = self.vector.step(batch)
        return Outcome(
            self._split(raw),
            np.where(over, 0.0, reward).astype(np.float32),
            np.logical_and(terminated, ~over),
            np.logical_and(truncated, ~over),
        )

    def render(self) -> list[Any]:
        return list(self.vector.render() or ())

    def close(self) -> None:
        self.vector.close()

    def _split(self, raw: Any) -> list[Any]:
        return list(iterate(self.vector.observation_space, raw))
