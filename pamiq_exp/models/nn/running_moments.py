"""Running mean and variance."""

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
    """Base class of running figures, kept as buffers that are saved and published with a model.

    They stay in double precision in a module of any other: a count in bfloat16 would end at 256. Updates rebind
    them: what `torch.compile` (2.13) makes of a change in place to a single number in double precision leaves it
    as it was.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """Move to another device, never to another precision."""
        return super()._apply(lambda tensor: fn(tensor).to(tensor.dtype), recurse)  # type: ignore[no-untyped-call]


class RunningMoments(Statistics):
    """Mean and variance of all vectors seen so far, as buffers that are saved and published with a model.

    Args:
        shape: Shape of one vector; empty for plain numbers.
        horizon: Vectors after which older ones begin to fade; None lets all count the same for ever.
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
        """Take in `(n, *shape)` more vectors."""
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
        """Shift and scale each number to mean 0 and variance 1, in at least single precision."""
        dtype = torch.promote_types(values.dtype, torch.float32)
        scale = (self.variance + epsilon).rsqrt()
        return (values.to(dtype) - self.mean.to(dtype)) * scale.to(dtype)


class ExplainedVariance(Statistics):
    """How much of the variance of a target is foretold, over the newest batches.

    Args:
        memory: Share of the old figures that is kept at each batch.
    """

    sums: Tensor

    def __init__(self, memory: float = 0.95) -> None:
        super().__init__()
        self.memory = float(memory)
        # Fading sums of weight, target, target^2 and squared error.
        self.register_buffer("sums", torch.zeros(4, dtype=torch.float64))

    @torch.no_grad()
    def update(self, predicted: Tensor, target: Tensor, weight: Tensor) -> None:
        """Take in a batch, all of one shape; records of weight 0 count for nothing."""
        predicted, target, weight = predicted.double(), target.double(), weight.double()
        terms = (torch.ones_like(target), target, target.square(), (predicted - target).square())
        means = torch.stack([(term * weight).sum() for term in terms]) / weight.sum().clamp(min=1)
        self.sums = self.memory * self.sums + (1 - self.memory) * means

    @property
    def value(self) -> Tensor:
        """1 - mean squared error / variance, a scalar; 0 before the first batch.

        A target that hardly varies counts as foretold when it is missed by less than a tenth of itself.
        """
        count, total, squares, errors = self.sums / self.sums[0].clamp(min=1e-12)
        variance = torch.maximum(squares - total.square(), 0.01 * squares).clamp(min=1e-12)
        return torch.where(count > 0, 1 - errors / variance, torch.zeros_like(variance))
