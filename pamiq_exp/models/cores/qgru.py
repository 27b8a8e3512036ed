"""QGRU: a quasi-recurrent GRU with a range of time scales."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pamiq_exp.models.cores.block import LinearRecurrence
from pamiq_exp.models.nn.precision import to_float32
from pamiq_exp.scan import CHUNK, ScanMethod


class QGru(LinearRecurrence):
    """A quasi-recurrent GRU, whose gates do not read the memory, with a largest rate for each channel.

        r_t = rho * sigmoid(W_f x_t)
        h_t = (1 - r_t) h_{t-1} + r_t tanh(W_i x_t)
        y_t = W_o h_t

    rho = 1 / tau, where tau goes from 1 to `slowest` steps over the channels, in equal ratios; it is not
    learned. No rho is 0, or that channel would never change and its weights get no gradient.

    Args:
        width: Size of an input, an output, and the memory.
        slowest: Time constant of the last channel at its largest rate, in steps.
        method: How to scan; see `linear_scan`.
        chunk: Steps of a chunk, for the method `chunked`.
    """

    fastest_rate: Tensor

    def __init__(self, width: int, slowest: float = 1000.0, method: ScanMethod = "auto", chunk: int = CHUNK) -> None:
        super().__init__(width, method, chunk)
        if slowest < 1:
            raise ValueError(f"the slowest time constant must be at least 1 step, not {slowest}")
        self.input = nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, width)
        self.register_buffer("fastest_rate", torch.linspace(0, 1, width).mul(-torch.tensor(slowest).log()).exp())

    def gates(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See the base class."""
        rate, value = to_float32(self.input(x)).chunk(2, -1)
        rate = to_float32(self.fastest_rate) * rate.sigmoid()
        return 1 - rate, rate * value.tanh()

    def read(self, x: Tensor, state: Tensor) -> Tensor:
        """See the base class."""
        output: Tensor = self.output(state.to(x.dtype))
        return output
