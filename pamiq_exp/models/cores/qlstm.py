"""QLSTM: quasi-recurrent LSTM (Bradbury et al. 2016)."""

from __future__ import annotations

from torch import Tensor, nn

from pamiq_exp.models.cores.block import LinearRecurrence
from pamiq_exp.models.nn.precision import to_float32
from pamiq_exp.scan import CHUNK, ScanMethod


class QLstm(LinearRecurrence):
    """A quasi-recurrent LSTM, whose gates do not read the memory.

        f_t = sigmoid(W_f x_t),  u_t = tanh(W_i x_t) * sigmoid(W_g x_t)
        h_t = f_t h_{t-1} + u_t
        y_t = tanh(h_t) * sigmoid(W_o x_t)

    Source: Bradbury et al. 2016, Quasi-recurrent neural networks, section 2.1, with a window of one step.

    Args:
        width: Size of an input, an output, and the memory.
        forget_bias: Initial bias of W_f; 1 to 3 begin with a longer memory. None for the usual small one.
        method: How to scan; see `linear_scan`.
        chunk: Steps of a chunk, for the method `chunked`.
    """

    def __init__(
        self, width: int, forget_bias: float | None = None, method: ScanMethod = "auto", chunk: int = CHUNK
    ) -> None:
        super().__init__(width, method, chunk)
        self.input = nn.Linear(width, 3 * width)
        self.gate = nn.Linear(width, width)
        if forget_bias is not None:
            nn.init.constant_(self.input.bias[:width], forget_bias)

    def gates(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See the base class."""
        forget, value, gate = to_float32(self.input(x)).chunk(3, -1)
        return forget.sigmoid(), value.tanh() * gate.sigmoid()

    def read(self, x: Tensor, state: Tensor) -> Tensor:
        """See the base class."""
        output: Tensor = state.tanh().to(x.dtype) * self.gate(x).sigmoid()
        return output
