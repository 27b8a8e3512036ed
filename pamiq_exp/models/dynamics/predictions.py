"""Predicted distributions of the next latent vector, and the network heads for their parameters.

A head returns the parameters of a distribution as one tensor, so that `torch.func.vmap` can run the heads of a whole
ensemble; the distribution is made from them afterwards.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn

from pamiq_exp.models.nn.precision import to_float32

FIXED_STD = 1 / math.sqrt(2 * math.pi)
"""The standard deviation for which -log p is exactly pi times the squared error."""

_LARGEST_LOG_VARIANCE = 10.0


class Prediction(ABC):
    """Base class of distributions of latent vectors, `(..., features)`."""

    @property
    @abstractmethod
    def mean(self) -> Tensor:
        """The expected vector, `(..., features)`."""

    @property
    @abstractmethod
    def variance(self) -> Tensor:
        """The variance of each number, `(..., features)`."""

    @abstractmethod
    def log_prob(self, target: Tensor) -> Tensor:
        """The logarithm of the joint density of a whole vector in nats: `(..., features)` -> `(...)`."""

    @abstractmethod
    def sample(self, generator: torch.Generator) -> Tensor:
        """Draw vectors, `(..., features)`. The draw happens on the generator's device."""

    def loss(self, target: Tensor) -> Tensor:
        """The training loss, `(...)`: the negative log-likelihood, mean over the features."""
        return -self.log_prob(target) / target.shape[-1]


class FixedNormal(Prediction):
    """A normal distribution with standard deviation 1/sqrt(2 pi), so that -log p is pi times the squared error.

    Args:
        mean: `(..., features)`.
    """

    def __init__(self, mean: Tensor) -> None:
        self._mean = mean

    @property
    def mean(self) -> Tensor:
        """See the base class."""
        return self._mean

    @property
    def variance(self) -> Tensor:
        """See the base class."""
        return torch.full_like(self._mean, FIXED_STD**2)

    def log_prob(self, target: Tensor) -> Tensor:
        """See the base class."""
        return -math.pi * (to_float32(target) - to_float32(self._mean)).square().sum(-1)

    def sample(self, generator: torch.Generator) -> Tensor:
        """See the base class."""
        return self._mean + FIXED_STD * _standard_normal(self._mean, generator)

    def loss(self, target: Tensor) -> Tensor:
        """The mean squared error: the negative log-likelihood divided by pi."""
        return (to_float32(target) - to_float32(self._mean)).square().mean(-1)


class Normal(Prediction):
    """A normal distribution with a predicted variance for each number.

    Args:
        mean: `(..., features)`.
        log_variance: `(..., features)`.
        beta: The loss of each number is weighted by its variance to this power, without a gradient (beta-NLL):
            otherwise the gradient of the mean vanishes where the variance is large. 0 is the likelihood. Source:
            Seitzer et al. 2022, On the pitfalls of heteroscedastic uncertainty estimation, equation 6.
    """

    def __init__(self, mean: Tensor, log_variance: Tensor, beta: float = 0.0) -> None:
        self._mean = mean
        self.log_variance = log_variance
        self._beta = beta

    @property
    def mean(self) -> Tensor:
        """See the base class."""
        return self._mean

    @property
    def variance(self) -> Tensor:
        """See the base class."""
        return self.log_variance.exp()

    def log_prob(self, target: Tensor) -> Tensor:
        """See the base class."""
        return self._log_probs(target).sum(-1)

    def sample(self, generator: torch.Generator) -> Tensor:
        """See the base class."""
        return self._mean + (self.log_variance / 2).exp() * _standard_normal(self._mean, generator)

    def loss(self, target: Tensor) -> Tensor:
        """See the base class; weighted by `beta`."""
        weight = (self._beta * self.log_variance.detach()).exp()
        return -(weight * self._log_probs(target)).mean(-1)

    def _log_probs(self, target: Tensor) -> Tensor:
        return _normal_log_probs(target, self._mean, self.log_variance)


