"""The methods of the scan that need no GPU, and a loop to compare with."""

from __future__ import annotations

import torch
from torch import Tensor

from pamiq_exp.scan import METHODS as ALL

METHODS = tuple(each for each in ALL if each != "associative")
"""The associative scan has its own tests in `test_gpu`."""


def loop(decay: Tensor, values: Tensor, initial: Tensor) -> Tensor:
    """The scan as one step after another: `decay (..., time, heads)`, `values (..., time, width)`."""
    decay = decay.repeat_interleave(values.shape[-1] // decay.shape[-1], -1)
    state, states = initial, []
    for t in range(values.shape[-2]):
        state = decay[..., t, :] * state + values[..., t, :]
        states.append(state)
    return torch.stack(states, -2)
