"""Running statistics: mean and variance, explained variance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

ArrayT = TypeVar("ArrayT", Tensor, NDArray[np.float64])


def merge_moments(
    count: ArrayT, mean: ArrayT, variance: ArrayT, more_count: float, more_mean: ArrayT, more_variance: ArrayT
) -> tuple[ArrayT, ArrayT, ArrayT]:
    """Return count, mean and (population) variance of two groups of numbers together.

    Chan, Golub, LeVeque 1979: exact whatever the sizes of the groups, and free of cancellation.
    """
    total = count + more_count
    difference = more_mean - mean
    share = more_count / total
    merged_mean = mean + difference * share
    merged_variance = variance + (more_variance - variance) * share + difference * difference * (share * (1 - share))
    return total, merged_mean, merged_variance


class Statistics(nn.Module):
    """Base class of running statistics, kept as buffers that are saved and published with a model.

    They stay in double precision in a module of any other: a count in bfloat16 would stop at 256. Updates rebind them:
    `torch.compile` (2.13) loses changes in place to a single number in double precision.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """Move to another device, never to another precision."""
        return super()._apply(lambda tensor: fn(tensor).to(tensor.dtype), recurse)  # type: ignore[no-untyped-call]


class RunningMoments(Statistics):
    """Mean and variance of all vectors so far, as buffers that are saved and published with a model.

    Args:
        shape: Shape of one vector; empty for plain numbers.
        horizon: Number of vectors after which the statistics become exponentially weighted; None for equal weights.
    """

    count: Tensor
    mean: Tensor
    variance: Tensor

    def __init__(self, *shape: int, horizon: float | None = None) -> None:
        super().__init__()
        self.horizon = horizon
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("variance", torch.ones(shape, dtype=torch.float64))

    @torch.no_grad()
    def update(self, values: Tensor) -> None:
        """Update with `(n, *shape)` vectors."""
        values = values.detach().double()
        self.count, self.mean, self.variance = merge_moments(
            self.count, self.mean, self.variance, len(values), values.mean(0), values.var(0, correction=0)
        )
        if self.horizon is not None:
            self.count = self.count.clamp(max=self.horizon)

    @property
    def std(self) -> Tensor:
        """Standard deviation, `(*shape)`; 1 before the first update."""
        return self.variance.sqrt()

    def whiten(self, values: Tensor, epsilon: float = 1e-8) -> Tensor:
        """Shift and scale each number to mean 0 and variance 1, in at least float32."""
        dtype = torch.promote_types(values.dtype, torch.float32)
        scale = (self.variance + epsilon).rsqrt()
        return (values.to(dtype) - self.mean.to(dtype)) * scale.to(dtype)


class ExplainedVariance(Statistics):
    """Fraction of the variance of a target that is predicted, exponentially weighted over batches.

    Args:
        ema_decay: new = ema_decay * old + (1 - ema_decay) * batch.
    """

    sums: Tensor

    def __init__(self, ema_decay: float = 0.95) -> None:
        super().__init__()
        self.ema_decay = float(ema_decay)
        # Moving means of weight, target, target^2 and squared error.
        self.register_buffer("sums", torch.zeros(4, dtype=torch.float64))

    @torch.no_grad()
    def update(self, predicted: Tensor, target: Tensor, weight: Tensor) -> None:
        """Update with a batch, all of one shape; targets of weight 0 are ignored."""
        predicted, target, weight = predicted.double(), target.double(), weight.double()
        terms = (torch.ones_like(target), target, target.square(), (predicted - target).square())
        means = torch.stack([(term * weight).sum() for term in terms]) / weight.sum().clamp(min=1)
        self.sums = self.ema_decay * self.sums + (1 - self.ema_decay) * means

    @property
    def value(self) -> Tensor:
        """1 - mean squared error / variance, a scalar; 0 before the first batch.

        The variance is at least 1 % of the mean square, so a nearly constant target does not need exact predictions.
        """
        count, total, squares, errors = self.sums / self.sums[0].clamp(min=1e-12)
        variance = torch.maximum(squares - total.square(), 0.01 * squares).clamp(min=1e-12)
        return torch.where(count > 0, 1 - errors / variance, torch.zeros_like(variance))
