"""A normal law whose variance is priced."""

from __future__ import annotations

from torch import Tensor

from pamiq_exp.models.dynamics.predictions import Normal, NormalHead
from pamiq_exp.models.precision import wide


class PenalisedNormal(Normal):
    """A normal law trained with exp(-u) (z - mu)^2 + penalty u, where u is the logarithm of the variance.

    At its lowest, exp(u) = E (z - mu)^2 / penalty. A penalty of 1 is twice the negative log-likelihood.

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
        """See the class; averaged over the features, `(...)`."""
        error = (wide(target) - wide(self.mean)).square()
        return ((-self.log_variance).exp() * error + self._penalty * self.log_variance).mean(-1)


class PenalisedNormalHead(NormalHead):
    """Gives means and variances: `PenalisedNormal`.

    Args:
        width: Hidden numbers.
        features: Numbers in a latent vector.
        penalty: lambda; with any other than 1 the variances are not those of the errors.
    """

    def __init__(self, width: int, features: int, penalty: float = 1.0) -> None:
        super().__init__(width, features)
        if not penalty > 0:
            raise ValueError(f"penalty must be positive, not {penalty}")
        self.penalty = float(penalty)

    def law(self, parameters: Tensor, offset: Tensor | None = None) -> PenalisedNormal:
        """See the base class."""
        law = super().law(parameters, offset)
        return PenalisedNormal(law.mean, law.log_variance, self.penalty)
