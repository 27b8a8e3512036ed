"""Value heads with normalized returns (van Hasselt et al. 2016, PopArt)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pamiq_exp.models.nn.precision import to_float32
from pamiq_exp.models.nn.running_moments import RunningMoments

MIN_STD = 1e-4
"""Smallest standard deviation by which returns are divided."""


class ValueHead(nn.Module):
    """The expected return, learned in the scale of the returns so far (PopArt).

    With `normalize` the layer learns (return - mean) / std, and its output is scaled back, so that one learning rate
    suits returns of any size. When mean and std change, the layer is changed such that its predictions do not.
    Source: van Hasselt et al. 2016, Learning values across many orders of magnitude, proposition 1.

    Args:
        width: Size of the input.
        normalize: Learn in the scale of returns; otherwise returns are learned unscaled.
        horizon: Number of returns after which mean and std become exponentially weighted.
        streams: Names of rewards of which each has its own return; empty for a single one. With streams, values,
            returns, mean and std have one more axis, `(..., streams)`.
    """

    def __init__(
        self, width: int, normalize: bool = True, horizon: float = 100_000.0, streams: Sequence[str] = ()
    ) -> None:
        super().__init__()
        self.normalize = bool(normalize)
        self.streams = tuple(streams)
        self.linear = nn.Linear(width, max(1, len(self.streams)))
        self.returns = RunningMoments(*([len(self.streams)] if self.streams else []), horizon=horizon)
        nn.init.orthogonal_(self.linear.weight, gain=1.0)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Tensor) -> Tensor:
        """`(..., width)` -> `(...)`, in at least float32."""
        output = self.linear(features)
        value = to_float32(output if self.streams else output.squeeze(-1))
        if not self.normalize:
            return value
        return value * self.scale.to(value.dtype) + self.returns.mean.to(value.dtype)

    @property
    def return_std(self) -> Tensor:
        """Standard deviation of the returns so far, a scalar; 1 before there are any."""
        return self.returns.std.clamp(min=MIN_STD)

    @property
    def scale(self) -> Tensor:
        """The unit of value errors, a scalar: the standard deviation of returns, or 1."""
        return self.return_std if self.normalize else torch.ones_like(self.returns.std)

    @torch.no_grad()
    def observe(self, returns: Tensor) -> None:
        """Update mean and std with returns, `(n,)` or `(n, streams)`, each of which counts once.

        Predictions do not change, except at the first call.
        """
        if not returns.numel():
            return
        begins = bool(self.returns.count == 0)
        mean, scale = self.returns.mean.clone(), self.scale.clone()
        self.returns.update(returns)
        if begins or not self.normalize:
            return
        weight, bias, shrink = self.linear.weight, self.linear.bias, scale / self.scale
        weight.mul_(shrink.to(weight.dtype).unsqueeze(-1))
        bias.copy_(bias * shrink + (mean - self.returns.mean) / self.scale)
