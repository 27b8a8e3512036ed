"""The scan and its gradient as machine code for the CPU.

Imported at the first use, because numba takes a while. The interpreter lock is released, so that the world
goes on while a model trains, and there is no fast-math, so that every machine computes the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeAlias, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float32] | NDArray[np.float64]
Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

LANES = 8
"""Partial sums of a gradient per head: enough for the widest vector registers."""


def compiled(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Compile with numba, keeping the machine code for the next process where a folder can be written."""
    try:
        dispatcher = numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:
        dispatcher = numba.njit(nogil=True)(function)
    return cast("Callable[Parameters, Result]", dispatcher)


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
    """The gradient of `scan_channels`: `upstream` is that of the states; the last three are written."""
    rows, length, width = states.shape
    carry = np.empty(width, states.dtype)
    for row in range(rows):
        carry[:] = 0
        for t in range(length - 1, -1, -1):
            before = states[row, t - 1] if t > 0 else initial[row]
            for k in range(width):
                total = upstream[row, t, k] + carry[k]
                to_values[row, t, k] = total
                to_decay[row, t, k] = total * before[k]
                carry[k] = decay[row, t, k] * total
        to_initial[row] = carry


@compiled
def scan_heads(decay: Array, values: Array, initial: Array, states: Array) -> None:
    """h_t = a_t h_{t-1} + u_t with a decay for each head of several channels.

    `decay` is `(rows, time, heads)`; the others are as for `scan_channels`.
    """
    rows, length, width = values.shape
    heads = decay.shape[2]
    inner = width // heads
    state = np.empty(width, values.dtype)
    for row in range(rows):
        state[:] = initial[row]
        for t in range(length):
            for head in range(heads):
                a = decay[row, t, head]
                for k in range(head * inner, (head + 1) * inner):
                    following = a * state[k] + values[row, t, k]
                    state[k] = following
                    states[row, t, k] = following


@compiled
def scan_heads_back(
    decay: Array, states: Array, initial: Array, upstream: Array, to_decay: Array, to_values: Array, to_initial: Array
) -> None:
    """The gradient of `scan_heads`: `upstream` is that of the states; the last three are written."""
    rows, length, width = states.shape
    heads = decay.shape[2]
    inner = width // heads
    whole = inner - inner % LANES
    carry = np.empty(width, states.dtype)
    partial = np.empty(LANES, states.dtype)
    for row in range(rows):
        carry[:] = 0
        for t in range(length - 1, -1, -1):
            before = states[row, t - 1] if t > 0 else initial[row]
            for head in range(heads):
                a = decay[row, t, head]
                start = head * inner
                partial[:] = 0
                for k in range(start, start + inner):
                    total = upstream[row, t, k] + carry[k]
                    to_values[row, t, k] = total
                    carry[k] = a * total
                for block in range(start, start + whole, LANES):
                    for lane in range(LANES):
                        partial[lane] += to_values[row, t, block + lane] * before[block + lane]
                for k in range(start + whole, start + inner):
                    partial[k - start - whole] += to_values[row, t, k] * before[k]
                to_decay[row, t, head] = partial.sum()
        to_initial[row] = carry
