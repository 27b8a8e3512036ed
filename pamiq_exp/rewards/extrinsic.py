"""Extrinsic reward."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.rewards.reward import Reward
from pamiq_exp.rewards.transition import Transition


class Extrinsic(Reward):
    """r = the reward of the environment for the transition."""

    name = "extrinsic"

    def compute(self, transition: Transition) -> NDArray[np.float32]:
        """See the base class."""
        return transition.environment_reward
