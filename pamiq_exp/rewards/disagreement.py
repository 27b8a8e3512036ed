"""Ensemble disagreement (Pathak, Gandhi and Gupta 2019)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.rewards.dynamics_reward import DynamicsReward, member_means
from pamiq_exp.rewards.transition import Transition


class Disagreement(DynamicsReward):
    """r = mean over the features of Var_k f_k(z_t, a_t), the variance (divisor K) of the members of an ensemble.

    The observed z_{t+1} does not enter: noise counts only as far as it makes the members differ. For pure noise the
    variance falls as sigma^2 (K - 1) / (K n) with the number n of samples, down to a limit set by the learning rate.

    Source: Pathak, Gandhi and Gupta 2019, Self-supervised exploration via disagreement, equation 1.

    Args:
        normalizer: How the raw reward is scaled.
        dynamics: Name of the forward dynamics, an ensemble.
    """

    name = "disagreement"

    def compute(self, transition: Transition) -> NDArray[np.float32] | None:
        """See the base class. Raises TypeError for a model that is not an ensemble."""
        predicted = self.predict(transition)
        if predicted is None:
            return None
        means = member_means(predicted[0].mean, predicted[1], self)
        variance: NDArray[np.float32] = means.var(0, correction=0).mean(-1).float().cpu().numpy()
        return variance
