"""Running mean and variance."""

from __future__ import annotations

from typing import TypeVar

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


class RunningMoments(nn.Module):
    """Mean and variance of all vectors seen so far, as buffers that are saved and published with a model.

    Args:
        shape: Shape of one vector; empty for plain numbers.
    """

    count: Tensor
    mean: Tensor
    variance: Tensor

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("variance", torch.ones(shape, dtype=torch.float64))

    @torch.no_grad()
    def update(self, values: Tensor) -> None:
        """Take in `(n, *shape)` more vectors."""
        values = values.detach().double()
        merged = merge_moments(
            self.count, self.mean, self.variance, len(values), values.mean(0), values.var(0, correction=0)
        )
        for buffer, value in zip((self.count, self.mean, self.variance), merged, strict=True):
            buffer.copy_(value)

    @property
    def std(self) -> Tensor:
        """Standard deviation, `(*shape)`; 1 before the first update."""
        return self.variance.sqrt()

    def whiten(self, values: Tensor, epsilon: float = 1e-8) -> Tensor:
        """Shift and scale each number to mean 0 and variance 1, in at least single precision."""
        dtype = torch.promote_types(values.dtype, torch.float32)
        scale = (self.variance + epsilon).rsqrt()
        return (values.to(dtype) - self.mean.to(dtype)) * scale.to(dtype)
