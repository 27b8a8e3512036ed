"""The scan and its gradient in numba, for the CPU.

Imported at the first use, because importing numba is slow. The interpreter lock is released, so that other threads run
while a model trains; without fast-math, every machine computes the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pamiq_exp.compiling import compiled

Array: TypeAlias = NDArray[np.float32] | NDArray[np.float64]


def scan(decay: Tensor, values: Tensor, initial: Tensor) -> Tensor:
    """The states of the scan, `(rows, time, heads, inner)`; shapes as in `chunked.scan`, all on the CPU."""
    per_channel = values.shape[-1] == 1
    kernel: Callable[..., None] = scan_channels if per_channel else scan_heads
    states = torch.empty(values.shape, dtype=values.dtype, device="cpu")
    kernel(_array(decay), *_arrays(per_channel, values, initial, states))
    return states


def scan_gradient(decay: Tensor, states: Tensor, initial: Tensor, upstream: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of decay, values and initial state."""
    per_channel = states.shape[-1] == 1
    kernel: Callable[..., None] = scan_channels_back if per_channel else scan_heads_back
    to_decay, to_values, to_initial = (
        torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu") for tensor in (decay, states, initial)
    )
    given = _arrays(per_channel, states, initial, upstream)
    written = _arrays(per_channel, to_values, to_initial)
    kernel(_array(decay), *given, _array(to_decay), *written)
    return to_decay, to_values, to_initial


def _arrays(per_channel: bool, *tensors: Tensor) -> list[Array]:
    return [_array(tensor.squeeze(-1) if per_channel else tensor) for tensor in tensors]


def _array(tensor: Tensor) -> Array:
    array: Array = tensor.detach().contiguous().numpy()
    return array


@compiled
def _sum(numbers: Array) -> float:
    """The sum by halving, which overwrites `numbers`: fast without fast-math, and more exact than one by one."""
    count = numbers.shape[0]
    while count > 1:
        kept = (count + 1) // 2
        for k in range(count - kept):
            numbers[k] += numbers[kept + k]
        count = kept
    total: float = numbers[0]
    return total


@compiled
def scan_channels(decay: Array, values: Array, initial: Array, states: Array) -> None:
    """h_t = a_t h_{t-1} + u_t with a decay for each channel.

    `decay`, `values`, `states` are `(rows, time, width)`, `initial` is `(rows, width)`; `states` is written.
    """
    rows, length, width = values.shape
    state = np.empty(width, values.dtype)
    for row in range(rows):
        state[:] = initial[row]
        for t in range(length):
            for k in range(width):
                following = decay[row, t, k] * state[k] + values[row, t, k]
                state[k] = following
                states[row, t, k] = following


@compiled
def scan_channels_back(
    decay: Array, states: Array, initial: Array, upstream: Array, to_decay: Array, to_values: Array, to_initial: Array
) -> None:
    """The gradient of `scan_channels`: `upstream` is that of the states; the last three are written.

    Channels run backwards as time does: with one falling stream of addresses the processor fetches ahead, which
    halves the time of tensors that no cache holds.
    """
    rows, length, width = states.shape
    carry = np.empty(width, states.dtype)
    for row in range(rows):
        carry[:] = 0
        for t in range(length - 1, -1, -1):
            before = states[row, t - 1] if t > 0 else initial[row]
            for k in range(width - 1, -1, -1):
                total = upstream[row, t, k] + carry[k]
                to_values[row, t, k] = total
                to_decay[row, t, k] = total * before[k]
                carry[k] = decay[row, t, k] * total
        to_initial[row] = carry


@compiled
def scan_heads(decay: Array, values: Array, initial: Array, states: Array) -> None:
    """h_t = a_t h_{t-1} + u_t with a decay for each head of several channels.

    `decay` is `(rows, time, heads)`, `values` and `states` are `(rows, time, heads, inner)`, `initial` is
    `(rows, heads, inner)`; `states` is written.
    """
    rows, length, heads, inner = values.shape
    state = np.empty((heads, inner), values.dtype)
    for row in range(rows):
        state[:] = initial[row]
        for t in range(length):
            for head in range(heads):
                a = decay[row, t, head]
                for k in range(inner):
                    following = a * state[head, k] + values[row, t, head, k]
                    state[head, k] = following
                    states[row, t, head, k] = following


@compiled
def scan_heads_back(
    decay: Array, states: Array, initial: Array, upstream: Array, to_decay: Array, to_values: Array, to_initial: Array
) -> None:
    """The gradient of `scan_heads`, as that of `scan_channels`."""
    rows, length, heads, inner = states.shape
    carry = np.empty((heads, inner), states.dtype)
    products = np.empty(inner, states.dtype)
    for row in range(rows):
        carry[:] = 0
        for t in range(length - 1, -1, -1):
            before = states[row, t - 1] if t > 0 else initial[row]
            for turned in range(heads):
                head = heads - 1 - turned  # a falling range of heads compiles to three times slower code
                a = decay[row, t, head]
                for k in range(inner - 1, -1, -1):
                    total = upstream[row, t, head, k] + carry[head, k]
                    to_values[row, t, head, k] = total
                    products[k] = total * before[head, k]
                    carry[head, k] = a * total
                to_decay[row, t, head] = _sum(products)
        to_initial[row] = carry
