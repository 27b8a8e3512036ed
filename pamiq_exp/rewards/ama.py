"""Curiosity minus what the model itself takes for noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.rewards.dynamics_reward import DynamicsReward
from pamiq_exp.rewards.normaliser import Normaliser
from pamiq_exp.rewards.transition import Transition


class AleatoricMapping(DynamicsReward):
    """r = mean over the features of (z_{t+1} - mu)^2 - eta sigma^2, with mean and variance from one model.

    The model is trained with exp(-u) (z - mu)^2 + lambda u, u = log sigma^2, whose fixed point is
    exp(u) = E (z - mu)^2 / lambda; so E r = 0 there exactly when eta = lambda. The reward is signed: clamping it at 0
    would leave noise rewarding.

    Source: Mavor-Parker et al. 2022, How to stay curious while avoiding noisy TVs using aleatoric uncertainty
    estimation, equations 4 and 5.

    Args:
        normaliser: How the raw reward is scaled.
        dynamics: Name of the model that predicts: one with a learned variance.
        eta: How much of the variance is taken away; the `penalty` (lambda) of the model's head.
    """

    name = "ama"

    def __init__(self, normaliser: Normaliser | None = None, dynamics: str = "dynamics", eta: float = 1.0) -> None:
        super().__init__(normaliser, dynamics, parts=("error", "aleatoric"))
        self.eta = float(eta)

    def compute(self, transition: Transition) -> NDArray[np.float32] | None:
        """See the base class."""
        foreseen = self.foresee(transition)
        if foreseen is None:
            return None
        law, target = foreseen
        error: NDArray[np.float32] = (target - law.mean).square().mean(-1).float().cpu().numpy()
        variance: NDArray[np.float32] = law.variance.mean(-1).float().cpu().numpy()
        self.note("error", error, transition.valid)
        self.note("aleatoric", variance, transition.valid)
        return error - np.float32(self.eta) * variance
