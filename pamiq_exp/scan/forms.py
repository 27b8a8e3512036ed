"""The scan h_t = a_t h_{t-1} + u_t in plain torch operations, for any device.

All forms take `decay (rows, time, heads)`, `values (rows, time, heads, inner)`, `initial (rows, heads, inner)`
and return the states, shaped as `values`. They differ in how the work is ordered; none divides or takes a
logarithm, so a decay of 0 is as exact as any other, and none needs memory that grows faster than the length.
"""

from __future__ import annotations

import torch
from torch import Tensor


def loop(decay: Tensor, values: Tensor, initial: Tensor) -> Tensor:
    """One step after another."""
    states = torch.empty_like(values)
    state = initial
    for t in range(values.shape[1]):
        state = decay[:, t, :, None] * state + values[:, t]
        states[:, t] = state
    return states


def doubling(decay: Tensor, values: Tensor, initial: Tensor) -> Tensor:
    """All steps at once, in about log2(time) passes over everything."""
    products, sums = _prefixes(decay, values)
    return sums.addcmul_(products.unsqueeze(-1), initial.unsqueeze(1))


def chunked(decay: Tensor, values: Tensor, initial: Tensor, chunk: int) -> Tensor:
    """First each chunk from zero, then what enters each chunk: log2(chunk) passes over everything."""
    rows, length, heads, inner = values.shape
    chunks = -(-length // chunk)
    padding = chunks * chunk - length
    decay = torch.nn.functional.pad(decay, (0, 0, 0, padding))
    values = torch.nn.functional.pad(values, (0, 0, 0, 0, 0, padding))
    products, sums = _prefixes(decay.reshape(-1, chunk, heads), values.reshape(-1, chunk, heads, inner))
    products, sums = products.view(rows, chunks, chunk, heads, 1), sums.view(rows, chunks, chunk, heads, inner)
    leaving = doubling(products[:, :-1, -1, :, 0], sums[:, :-1, -1], initial)
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
