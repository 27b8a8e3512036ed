"""Curiosity about what depends on the agent's own actions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.models import InverseDynamics
from pamiq_exp.rewards.prediction_error import FeatureError
from pamiq_exp.rewards.transition import Transition


class InverseFeatureError(FeatureError):
    """r = eta / 2 mean (phi(o_{t+1}) - f(phi(o_t), a_t))^2 in features that tell which action was taken.

    The features learn by inverse dynamics alone; the forward model learns on them without a gradient. Noise that
    the agent causes is encoded like everything else that it causes.

    Source: Pathak et al. 2017, Curiosity-driven exploration by self-supervised prediction, equations 2 to 6.
    eta is absorbed by the normaliser.
    """

    name = "icm"
    features = InverseDynamics

    def compute(self, transition: Transition) -> NDArray[np.float32] | None:
        """See the base class."""
        error = super().compute(transition)
        return None if error is None else error * np.float32(0.5)
