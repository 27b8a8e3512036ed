"""In which precision to compute what half precision would spoil."""

from __future__ import annotations

import torch
from torch import Tensor


def to_float32(x: Tensor) -> Tensor:
    """`x` in float32, or in float64 if it is: half precision would forget a slow decay, or a small probability."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
