"""Gated recurrent unit (Cho et al. 2014): torch's implementation as a mixer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pamiq_exp.models.cores.block import Mixer


class Gru(Mixer):
    """One layer of `torch.nn.GRU`, whose output is its memory.

    Its gates read the memory, so the steps of a sequence are computed one after another. It computes in the data type
    of its weights, also under autocast.

    Args:
        width: Size of an input, an output, and the memory.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width, state_width=width)
        self.layer = nn.GRU(width, width, batch_first=True)

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """See the base class."""
        outputs, states = self.scan(x.unsqueeze(-2), state, None)
        return outputs.squeeze(-2), states.squeeze(-2)

    def scan(self, x: Tensor, state: Tensor, reset: Tensor | None) -> tuple[Tensor, Tensor]:
        """See the base class. The sequence is cut where any member of the batch is reset."""
        length = x.shape[-2]
        numbers = x.reshape(-1, length, self.width).to(next(self.layer.parameters()).dtype)
        memory = state.reshape(-1, self.width)
        cleared = (
            torch.zeros_like(numbers[..., :1], dtype=torch.bool) if reset is None else reset.reshape(-1, length, 1)
        )
        cuts = [] if reset is None else cleared.any(0).nonzero()[:, 0].tolist()
        pieces = []
        for begin, end in zip([0, *cuts], [*cuts, length], strict=True):
            if begin == end:
                continue
            piece = self._run(numbers[:, begin:end], memory.masked_fill(cleared[:, begin], 0.0))
            memory = piece[:, -1]
            pieces.append(piece)
        states = torch.cat(pieces, 1).reshape(*x.shape[:-1], self.width)
        return states.to(x.dtype), states.to(state.dtype)

    def _run(self, x: Tensor, memory: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            states: Tensor = self.layer(x, memory.to(x.dtype).unsqueeze(0))[0]
        return states
