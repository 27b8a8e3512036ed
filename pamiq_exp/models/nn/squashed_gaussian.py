"""Gaussian distribution squashed into bounds (Haarnoja et al. 2018, appendix C)."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from pamiq_exp.models.nn.action_distributions import ActionDistribution, ActionHead, DiagonalGaussian
from pamiq_exp.models.nn.inputs import ActionScale
from pamiq_exp.spaces import ActionSpec, are_bounds

MIN_LOG_STD, MAX_LOG_STD = -20.0, 2.0

_NODES, _WEIGHTS = (part.astype(np.float32) for part in np.polynomial.hermite_e.hermegauss(32))
"""Quadrature of expectations under a standard normal distribution, up to the factor sqrt(2 pi)."""


class SquashedGaussian(ActionDistribution):
    """The distribution of tanh(u), scaled to the bounds of the actions, where u is normal.

    Args:
        mean: Of u, `(..., numbers)`.
        log_std: Of u, likewise.
        scale: Maps -1 to 1 to the bounds.
    """

    def __init__(self, mean: Tensor, log_std: Tensor, scale: ActionScale) -> None:
        self._normal = DiagonalGaussian(mean, log_std)
        self._scale = scale

    def sample(self, generator: torch.Generator) -> Tensor:
        """See the base class."""
        return self._scale.write(torch.tanh(self._normal.sample(generator)))

    def mode(self) -> Tensor:
        """The squashed mean, `(..., numbers)`, which evaluations act by; of a wide distribution it is not the mode."""
        return self._scale.write(torch.tanh(self._normal.mean))

    def rsample(self) -> tuple[Tensor, Tensor]:
        """Draw from torch's global generator, differentiable in mean and standard deviation.

        Returns:
            The actions, scaled to -1 to 1, `(..., numbers)`, and their joint log-density in that scale, `(...)`.
        """
        normal = self._normal
        noise = torch.randn_like(normal.mean)
        unsquashed = normal.mean + normal.log_std.exp() * noise
        density = -0.5 * (noise * noise + math.log(2 * math.pi)) - normal.log_std
        return torch.tanh(unsquashed), (density - log_tanh_derivative(unsquashed)).sum(-1)

    def branch_log_prob(self, action: Tensor) -> Tensor:
        """See the base class. Actions at the bounds, or beyond, count as the nearest value that tanh can represent."""
        scaled = self._scale.read(action).to(self._normal.mean.dtype)
        limit = 1 - torch.finfo(scaled.dtype).eps
        unsquashed = torch.atanh(scaled.clamp(-limit, limit))
        density = self._normal.branch_log_prob(unsquashed) - log_tanh_derivative(unsquashed)
        return density - self._scale.reach.to(density.dtype).log()

    def branch_entropy(self) -> Tensor:
        """See the base class: the entropy of u, and E[log |d action / du|] by Gauss-Hermite quadrature."""
        normal = self._normal
        nodes = torch.as_tensor(_NODES, dtype=normal.mean.dtype, device=normal.mean.device)
        weights = torch.as_tensor(_WEIGHTS, dtype=normal.mean.dtype, device=normal.mean.device) / math.sqrt(2 * math.pi)
        unsquashed = normal.mean.unsqueeze(-1) + normal.log_std.exp().unsqueeze(-1) * nodes
        stretched = (log_tanh_derivative(unsquashed) * weights).sum(-1) + self._scale.reach.to(weights.dtype).log()
        return normal.branch_entropy() + stretched


def log_tanh_derivative(u: Tensor) -> Tensor:
    """log(1 - tanh(u)^2) in the form 2 (log 2 - u - softplus(-2 u)), which does not round to log 0."""
    return 2 * (math.log(2) - u - softplus(-2 * u))


class SquashedGaussianHead(ActionHead):
    """Means and standard deviations of a `SquashedGaussian`, both from the input.

    Args:
        width: Size of the input.
        action: The action space, a Box with bounds.
    """

    def __init__(self, width: int, action: ActionSpec) -> None:
        super().__init__()
        self.scale = ActionScale(action)
        self.layer = nn.Linear(width, 2 * math.prod(action["shape"]))

    def forward(self, features: Tensor, allowed: Tensor | None = None) -> SquashedGaussian:
        """See the base class."""
        mean, log_std = self.layer(features).chunk(2, -1)
        return SquashedGaussian(mean, log_std.clamp(MIN_LOG_STD, MAX_LOG_STD), self.scale)


def has_bounds(action: ActionSpec) -> bool:
    """Whether all numbers of a Box action have bounds on both sides."""
    bounds = list(zip(action.get("low", ()), action.get("high", ()), strict=True))
    return bool(bounds) and all(are_bounds(low, high) for low, high in bounds)
