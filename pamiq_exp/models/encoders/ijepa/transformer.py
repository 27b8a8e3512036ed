"""Transformers over a square map of tokens."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def position_codes(side: int, width: int) -> Tensor:
    """Sine and cosine position codes of the tokens of a square map, `(side^2, width)`.

    Half of the channels code rows, half columns.

    Source: Vaswani et al. 2017, Attention is all you need, section 3.5, once for each axis.
    """
    if width % 4:
        raise ValueError(f"position codes need a width that 4 divides, not {width}")
    rates = 10_000.0 ** (-torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    angles = torch.arange(side, dtype=torch.float64)[:, None] * rates
    line = torch.cat([angles.sin(), angles.cos()], -1)
    rows, columns = line.repeat_interleave(side, 0), line.repeat(side, 1)
    return torch.cat([rows, columns], -1).float()


class TransformerBlock(nn.Module):
    """Attention and a feed-forward layer, each behind a norm and around a residual path.

    Source: Dosovitskiy et al. 2021, An image is worth 16x16 words, equations 2 and 3.

    Args:
        width: Size of a token.
        heads: Attention heads.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"{heads} heads cannot share a width of {width} equally")
        self.heads = int(heads)
        self.attention_norm = nn.LayerNorm(width, eps=1e-6)
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.feed_forward_norm = nn.LayerNorm(width, eps=1e-6)
        self.inner = nn.Linear(width, 4 * width)
        self.feed_forward_out = nn.Linear(4 * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """`(batch, tokens, width)` -> the same shape."""
        joined = self.queries_keys_values(self.attention_norm(tokens)).unflatten(-1, (3, self.heads, -1))
        queries, keys, values = joined.permute(2, 0, 3, 1, 4).unbind()
        read = nn.functional.scaled_dot_product_attention(queries, keys, values)
        tokens = tokens + self.attention_out(read.transpose(1, 2).flatten(-2))
        inner = nn.functional.gelu(self.inner(self.feed_forward_norm(tokens)))
        output: Tensor = tokens + self.feed_forward_out(inner)
        return output


class Transformer(nn.Module):
    """Transformer blocks between two linear layers, with fixed position codes.

    Args:
        side: Tokens on a side of the map.
        inputs: Size of an input token; None for `width`, without the first linear layer.
        width: Size of a token inside.
        depth: Number of blocks.
        heads: Attention heads.
        outputs: Size of an output token.
    """

    positions: Tensor

    def __init__(self, side: int, inputs: int | None, width: int, depth: int, heads: int, outputs: int) -> None:
        super().__init__()
        self.input = nn.Identity() if inputs is None else nn.Linear(inputs, width)
        self.marker = nn.Parameter(nn.init.trunc_normal_(torch.empty(width), std=0.02))
        self.blocks = nn.ModuleList(TransformerBlock(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.output = nn.Linear(width, outputs)
        self.register_buffer("positions", position_codes(side, width), persistent=False)
        self._initialize()

    def replace(self, tokens: Tensor, mask: Tensor | None) -> Tensor:
        """Process `(batch, tokens, inputs)`, with a learned token in place of those in `mask`, `(batch, tokens)`."""
        tokens = self.input(tokens)
        if mask is not None:
            tokens = torch.where(mask.unsqueeze(-1), self.marker.to(tokens.dtype), tokens)
        return self._process(tokens)

    def mark(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Process `(batch, tokens, inputs)`, with a learned token added to those in `mask`, `(batch, tokens)`."""
        tokens = self.input(tokens)
        return self._process(tokens + mask.unsqueeze(-1).to(tokens.dtype) * self.marker.to(tokens.dtype))

    def _process(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.positions.to(tokens.dtype)
        for block in self.blocks:
            tokens = block(tokens)
        output: Tensor = self.output(self.norm(tokens))
        return output

    @torch.no_grad()
    def _initialize(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        for number, block in enumerate(self.blocks, 1):
            for layer in (block.attention_out, block.feed_forward_out):
                assert isinstance(layer, nn.Linear)
                layer.weight /= math.sqrt(2 * number)