class Mixture(Prediction):
    """A mixture of normal distributions with learned weights.

    The component is drawn once for a whole vector, in `sample` as in `log_prob`.

    Args:
        logits: Of the components, `(..., components)`.
        means: `(..., components, features)`.
        log_variances: `(..., components, features)`.
    """

    def __init__(self, logits: Tensor, means: Tensor, log_variances: Tensor) -> None:
        self.log_weights = logits.log_softmax(-1)
        self.means = means
        self.log_variances = log_variances

    @property
    def mean(self) -> Tensor:
        """See the base class."""
        return (self._weights * self.means).sum(-2)

    @property
    def variance(self) -> Tensor:
        """The mean variance of the components, plus the variance of their means."""
        spread = (self.means - self.mean.unsqueeze(-2)).square()
        return (self._weights * (self.log_variances.exp() + spread)).sum(-2)

    def log_prob(self, target: Tensor) -> Tensor:
        """See the base class."""
        each = _normal_log_probs(target.unsqueeze(-2), self.means, self.log_variances).sum(-1)
        return torch.logsumexp(self.log_weights + each, -1)

    def sample(self, generator: torch.Generator) -> Tensor:
        """See the base class."""
        weights = self.log_weights.exp().to(generator.device)
        choice = torch.multinomial(weights.flatten(0, -2), 1, generator=generator).view(weights.shape[:-1])
        index = choice.to(self.means.device)[..., None, None].expand(*choice.shape, 1, self.means.shape[-1])
        mean, log_variance = (each.gather(-2, index).squeeze(-2) for each in (self.means, self.log_variances))
        return mean + (log_variance / 2).exp() * _standard_normal(mean, generator)

    @property
    def _weights(self) -> Tensor:
        return self.log_weights.exp().unsqueeze(-1)


class PredictionHead(nn.Module, ABC):
    """Base class of the last layers of dynamics networks.

    Args:
        width: Size of the hidden vector.
        features: Size of a latent vector.
        size: Number of parameters of a distribution.
    """

    def __init__(self, width: int, features: int, size: int) -> None:
        super().__init__()
        self.features = int(features)
        self.layer = nn.Linear(width, size)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return the parameters of distributions: `(..., width)` -> `(..., size)`."""
        parameters: Tensor = self.layer(hidden)
        return parameters

    @abstractmethod
    def distribution(self, parameters: Tensor, offset: Tensor | None = None) -> Prediction:
        """Make distributions from their parameters; `offset`, `(..., features)`, is added to the means."""


HeadFactory: TypeAlias = Callable[[int, int], PredictionHead]
"""Makes a head from `(width, features)`: a class of head, or a `functools.partial` of one."""


class FixedNormalHead(PredictionHead):
    """Head of a `FixedNormal`.

    Args:
        width: Size of the hidden vector.
        features: Size of a latent vector.
    """

    def __init__(self, width: int, features: int) -> None:
        super().__init__(width, features, features)

    def distribution(self, parameters: Tensor, offset: Tensor | None = None) -> FixedNormal:
        """See the base class."""
        return FixedNormal(_moved(parameters, offset))


class NormalHead(PredictionHead):
    """Head of a `Normal`.

    Args:
        width: Size of the hidden vector.
        features: Size of a latent vector.
        beta: See `Normal`.
    """

    def __init__(self, width: int, features: int, beta: float = 0.0) -> None:
        super().__init__(width, features, 2 * features)
        self.beta = float(beta)

    def distribution(self, parameters: Tensor, offset: Tensor | None = None) -> Normal:
        """See the base class."""
        mean, log_variance = to_float32(parameters).chunk(2, -1)
        return Normal(_moved(mean, offset), _bounded(log_variance), self.beta)


class MixtureHead(PredictionHead):
    """Head of a `Mixture`.

    Source: Bishop 1994, Mixture density networks.

    Args:
        width: Size of the hidden vector.
        features: Size of a latent vector.
        components: Number of normal distributions.
    """

    def __init__(self, width: int, features: int, components: int = 8) -> None:
        super().__init__(width, features, components * (1 + 2 * features))
        self.components = int(components)

    def distribution(self, parameters: Tensor, offset: Tensor | None = None) -> Mixture:
        """See the base class."""
        several = self.components * self.features
        logits, means, log_variances = torch.tensor_split(
            to_float32(parameters), (self.components, self.components + several), -1
        )
        shape = (*parameters.shape[:-1], self.components, self.features)
        means = _moved(means.reshape(shape), None if offset is None else offset.unsqueeze(-2))
        return Mixture(logits, means, _bounded(log_variances.reshape(shape)))


def _normal_log_probs(target: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    error = (to_float32(target) - mean).square() * (-log_variance).exp()
    return -0.5 * (error + log_variance + math.log(2 * math.pi))


def _bounded(log_variance: Tensor) -> Tensor:
    return log_variance.clamp(-_LARGEST_LOG_VARIANCE, _LARGEST_LOG_VARIANCE)


def _moved(mean: Tensor, offset: Tensor | None) -> Tensor:
    return mean if offset is None else mean + offset


def _standard_normal(like: Tensor, generator: torch.Generator) -> Tensor:
    noise = torch.randn(like.shape, generator=generator, device=generator.device, dtype=torch.float32)
    return noise.to(like.device, like.dtype)
