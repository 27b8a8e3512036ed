"""SioConvPS: minimal gated linear recurrence with a decay for each channel."""

from __future__ import annotations

from torch import Tensor, nn

from pamiq_exp.models.cores.block import LinearRecurrence
from pamiq_exp.models.nn.precision import to_float32
from pamiq_exp.scan import CHUNK, ScanMethod


class SioConvPS(LinearRecurrence):
    """A moving average of the input, with an input-dependent rate for each channel.

        z_t = sigmoid(W_z x_t),  g_t = sigmoid(W_g x_t)
        h_t = (1 - g_t) h_{t-1} + g_t z_t
        y_t = W_y h_t * SiLU(W_y' x_t)

    A memory that begins in [0, 1] stays there. The gate is that of Feng et al. 2024, Were RNNs all we needed?,
    section 3.1 (minGRU); it is computed without logarithms, whose differences would lose small terms.

    Args:
        width: Size of an input, an output, and the memory.
        method: How to scan; see `linear_scan`.
        chunk: Steps of a chunk, for the method `chunked`.
    """

    def __init__(self, width: int, method: ScanMethod = "auto", chunk: int = CHUNK) -> None:
        super().__init__(width, method, chunk)
        self.input = nn.Linear(width, 2 * width)
        self.gate = nn.Linear(width, width)
        self.output = nn.Linear(width, width)

    def gates(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See the base class."""
        value, rate = to_float32(self.input(x)).chunk(2, -1)
        return (-rate).sigmoid(), rate.sigmoid() * value.sigmoid()

    def read(self, x: Tensor, state: Tensor) -> Tensor:
        """See the base class."""
        output: Tensor = self.output(state.to(x.dtype)) * nn.functional.silu(self.gate(x))
        return output
