"""Layers between a set of tokens and a single vector."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pamiq_exp.models.nn.precision import to_float32


class StackedLinear(nn.Module):
    """A linear layer of its own for each slot: y_s = x_s W_s + b_s.

    Each slot is initialized by its own widths (Xavier, uniform), whatever the number of slots.

    Args:
        slots: Number of slots.
        inputs: Numbers in each slot.
        outputs: Numbers that each slot becomes.
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

    One token is read by its layer alone.

    Args:
        slots: Number of tokens.
        inputs: Numbers in each token.
        outputs: Numbers in the vector.
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


class LerpStackedHidden(nn.Module):
    """Mixes the memories of the blocks of a core into one vector, each shifted and scaled to mean 0 and variance 1.

    Args:
        depth: Blocks of the core.
        state_width: Numbers of memory of each block.
        outputs: Numbers in the vector.
    """

    def __init__(self, depth: int, state_width: int, outputs: int) -> None:
        super().__init__()
        self.mixing = LerpStackedFeatures(depth, state_width, outputs)

    def forward(self, state: Tensor) -> Tensor:
        """`(..., depth, state_width)`, whatever its precision -> `(..., outputs)`."""
        normal = nn.functional.layer_norm(to_float32(state), state.shape[-1:])
        output: Tensor = self.mixing(normal.to(self.mixing.logits.weight.dtype))
        return output


class ToStackedFeatures(nn.Module):
    """Turns one vector into tokens, with a linear layer for each.

    Args:
        inputs: Numbers in the vector.
        slots: Number of tokens.
        outputs: Numbers in each token.
        rank: If given, each token is first `rank` numbers, which one layer common to all widens: far fewer
            parameters.
    """

    def __init__(self, inputs: int, slots: int, outputs: int, rank: int | None = None) -> None:
        super().__init__()
        self.slots = int(slots)
        self.layers = StackedLinear(slots, inputs, rank or outputs)
        self.common = nn.Linear(rank, outputs) if rank else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """`(..., inputs)` -> `(..., slots, outputs)`."""
        tokens: Tensor = self.common(self.layers(x.unsqueeze(-2).expand(*x.shape[:-1], self.slots, x.shape[-1])))
        return tokens


class MeanPool(nn.Module):
    """The mean of all tokens."""

    def forward(self, tokens: Tensor) -> Tensor:
        """`(..., tokens, width)` -> `(..., width)`."""
        return tokens.mean(-2)


class GridPool(nn.Module):
    """Means over squares of neighboring tokens of a square map.

    Args:
        side: Tokens on a side of the map.
        pooled_side: Tokens on a side of what remains; it must divide `side`.
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


class AttentionPool(nn.Module):
    """A mean of the tokens, weighted by how well each fits one learned query.

    Args:
        width: Numbers in a token.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.zeros(width))

    def forward(self, tokens: Tensor) -> Tensor:
        """`(..., tokens, width)` -> `(..., width)`."""
        fit = to_float32(tokens @ self.query) * tokens.shape[-1] ** -0.5
        weights = fit.softmax(-1).to(tokens.dtype)
        pooled: Tensor = (weights.unsqueeze(-1) * tokens).sum(-2)
        return pooled
