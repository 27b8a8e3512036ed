"""Weights of the errors of predictions 1, 2, ... K steps ahead, for training and for rewards."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias, get_args

HorizonDecay: TypeAlias = Literal["exponential", "geometric", "uniform"]


def horizon_weights(horizon: int, decay: HorizonDecay = "exponential") -> tuple[float, ...]:
    """Return one weight for each number of steps ahead, 1 to `horizon`; their sum is 1.

    Args:
        horizon: K, the largest number of steps ahead.
        decay: w_k ~ exp(-(k - 1) / K) for "exponential", (1 - 1/K)^(k - 1) for "geometric", 1 for "uniform".

    Raises:
        ValueError: For a horizon below 1 or an unknown decay.
    """
    if horizon < 1:
        raise ValueError(f"the horizon must be at least 1 step, not {horizon}")
    if decay not in get_args(HorizonDecay):
        raise ValueError(f"unknown decay {decay!r}; choose one of {', '.join(get_args(HorizonDecay))}")
    ratio = {"exponential": math.exp(-1 / horizon), "geometric": 1 - 1 / horizon, "uniform": 1.0}[decay]
    weights = [ratio**steps for steps in range(horizon)]
    return tuple(weight / sum(weights) for weight in weights)
