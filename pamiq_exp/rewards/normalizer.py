"""Reward normalization: rewards of any size on a common scale."""

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

    @property
    def warmed_up(self) -> bool:
        """Whether the scale is known; before, all rewards are returned as 0."""
        return True

    @abstractmethod
    def __call__(self, reward: Rewards, valid: Mask) -> Rewards:
        """Return scaled rewards, `(num_envs,)`.

        Environments that are not valid and rewards that are not finite do not enter the scale; the latter are returned
        unchanged.
        """


class NoNormalizer(Normalizer):
    """No normalization."""

    def __call__(self, reward: Rewards, valid: Mask) -> Rewards:
        """See the base class."""
        return reward


class DiscountedStd(Normalizer):
    """Division by the standard deviation of the discounted sum of past rewards (Burda et al. 2018).

    In each environment G_t = gamma G_{t-1} + r_t; rewards are divided by the standard deviation of all G so far. The
    mean is not subtracted, and episodes do not interrupt the sum. The first `warmup` rewards are returned as 0.

    Source: Burda et al. 2018, Exploration by random network distillation, section 2.4.

    Args:
        num_envs: Number of reward streams.
        gamma: Discount factor of the sum, from 0 to below 1.
        min_relative_std: The divisor is at least this fraction of the largest standard deviation within the first
            `reference_steps`, so that a reward that vanishes does not become amplified noise. 0 for no minimum.
        reference_steps: Environment steps that set that minimum.
        warmup: Environment steps before the first reward that is not 0.
        clip: Largest magnitude of a returned reward; None for no limit.
    """

    def __init__(
        self,
        num_envs: int,
        gamma: float = 0.99,
        min_relative_std: float = 0.01,
        reference_steps: int = 10_000,
        warmup: int = 100,
        clip: float | None = None,
    ) -> None:
        if not 0 <= gamma < 1:
            raise ValueError(f"gamma must be from 0 to below 1, not {gamma}")
        self.gamma = gamma
        self.min_relative_std = min_relative_std
        self.reference_steps = reference_steps
        self.warmup = warmup
        self.clip = clip
        self._sums = np.zeros(num_envs, dtype=np.float64)
        self._moments = np.zeros(3, dtype=np.float64)
        self._largest = 0.0

    def __call__(self, reward: Rewards, valid: Mask) -> Rewards:
        """See the base class."""
        valid = valid & np.isfinite(reward)
        np.copyto(self._sums, self.gamma * self._sums + reward, where=valid)
        sums = self._sums[valid]
        if sums.size:
            merged = merge_moments(
                self._moments[0], self._moments[1], self._moments[2], sums.size, sums.mean(), sums.var()
            )
            self._moments[:] = merged
        count, _, variance = self._moments
        if not self.warmed_up:
            return np.where(np.isfinite(reward), np.float32(0), reward)
        std = float(np.sqrt(variance + 1e-8))
        if count <= self.reference_steps:
            self._largest = max(self._largest, std)
        scaled = reward / np.float32(max(std, self.min_relative_std * self._largest))
        return scaled if self.clip is None else np.clip(scaled, -self.clip, self.clip)

    @property
    def warmed_up(self) -> bool:
        """See the base class."""
        return bool(self._moments[0] >= self.warmup)

    def state(self) -> State:
        """Discounted sums, their moments and the largest deviation."""
        return {"sums": self._sums.copy(), "moments": self._moments.copy(), "largest": self._largest}

    def load_state(self, state: State) -> None:
        """Restore them."""
        self._sums[:] = state["sums"]
        self._moments[:] = state["moments"]
        self._largest = state["largest"]


class ExponentialStd(Normalizer):
    """Division by an exponentially weighted standard deviation of the rewards.

    With m_n the mean of r^n over all environments and turns, weighted by ema_decay^age, rewards are divided by
    sqrt(m_2 - m_1^2). The mean is not subtracted. The first `warmup` rewards are returned as 0.

    Args:
        ema_decay: Weight of a turn relative to the next one, from 0 to below 1.
        min_std: Smallest divisor.
        warmup: Environment steps before the first reward that is not 0.
        clip: Largest magnitude of a returned reward; None for no limit.
    """

    def __init__(
        self, ema_decay: float = 0.999, min_std: float = 1e-4, warmup: int = 100, clip: float | None = None
    ) -> None:
        if not 0 <= ema_decay < 1:
            raise ValueError(f"ema_decay must be from 0 to below 1, not {ema_decay}")
        self.ema_decay = ema_decay
        self.min_std = min_std
        self.warmup = warmup
        self.clip = clip
        self._sums = np.zeros(3, dtype=np.float64)
        """Weights, weighted rewards and weighted squares."""
        self._count = 0

    def __call__(self, reward: Rewards, valid: Mask) -> Rewards:
        """See the base class."""
        known = reward[valid & np.isfinite(reward)].astype(np.float64)
        if known.size:
            self._sums *= self.ema_decay
            self._sums += known.size, known.sum(), np.square(known).sum()
            self._count += known.size
        if not self.warmed_up:
            return np.where(np.isfinite(reward), np.float32(0), reward)
        weight, total, squares = self._sums
        variance = squares / weight - (total / weight) ** 2
        scaled = reward / np.float32(max(np.sqrt(max(variance, 0.0)), self.min_std))
        return scaled if self.clip is None else np.clip(scaled, -self.clip, self.clip)

    @property
    def warmed_up(self) -> bool:
        """See the base class."""
        return self._count >= self.warmup

    def state(self) -> State:
        """Sums and their count."""
        return {"sums": self._sums.copy(), "count": self._count}

    def load_state(self, state: State) -> None:
        """Restore the sums."""
        self._sums[:] = state["sums"]
        self._count = int(state["count"])
