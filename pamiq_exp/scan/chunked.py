"""The chunked scan h_t = a_t h_{t-1} + u_t in plain torch operations, for any device.

It neither divides nor takes logarithms, so a decay of 0 is exact, and its memory grows linearly with the length.
"""

from __future__ import annotations

import torch
from torch import Tensor


def scan(decay: Tensor, values: Tensor, initial: Tensor, chunk: int) -> Tensor:
    """Scan each chunk from zero, then add what enters each chunk: log2(chunk) passes over the data.

    `decay` is `(rows, time, heads)`, `values` and the result `(rows, time, heads, inner)`, `initial`
    `(rows, heads, inner)`.
    """
    rows, length, heads, inner = values.shape
    chunks = -(-length // chunk)
    padding = chunks * chunk - length
    decay = torch.nn.functional.pad(decay, (0, 0, 0, padding))
    values = torch.nn.functional.pad(values, (0, 0, 0, 0, 0, padding))
    products, sums = _prefixes(decay.reshape(-1, chunk, heads), values.reshape(-1, chunk, heads, inner))
    products, sums = products.view(rows, chunks, chunk, heads, 1), sums.view(rows, chunks, chunk, heads, inner)
    chunk_products, chunk_sums = _prefixes(products[:, :-1, -1, :, 0], sums[:, :-1, -1])
    leaving = chunk_sums.addcmul_(chunk_products.unsqueeze(-1), initial.unsqueeze(1))
    entering = torch.cat([initial.unsqueeze(1), leaving], 1).unsqueeze(2)
    return sums.addcmul_(products, entering).view(rows, -1, heads, inner)[:, :length].contiguous()


def _prefixes(decay: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """For each t the product of the decays up to t, and the state at t for a start from zero.

    The doubling scan of Hillis and Steele 1986, Data parallel algorithms, for the associative composition
    (a, b) then (a', b') = (a a', a' b + b').
    """
    products, sums = decay.clone(), values.clone()
    shift = 1
    while shift < values.shape[1]:
        sums[:, shift:] += products[:, shift:].unsqueeze(-1) * sums[:, :-shift]
        products[:, shift:] *= products[:, :-shift].clone()
        shift *= 2
    return products, sums
