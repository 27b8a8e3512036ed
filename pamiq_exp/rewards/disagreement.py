"""Curiosity about what several models foresee differently."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.rewards.dynamics_reward import DynamicsReward, member_means
from pamiq_exp.rewards.transition import Transition


class Disagreement(DynamicsReward):
    """r = mean over the features of Var_k f_k(z_t, a_t), the variance (divisor K) of the members of an ensemble.

    What came does not enter: noise matters only as far as it drives the members apart. For pure noise the variance
    falls as sigma^2 (K - 1) / (K n) with the number n of samples, down to what a constant learning rate leaves.

    Source: Pathak, Gandhi and Gupta 2019, Self-supervised exploration via disagreement, equation 1.

    Args:
        normalizer: How the raw reward is scaled.
        dynamics: Name of the model that predicts, an ensemble.
    """

    name = "disagreement"

    def compute(self, transition: Transition) -> NDArray[np.float32] | None:
        """See the base class. Raises TypeError for a model that is no ensemble."""
        foreseen = self.foresee(transition)
        if foreseen is None:
            return None
        means = member_means(foreseen[0].mean, foreseen[1], self)
        variance: NDArray[np.float32] = means.var(0, correction=0).mean(-1).float().cpu().numpy()
        return variance
