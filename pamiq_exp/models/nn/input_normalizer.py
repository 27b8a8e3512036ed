"""Normalization of inputs by their running mean and variance."""

from __future__ import annotations

from torch import Tensor, nn

from pamiq_exp.models.nn.running_moments import RunningMoments

LIMIT = 10.0
"""Standard deviations beyond which an input is clipped."""


class InputNormalizer(nn.Module):
    """Shifts and scales each number of an input to mean 0 and variance 1 of all inputs so far, within 10 deviations.

    Inputs are counted while they are trained on, and count from the next `refresh` on: within a round of training, a
    policy sees inputs as it saw them when it acted, so that its probability ratios begin at 1. Source: Engstrom et al.
    2020, Implementation matters in deep policy gradients, section 3 (observation normalization and clipping).

    Args:
        shape: Shape of one input.
    """

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.used = RunningMoments(*shape)
        self.counted = RunningMoments(*shape)

    def forward(self, value: Tensor) -> Tensor:
        """`(n, *shape)` -> the same shape, in at least float32."""
        return self.used.whiten(value).clamp(-LIMIT, LIMIT)

    def count(self, value: Tensor) -> None:
        """Count inputs, `(n, *shape)`."""
        self.counted.update(value)

    def refresh(self, source: InputNormalizer | None = None) -> None:
        """Normalize by all that was counted, here or by another one, from now on."""
        counted = self.counted if source is None else source.counted
        for name in ("count", "mean", "variance"):
            setattr(self.used, name, getattr(counted, name).clone())
