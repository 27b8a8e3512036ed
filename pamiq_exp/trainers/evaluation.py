"""Looking at a module without leaving a trace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import nn


class Evaluation(NamedTuple):
    """What a module makes of data that it does not train on: its loss, and what it logged."""

    loss: float
    figures: dict[str, float]


@contextmanager
def untouched(module: nn.Module, device: torch.device) -> Iterator[None]:
    """Put the module into evaluation mode, without gradients and with fixed random numbers, and undo it all.

    Submodules that were in evaluation mode before (frozen ones) are so afterwards, running statistics are
    what they were, and the global random generators go on as if nothing had happened.
    """
    parts = list(module.modules())
    modes = [part.training for part in parts]
    buffers = [
        (part, name, tensor, tensor.clone())
        for part in parts
        for name, tensor in part._buffers.items()
        if tensor is not None
    ]
    with torch.no_grad(), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        module.eval()
        try:
            yield
        finally:
            for part, mode in zip(parts, modes, strict=True):
                part.training = mode
            for part, name, tensor, before in buffers:
                part._buffers[name] = tensor.copy_(before)
