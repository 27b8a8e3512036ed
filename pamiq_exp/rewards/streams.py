"""The agent's intrinsic reward together with the reward of the environment, in one or two streams."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.component import Component
from pamiq_exp.rewards.reward import RunningMean

REWARD_STREAMS = ("extrinsic", "intrinsic")
"""The streams of separate rewards, in the order in which transitions and values hold them."""


class RewardStreams(Component):
    """Combines the scaled intrinsic reward r_i of an agent with the reward r_e of its environment.

    One stream: r = extrinsic_weight r_e + intrinsic_weight r_i, for any learner. Two streams: transitions hold both
    rewards, `(num_envs, 2)` in the order of `REWARD_STREAMS`; each has its own value and its own return, and the
    learner adds the weighted advantages (see `OnPolicyTrainer`).

    Sources: Burda et al. 2018, Exploration by random network distillation, section 2.3 (two streams); Zhang et al.
    2021, NovelD, section 3 (one stream).

    Args:
        extrinsic_weight: Of the environment's reward.
        intrinsic_weight: Of the agent's own reward.
        separate: Two streams instead of one.
    """

    def __init__(self, extrinsic_weight: float = 1.0, intrinsic_weight: float = 1.0, separate: bool = False) -> None:
        self.extrinsic_weight = float(extrinsic_weight)
        self.intrinsic_weight = float(intrinsic_weight)
        self.separate = bool(separate)
        self._extrinsic = RunningMean()

    def combine(
        self, extrinsic: NDArray[np.float32], intrinsic: NDArray[np.float32], valid: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Return the weighted sum, `(num_envs,)`; where a transition is not valid, r_e is left out."""
        paid = np.where(valid, extrinsic, np.float32(0))
        self._extrinsic.add(paid[valid])
        total: NDArray[np.float32] = (
            np.float32(self.extrinsic_weight) * paid + np.float32(self.intrinsic_weight) * intrinsic
        )
        return total

    def stack(
        self, extrinsic: NDArray[np.float32], intrinsic: NDArray[np.float32], valid: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Return both rewards without weights, `(num_envs, 2)`."""
        return np.stack([np.where(valid, extrinsic, np.float32(0)), intrinsic], axis=-1)

    def report(self) -> dict[str, float]:
        """Mean reward of the environment since the last call."""
        mean = self._extrinsic.take()
        return {} if mean is None else {"extrinsic": mean}
