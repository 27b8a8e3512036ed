"""Two-hot heads: regression of numbers of any size as classification over bins (Hafner et al. 2023)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pamiq_exp.models.nn.precision import to_float32


def symlog(x: Tensor) -> Tensor:
    """sign(x) log(1 + |x|): close to x where it is small, logarithmic where it is large."""
    return x.sign() * x.abs().log1p()


def symexp(x: Tensor) -> Tensor:
    """The inverse of `symlog`."""
    return x.sign() * x.abs().expm1()


class TwoHotHead(nn.Module):
    """Regression of numbers of any size as a distribution over bins that are evenly spaced in symlog space.

    A target between two bins is their mixture (two-hot), so the loss is a cross-entropy whose gradient does not grow
    with the target. The prediction is symexp of the mean in symlog space, where a small probability of a far bin has
    a small effect; for a target that varies over orders of magnitude it is therefore below the mean. An untrained head
    predicts 0. From the logits on it computes in at least float32: bfloat16 does not resolve neighboring bins.

    Source: Hafner et al. 2023, Mastering diverse domains through world models (first version), equations 9 and 10.

    Args:
        width: Size of the input.
        bins: Number of bins, odd, so that one of them is 0.
        limit: The largest bin, in symlog space; the smallest is its negative.
    """

    def __init__(self, width: int, bins: int = 255, limit: float = 20.0) -> None:
        super().__init__()
        if bins < 3 or bins % 2 == 0 or not limit > 0:
            raise ValueError(
                f"two-hot numbers need an odd number of bins, at least 3, and a limit above 0: {bins}, {limit}"
            )
        self.bins = int(bins)
        self.limit = float(limit)
        self.logits = nn.Linear(width, bins)
        nn.init.zeros_(self.logits.weight)
        nn.init.zeros_(self.logits.bias)

    def forward(self, features: Tensor) -> Tensor:
        """The predicted number: `(..., width)` -> `(...)`."""
        return self.number(self.logits(features))

    def number(self, logits: Tensor) -> Tensor:
        """The number predicted by logits: `(..., bins)` -> `(...)`."""
        probabilities = to_float32(logits).softmax(-1)
        centers = torch.linspace(-self.limit, self.limit, self.bins, dtype=probabilities.dtype, device=logits.device)
        # Opposite bins first: the sum of numbers of both signs would leave rounding errors in place of 0.
        middle = self.bins // 2
        pairs = (probabilities[..., middle + 1 :] - probabilities[..., :middle].flip(-1)) * centers[middle + 1 :]
        return symexp(pairs.sum(-1))

    def loss(self, features: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy against targets `(...)`, for features `(..., width)`: `(...)`."""
        log_probs = to_float32(self.logits(features)).log_softmax(-1)
        return -(self.two_hot(target.to(log_probs.dtype)) * log_probs).sum(-1)

    def two_hot(self, target: Tensor) -> Tensor:
        """`(...)` -> `(..., bins)`: weights of at most two neighboring bins, whose mean is symlog(target)."""
        spacing = 2 * self.limit / (self.bins - 1)
        position = ((symlog(target) + self.limit) / spacing).clamp(0, self.bins - 1)
        below = position.floor().clamp(max=self.bins - 2)
        share = (position - below).unsqueeze(-1)
        weights = torch.zeros(*target.shape, self.bins, dtype=target.dtype, device=target.device)
        index = below.nan_to_num().long().unsqueeze(-1)  # a target that is NaN has weights that are
        return weights.scatter_(-1, index, 1 - share).scatter_(-1, index + 1, share)
