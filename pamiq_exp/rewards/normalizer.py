"""Rewards of any size, brought to a common scale."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.component import Component, State
from pamiq_exp.models.nn.running_moments import merge_moments

Rewards = NDArray[np.float32]
Mask = NDArray[np.bool_]


class Normalizer(Component, ABC):
    """Scales the rewards of one stream."""

    @abstractmethod
    def __call__(self, reward: Rewards, valid: Mask) -> Rewards:
        """Return scaled rewards, `(num_envs,)`.

        Invalid environments and rewards that are not finite do not count; the latter are returned unchanged.
        """


class NoNormalizer(Normalizer):
    """Leaves rewards as they are."""

    def __call__(self, reward: Rewards, valid: Mask) -> Rewards:
        """See the base class."""
        return reward


class DiscountedStd(Normalizer):
    """Divides by the standard deviation of the discounted sum of past rewards.

    In each environment G_t = gamma G_{t-1} + r_t; rewards are divided by the standard deviation of all G seen so
    far. The mean is not subtracted, and episodes do not interrupt the sum. Until `minimum` values are known
    there is no scale, and the reward is 0.

    Source: Burda et al. 2019, Exploration by random network distillation, section 2.4.

    Args:
        num_envs: Number of reward streams.
        discount: gamma.
        floor: A reward that dies out must not become amplified noise: the divisor does not fall below this
            share of the largest one among the first `floor_steps` values. 0 for no floor.
        floor_steps: Environment steps that set the floor.
        minimum: Environment steps before the scale is trusted.
        clip: Largest magnitude of what is returned; None for no limit.
    """

    def __init__(
        self,
        num_envs: int,
        discount: float = 0.99,
        floor: float = 0.01,
        floor_steps: int = 10_000,
        minimum: int = 100,
        clip: float | None = None,
    ) -> None:
        if not 0 <= discount < 1:
            raise ValueError(f"discount must be from 0 to below 1, not {discount}")
        self.discount = discount
        self.floor = floor
        self.floor_steps = floor_steps
        self.minimum = minimum
        self.clip = clip
        self._sums = np.zeros(num_envs, dtype=np.float64)
        self._moments = np.zeros(3, dtype=np.float64)
        self._largest = 0.0

    def __call__(self, reward: Rewards, valid: Mask) -> Rewards:
        """See the base class."""
        valid = valid & np.isfinite(reward)
        np.copyto(self._sums, self.discount * self._sums + reward, where=valid)
        sums = self._sums[valid]
        if sums.size:
            merged = merge_moments(
                self._moments[0], self._moments[1], self._moments[2], sums.size, sums.mean(), sums.var()
            )
            self._moments[:] = merged
        count, _, variance = self._moments
        if count < self.minimum:
            return np.where(np.isfinite(reward), np.float32(0), reward)
        std = float(np.sqrt(variance + 1e-8))
        if count <= self.floor_steps:
            self._largest = max(self._largest, std)
        scaled = reward / np.float32(max(std, self.floor * self._largest))
        return scaled if self.clip is None else np.clip(scaled, -self.clip, self.clip)

    def state(self) -> State:
        """Filters, moments and floor."""
        return {"sums": self._sums.copy(), "moments": self._moments.copy(), "largest": self._largest}

    def load_state(self, state: State) -> None:
        """Restore filters, moments and floor."""
        self._sums[:] = state["sums"]
        self._moments[:] = state["moments"]
        self._largest = state["largest"]


class ExponentialStd(Normalizer):
    """Divides by the standard deviation of the rewards themselves, in which old ones fade.

    With m_n the mean of r^n over all environments and turns, weighted by decay^age, rewards are divided by sqrt(m_2 -
    m_1^2). The mean is not subtracted. Until `minimum` values are known the reward is 0.

    Args:
        decay: Weight of a turn relative to the one after it.
        floor: Smallest divisor.
        minimum: Environment steps before the scale is trusted.
        clip: Largest magnitude of what is returned; None for no limit.
    """

    def __init__(
        self, decay: float = 0.999, floor: float = 1e-4, minimum: int = 100, clip: float | None = None
    ) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be from 0 to below 1, not {decay}")
        self.decay = decay
        self.floor = floor
        self.minimum = minimum
        self.clip = clip
        self._sums = np.zeros(3, dtype=np.float64)
        """Weights, weighted rewards and weighted squares."""
        self._count = 0

    def __call__(self, reward: Rewards, valid: Mask) -> Rewards:
        """See the base class."""
        known = reward[valid & np.isfinite(reward)].astype(np.float64)
        if known.size:
            self._sums *= self.decay
            self._sums += known.size, known.sum(), np.square(known).sum()
            self._count += known.size
        if self._count < self.minimum:
            return np.where(np.isfinite(reward), np.float32(0), reward)
        weight, total, squares = self._sums
        variance = squares / weight - (total / weight) ** 2
        scaled = reward / np.float32(max(np.sqrt(max(variance, 0.0)), self.floor))
        return scaled if self.clip is None else np.clip(scaled, -self.clip, self.clip)

    def state(self) -> State:
        """Sums and their count."""
        return {"sums": self._sums.copy(), "count": self._count}

    def load_state(self, state: State) -> None:
        """Restore the sums."""
        self._sums[:] = state["sums"]
        self._count = int(state["count"])
