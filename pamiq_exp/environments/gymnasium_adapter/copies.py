"""Copies of one environment, stepped together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import gymnasium
import numpy as np
from gymnasium.vector.utils import create_empty_array, iterate
from gymnasium.vector.utils.space_utils import concatenate
from numpy.typing import NDArray

from pamiq_exp.environments.gymnasium_adapter.copy import Copy, MakeCopy
from pamiq_exp.environments.gymnasium_adapter.snapshot import NotPlainError, Snapshot

VectorEnv: TypeAlias = "gymnasium.vector.VectorEnv[Any, Any, Any]"
Calls: TypeAlias = "Mapping[int, tuple[str, tuple[Any, ...]]]"
"""Methods of `Copy` to call, with their arguments, by the index of the copy."""


@dataclass
class Outcome:
    """The result of a step of all copies: a raw observation for each copy, and `(num_envs,)` arrays."""

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
    """Stack what the infos of all copies have in common: `(num_envs, *shape)` by name."""
    stacked: dict[str, NDArray[Any]] = {}
    for name, first in infos[0].items():
        others = [info.get(name) for info in infos]
        if all(other is not None and other.shape == first.shape for other in others):
            stacked[name] = np.stack([np.asarray(other) for other in others])
    return stacked


class Copies(ABC):
    """Several copies of one environment that are stepped together."""

    resets_alone: bool = True
    """Whether a copy can start a new episode at any step, without the others."""

    def __init__(self, count: int) -> None:
        self.count = count

    @abstractmethod
    def reset(self, seeds: Sequence[int]) -> list[Any]:
        """Start new episodes everywhere with these seeds; return the raw observations."""

    @abstractmethod
    def step(self, actions: Sequence[Any], over: NDArray[np.bool_]) -> Outcome:
        """Step all copies; those whose episode is over start a new one instead, whatever the action."""

    @abstractmethod
    def render(self) -> list[Any]:
        """Return a picture of each copy."""

    @abstractmethod
    def close(self) -> None:
        """Free windows, processes and sockets of all copies, also when one of them fails."""

    def infos(self) -> list[dict[str, NDArray[Any]]]:
        """Return the numbers of the last `info` of each copy."""
        return [{} for _ in range(self.count)]

    def attribute(self, path: str) -> list[Any]:
        """Return an attribute of each innermost environment, by its dotted path. Raises AttributeError."""
        raise AttributeError(f"'{path}' cannot be read: vectorization=native gives no access to single environments")

    def snapshots(self, any_class: bool) -> list[Snapshot]:
        """Return the state of each copy. Raises NotPlainError if some of it may not be plain data."""
        raise NotPlainError("the state of a vector environment cannot be read")

    def statistics(self) -> list[tuple[Snapshot, list[str]]]:
        """Return for each copy what its wrappers hold, and the names of attributes that cannot be saved."""
        return []

    def restore(self, snapshots: Sequence[Snapshot]) -> None:
        """Give each copy its state back. Raises ValueError for copies that cannot take it."""
        if snapshots:
            raise ValueError(
                "this checkpoint holds the state of each environment, which a vector environment cannot restore: "
                "go on with vectorization=sync, as it was saved"
            )


class SeparateCopies(Copies):
    """Separate environments, each called by itself."""

    @abstractmethod
    def call(self, calls: Calls) -> list[Any]:
        """Call methods of copies and return what they return, in the order of the indices."""

    def call_all(self, method: str, *arguments: Any) -> list[Any]:
        """Call the same method of all copies."""
        return self.call(dict.fromkeys(range(self.count), (method, arguments)))

    def reset(self, seeds: Sequence[int]) -> list[Any]:
        return self.call({index: ("reset", (seed,)) for index, seed in enumerate(seeds)})

    def step(self, actions: Sequence[Any], over: NDArray[np.bool_]) -> Outcome:
        results = self.call(
            {index: ("reset", ()) if over[index] else ("step", (action,)) for index, action in enumerate(actions)}
        )
        outcome = unrewarded(results)
        for index in np.flatnonzero(~over):
            outcome.observations[index], outcome.reward[index], outcome.terminated[index], outcome.truncated[index] = (
                results[index]
            )
        return outcome

    def render(self) -> list[Any]:
        return self.call_all("render")

    def infos(self) -> list[dict[str, NDArray[Any]]]:
        return self.call_all("info")

    def attribute(self, path: str) -> list[Any]:
        return self.call_all("attribute", path)

    def snapshots(self, any_class: bool) -> list[Snapshot]:
        return self.call_all("snapshot", any_class)

    def statistics(self) -> list[tuple[Snapshot, list[str]]]:
        return self.call_all("statistics")

    def restore(self, snapshots: Sequence[Snapshot]) -> None:
        self.call({index: ("restore", (snapshot,)) for index, snapshot in enumerate(snapshots)})


class LocalCopies(SeparateCopies):
    """Environments that are stepped one after another on the thread that made them."""

    def __init__(self, make: MakeCopy, count: int) -> None:
        super().__init__(count)
        self.copies: list[Copy] = []
        try:
            for index in range(count):
                self.copies.append(make(index))
        except BaseException:
            with suppress(Exception):  # the first error is the one to report
                self.close()
            raise

    def call(self, calls: Calls) -> list[Any]:
        return [getattr(self.copies[index], method)(*arguments) for index, (method, arguments) in calls.items()]

    def close(self) -> None:
        copies, self.copies = self.copies, []
        errors: list[Exception] = []
        for copy in copies:
            try:
                copy.close()
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]


class VectorCopies(Copies):
    """A Gymnasium vector environment that resets a copy at the step after its end."""

    resets_alone = False

    def __init__(self, vector: VectorEnv) -> None:
        super().__init__(vector.num_envs)
        self.vector = vector

    def reset(self, seeds: Sequence[int]) -> list[Any]:
        raw, _ = self.vector.reset(seed=seeds[0])  # vector environments derive those of their copies
        return self._split(raw)

    def step(self, actions: Sequence[Any], over: NDArray[np.bool_]) -> Outcome:
        space = self.vector.single_action_space
        batch = concatenate(space, actions, cast(Any, create_empty_array(space, self.count)))
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
