"""Prediction error on the pixels that are not noise: an oracle."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.rewards.dynamics_reward import DynamicsReward
from pamiq_exp.rewards.normalizer import Normalizer
from pamiq_exp.rewards.reward import GroundTruth
from pamiq_exp.rewards.transition import Transition


class MaskOracle(DynamicsReward):
    """r = squared error of the predicted image, mean over the pixels of o_{t+1} that are not noise; 0 without any.

    An oracle: it reads the environment's ground truth (`noise_mask`), which no other reward may. Needs the encoder
    `pixels`. Geometry that is not learned yet is still rewarded.

    Args:
        normalizer: How the raw reward is scaled.
        dynamics: Name of the forward dynamics, in pixels.
    """

    name = "mask_oracle"

    def __init__(self, normalizer: Normalizer | None = None, dynamics: str = "dynamics") -> None:
        super().__init__(normalizer, dynamics, parts=("clean_share",))
        self._ground_truth: GroundTruth | None = None

    def attach_oracle(self, ground_truth: GroundTruth) -> None:
        """See the base class."""
        self._ground_truth = ground_truth

    def compute(self, transition: Transition) -> NDArray[np.float32] | None:
        """See the base class. Raises RuntimeError for an environment without `noise_mask`."""
        truth = {} if self._ground_truth is None else self._ground_truth()
        if "noise_mask" not in truth:
            raise RuntimeError(
                "mask_oracle needs an environment whose ground truth has `noise_mask`, such as "
                "environment=noise_world, and an Interaction that is set up"
            )
        predicted = self.predict(transition)
        if predicted is None:
            return None
        prediction, target = predicted
        clean = ~truth["noise_mask"].reshape(len(target), -1)
        if target.shape[1] % clean.shape[1]:
            raise TypeError("mask_oracle compares images with their masks: choose encoder=pixels")
        errors = (target - prediction.mean).square().view(*clean.shape, -1).mean(-1).float().cpu().numpy()
        count = clean.sum(1)
        self.note("clean_share", (count / clean.shape[1]).astype(np.float32), transition.valid)
        reward: NDArray[np.float32] = ((errors * clean).sum(1) / np.maximum(count, 1)).astype(np.float32)
        return reward
