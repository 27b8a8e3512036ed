"""Aleatoric mapping agent (Mavor-Parker et al. 2022)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pamiq_exp.models.dynamics.predictions import Normal, NormalHead
from pamiq_exp.models.nn.precision import to_float32
from pamiq_exp.rewards.dynamics_reward import DynamicsReward
from pamiq_exp.rewards.normalizer import Normalizer
from pamiq_exp.rewards.transition import Transition


class AleatoricMapping(DynamicsReward):
    """r = mean over the features of (z_{t+1} - mu)^2 - eta sigma^2: the prediction error minus the predicted variance.

    The model is trained with exp(-u) (z - mu)^2 + lambda u, u = log sigma^2, whose minimum is
    exp(u) = E (z - mu)^2 / lambda; so E r = 0 there exactly when eta = lambda. The reward is signed: clamping it at 0
    would leave a positive mean on noise.

    Source: Mavor-Parker et al. 2022, How to stay curious while avoiding noisy TVs using aleatoric uncertainty
    estimation, equations 4 and 5.

    Args:
        normalizer: How the raw reward is scaled.
        dynamics: Name of the forward dynamics: one with a learned variance.
        eta: Weight of the variance; the `penalty` (lambda) of the model's head.
    """

    name = "ama"

    def __init__(self, normalizer: Normalizer | None = None, dynamics: str = "dynamics", eta: float = 1.0) -> None:
        super().__init__(normalizer, dynamics, parts=("error", "aleatoric"))
        self.eta = float(eta)

    def compute(self, transition: Transition) -> NDArray[np.float32] | None:
        """See the base class."""
        predicted = self.predict(transition)
        if predicted is None:
            return None
        prediction, target = predicted
        error: NDArray[np.float32] = (target - prediction.mean).square().mean(-1).float().cpu().numpy()
        variance: NDArray[np.float32] = prediction.variance.mean(-1).float().cpu().numpy()
        self.note("error", error, transition.valid)
        self.note("aleatoric", variance, transition.valid)
        return error - np.float32(self.eta) * variance


class PenalizedNormal(Normal):
    """A normal distribution trained with exp(-u) (z - mu)^2 + penalty u, where u is the logarithm of the variance.

    At the minimum, exp(u) = E (z - mu)^2 / penalty. A penalty of 1 is twice the negative log-likelihood.

    Source: Mavor-Parker et al. 2022, How to stay curious while avoiding noisy TVs using aleatoric uncertainty
    estimation, equation 4; Kendall and Gal 2017, What uncertainties do we need in Bayesian deep learning?

    Args:
        mean: `(..., features)`.
        log_variance: `(..., features)`.
        penalty: lambda.
    """

    def __init__(self, mean: Tensor, log_variance: Tensor, penalty: float) -> None:
        super().__init__(mean, log_variance)
        self._penalty = penalty

    def loss(self, target: Tensor) -> Tensor:
        """See the class; mean over the features, `(...)`."""
        error = (to_float32(target) - to_float32(self.mean)).square()
        return ((-self.log_variance).exp() * error + self._penalty * self.log_variance).mean(-1)


class PenalizedNormalHead(NormalHead):
    """Head of a `PenalizedNormal`.

    Args:
        width: Size of the hidden vector.
        features: Size of a latent vector.
        penalty: lambda; unless it is 1, the predicted variance is not that of the errors.
    """

    def __init__(self, width: int, features: int, penalty: float = 1.0) -> None:
        super().__init__(width, features)
        if not penalty > 0:
            raise ValueError(f"penalty must be positive, not {penalty}")
        self.penalty = float(penalty)

    def distribution(self, parameters: Tensor, offset: Tensor | None = None) -> PenalizedNormal:
        """See the base class."""
        normal = super().distribution(parameters, offset)
        return PenalizedNormal(normal.mean, normal.log_variance, self.penalty)
