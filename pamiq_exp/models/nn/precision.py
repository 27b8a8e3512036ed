"""Precision of computations that half precision would make inexact."""

from __future__ import annotations

import torch
from torch import Tensor


def to_float32(x: Tensor) -> Tensor:
    """Return `x` in float32, or unchanged in float64."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
