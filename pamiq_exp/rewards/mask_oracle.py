"""The upper bound for leaving noise out: a reward that knows which pixels are noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.rewards.dynamics_reward import DynamicsReward
from pamiq_exp.rewards.normalizer import Normalizer
from pamiq_exp.rewards.reward import GroundTruth
from pamiq_exp.rewards.transition import Transition


class MaskOracle(DynamicsReward):
    """r = squared error of the foreseen picture, averaged over the pixels of o_{t+1} that are no noise; 0 without any.

    An oracle: it reads the world's ground truth (`noise_mask`), which no other reward may. Needs the encoder
    `pixels`. It still rewards geometry that was not learned yet.

    Args:
        normalizer: How the raw reward is scaled.
        dynamics: Name of the model that predicts pictures.
    """

    name = "mask_oracle"

    def __init__(self, normalizer: Normalizer | None = None, dynamics: str = "dynamics") -> None:
        super().__init__(normalizer, dynamics, parts=("clean_share",))
        self._ground_truth: GroundTruth | None = None

    def attach_oracle(self, ground_truth: GroundTruth) -> None:
        """See the base class."""
        self._ground_truth = ground_truth

    def compute(self, transition: Transition) -> NDArray[np.float32] | None:
        """See the base class. Raises RuntimeError where the world does not tell what is noise."""
        truth = {} if self._ground_truth is None else self._ground_truth()
        if "noise_mask" not in truth:
            raise RuntimeError(
                "mask_oracle needs a world whose ground truth has `noise_mask` (environment=noise_world has), and an "
                "Interaction that is set up"
            )
        foreseen = self.foresee(transition)
        if foreseen is None:
            return None
        law, target = foreseen
        clean = ~truth["noise_mask"].reshape(len(target), -1)
        if target.shape[1] % clean.shape[1]:
            raise TypeError("mask_oracle compares pictures with their masks: choose the encoder `pixels`")
        errors = (target - law.mean).square().view(*clean.shape, -1).mean(-1).float().cpu().numpy()
        count = clean.sum(1)
        self.note("clean_share", (count / clean.shape[1]).astype(np.float32), transition.valid)
        reward: NDArray[np.float32] = ((errors * clean).sum(1) / np.maximum(count, 1)).astype(np.float32)
        return reward
