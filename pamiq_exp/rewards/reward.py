"""Base class of rewards."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from pamiq_exp.component import Component, State
from pamiq_exp.rewards.normalizer import NoNormalizer, Normalizer
from pamiq_exp.rewards.transition import PublishedModel, Transition

GroundTruth: TypeAlias = Callable[[], Mapping[str, NDArray[Any]]]
"""Returns the ground truth of the environment at o_{t+1}."""


class RunningMean(Component):
    """Mean of finite numbers since the last `take`."""

    def __init__(self) -> None:
        self._sum = 0.0
        self._count = 0

    def add(self, values: NDArray[np.float32]) -> None:
        """Add numbers; those that are not finite are ignored."""
        if values.size:
            total = float(values.sum(dtype=np.float64))
            if not math.isfinite(total):
                values = values[np.isfinite(values)]
                total = float(values.sum(dtype=np.float64))
            self._sum += total
            self._count += int(values.size)

    @property
    def value(self) -> float | None:
        """The mean; None without numbers."""
        return self._sum / self._count if self._count else None

    def take(self) -> float | None:
        """Return the mean and reset it."""
        mean = self.value
        self._sum, self._count = 0.0, 0
        return mean

    def state(self) -> State:
        """Sum and count."""
        return {"sum": self._sum, "count": self._count}

    def load_state(self, state: State) -> None:
        """Restore sum and count."""
        self._sum, self._count = state["sum"], state["count"]


class Reward(Component, ABC):
    """Base class of rewards, computed once for each transition with the parameters published before o_{t+1}.

    Those parameters have not been trained on the transition itself (prequential evaluation).

    Args:
        normalizer: How the raw reward is scaled; None leaves it.
        parts: Names of metrics that are logged beside the reward, see `note`.
    """

    name: str
    """The name of its metrics."""

    needs_latents: bool = False
    """Whether it needs latent vectors, so that the agent must have an encoder."""

    recorded_fields: tuple[str, ...] = ()
    """Fields that it adds to the agent's transitions, see `fields`."""

    def __init__(self, normalizer: Normalizer | None = None, parts: Sequence[str] = ()) -> None:
        self.normalizer = normalizer or NoNormalizer()
        self.rewarded = np.zeros(0, dtype=np.bool_)
        """Where the newest transition has a reward, `(num_envs,)`: it is valid, and nothing warms up."""
        self._raw = RunningMean()
        self._normalized = RunningMean()
        self._parts = {part: RunningMean() for part in parts}

    def attach(self, models: Mapping[str, PublishedModel]) -> None:
        """Receive the published models, once, before the first step. Raises KeyError for a missing one."""

    def attach_oracle(self, ground_truth: GroundTruth) -> None:
        """Receive the environment's ground truth. Only rewards named `..._oracle` may use it."""

    @abstractmethod
    def compute(self, transition: Transition) -> NDArray[np.float32] | None:
        """Return the raw reward of each environment, `(num_envs,)`; None while there is none (an encoder warms up).

        Called in every turn, also if no environment is valid: state that is kept from turn to turn must be cleared
        where `transition.valid` is false.
        """

    def __call__(self, transition: Transition) -> NDArray[np.float32]:
        """Return the scaled reward of each environment, `(num_envs,)`; 0 where the transition is not valid.

        A reward that is not finite is returned unchanged, and does not enter means and scales; nor do the zeros
        that are returned while a model or the scale warms up. `rewarded` says where there is a reward.
        """
        raw = self.compute(transition)
        valid = transition.valid
        if raw is None:
            self.rewarded = np.zeros(len(valid), dtype=np.bool_)
            return np.zeros(len(valid), dtype=np.float32)
        if raw.shape != valid.shape:
            raise ValueError(
                f"{type(self).__name__}.compute returned {raw.shape}, expected {valid.shape}: one per environment"
            )
        raw = np.where(valid, raw, np.float32(0))
        normalized = np.where(valid, self.normalizer(raw, valid), np.float32(0))
        self._raw.add(raw[valid])
        self.rewarded = valid & np.isfinite(raw) & self.normalizer.warmed_up
        self._normalized.add(normalized[self.rewarded])
        return normalized

    def note(self, part: str, values: NDArray[np.float32], valid: NDArray[np.bool_]) -> None:
        """Log the mean of `values` over valid environments, both `(num_envs,)`, as `<name>_<part>`."""
        self._parts[part].add(values[valid])

    def policy_inputs(self, num_envs: int, device: torch.device) -> dict[str, torch.Tensor]:
        """Inputs of the policy besides the observation, each `(num_envs, *shape)`; also fields of transitions."""
        return {}

    def fields(self) -> dict[str, NDArray[Any]]:
        """The `recorded_fields` of the last transition, from which models learn, each `(num_envs, *shape)`.

        Empty while there is no reward; buffers with these fields then get nothing.
        """
        return {}

    def cuts(self) -> NDArray[np.bool_] | None:
        """Environments in which the goal changes at o_{t+1}, `(num_envs,)`: returns are cut there as at an end."""
        return None

    def report(self) -> dict[str, float]:
        """Mean raw and scaled reward and parts since the last call: `<name>_raw`, `<name>`, `<name>_<part>`."""
        metrics = {f"{self.name}_raw": self._raw.take(), self.name: self._normalized.take()}
        metrics |= {f"{self.name}_{part}": mean.take() for part, mean in self._parts.items()}
        return {name: value for name, value in metrics.items() if value is not None}
