"""Layers from a set of tokens to one vector, or to fewer tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pamiq_exp.models.nn.precision import to_float32


class StackedLinear(nn.Module):
    """A separate linear layer for each token: y_s = x_s W_s + b_s, with Xavier uniform initial weights.

    Args:
        slots: Number of tokens.
        inputs: Size of an input token.
        outputs: Size of an output token.
    """

    def __init__(self, slots: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(slots, inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(slots, outputs))
        for weight in self.weight.data:
            nn.init.xavier_uniform_(weight)

    def forward(self, x: Tensor) -> Tensor:
        """`(..., slots, inputs)` -> `(..., slots, outputs)`."""
        return torch.einsum("...si,sio->...so", x, self.weight) + self.bias


class LerpStackedFeatures(nn.Module):
    """Mixes tokens into one vector: a linear layer for each, then a weighted mean.

        y = sum_s w_s (x_s W_s + b_s),  w = softmax(A vec(x) + c)

    For one token only its linear layer is used.

    Args:
        slots: Number of tokens.
        inputs: Size of a token.
        outputs: Size of the vector.
    """

    def __init__(self, slots: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.slots = int(slots)
        self.layers = StackedLinear(slots, inputs, outputs)
        self.logits = nn.Linear(slots * inputs, slots)
        nn.init.normal_(self.logits.weight, std=0.02)
        nn.init.zeros_(self.logits.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """`(..., slots, inputs)` -> `(..., outputs)`."""
        each: Tensor = self.layers(tokens)
        if self.slots == 1:
            return each.squeeze(-2)
        weights = to_float32(self.logits(tokens.flatten(-2))).softmax(-1).to(each.dtype)
        return (weights.unsqueeze(-1) * each).sum(-2)


class GridPool(nn.Module):
    """Average pooling of a square map of tokens.

    Args:
        side: Tokens on a side of the map.
        pooled_side: Tokens on a side of the output; it must divide `side`.
    """

    def __init__(self, side: int, pooled_side: int) -> None:
        super().__init__()
        if pooled_side < 1 or side % pooled_side:
            raise ValueError(f"a map of {side}x{side} tokens cannot be averaged to {pooled_side}x{pooled_side}")
        self.pooled_side = int(pooled_side)
        self.square = side // pooled_side

    def forward(self, tokens: Tensor) -> Tensor:
        """`(..., side^2, width)` -> `(..., pooled_side^2, width)`, row by row."""
        if self.square == 1:
            return tokens
        squares = (self.pooled_side, self.square, self.pooled_side, self.square)
        grid = tokens.reshape(*tokens.shape[:-2], *squares, tokens.shape[-1])
        return grid.mean((-4, -2)).flatten(-3, -2)
