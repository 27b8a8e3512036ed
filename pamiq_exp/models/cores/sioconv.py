"""SioConv: linear recurrence with an input-dependent decay for each head."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pamiq_exp.models.cores.block import LinearRecurrence
from pamiq_exp.models.nn.precision import to_float32
from pamiq_exp.scan import CHUNK, ScanMethod

_EPSILON = 1e-5
_FASTEST, _SLOWEST = 0.1, 1e-3
_LARGEST_RATE = 16.0


class SioConv(LinearRecurrence):
    """Selective linear recurrence, in which the input sets the decay of each head.

        z_t = W_z x_t * SiLU(W_z' x_t)
        log a_t = -exp(A) softplus(W_dt x_t), one for each head
        h_t = a_t h_{t-1} + z_t
        y_t = W_y norm(h_t) * SiLU(W_y' x_t)

    The norm shifts and scales each head to mean 0 and variance 1, then by one affine pair for each head.
    Initial time constants are from 0.6 to 1000 steps. The decay is that of Dao and Gu 2024,
    Transformers are SSMs (Mamba-2), section 7; the input is not scaled by the time step.

    Args:
        width: Size of an input, an output, and the memory.
        heads: Number of parts of the memory, each with its own decay.
        gain: Scale of the initial weights (Xavier, normal).
        method: How to scan; see `linear_scan`.
        chunk: Steps of a chunk, for the method `chunked`.
    """

    def __init__(
        self, width: int, heads: int = 4, gain: float = 1e-2, method: ScanMethod = "auto", chunk: int = CHUNK
    ) -> None:
        super().__init__(width, method, chunk)
        if width % heads:
            raise ValueError(f"{heads} heads cannot share a width of {width} equally")
        self.heads = int(heads)
        self.input = nn.Linear(width, 2 * width)
        self.time_step = nn.Linear(width, heads)
        self.gate = nn.Linear(width, width)
        self.output = nn.Linear(width, width)
        self.log_rate = nn.Parameter(torch.empty(heads).uniform_(1.0, _LARGEST_RATE).log())
        self.norm_weight = nn.Parameter(torch.ones(heads, 1))
        self.norm_bias = nn.Parameter(torch.zeros(heads, 1))
        self._initialize(gain)

    def gates(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See the base class."""
        value, gate = to_float32(self.input(x)).chunk(2, -1)
        time_step = nn.functional.softplus(to_float32(self.time_step(x)))
        decay = (-to_float32(self.log_rate).exp() * time_step).exp()
        return decay, value * nn.functional.silu(gate)

    def read(self, x: Tensor, state: Tensor) -> Tensor:
        """See the base class."""
        by_head = state.reshape(*state.shape[:-1], self.heads, -1)
        normal = nn.functional.layer_norm(by_head, by_head.shape[-1:], eps=_EPSILON)
        normal = (normal * self.norm_weight + self.norm_bias).flatten(-2)
        output: Tensor = self.output(normal.to(x.dtype)) * nn.functional.silu(self.gate(x))
        return output

    @torch.no_grad()
    def _initialize(self, gain: float) -> None:
        for layer in (self.input, self.time_step, self.gate, self.output):
            # Layers that are computed together are initialized separately.
            for weight in torch.split(layer.weight, self.width):
                nn.init.xavier_normal_(weight, gain)
            nn.init.zeros_(layer.bias)
        time_step = torch.empty(self.heads).uniform_(math.log(_SLOWEST), math.log(_FASTEST)).exp()
        self.time_step.bias.copy_(time_step + torch.log(-torch.expm1(-time_step)))
