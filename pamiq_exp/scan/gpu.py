"""The scan and its gradient as associative scans in Triton, for a GPU.

Imported at the first use, because Triton comes only with GPU builds of torch. A program takes a few channels of a row,
one block of time after the other; the steps of a block are composed in parallel, and the state stays in registers. So
everything is read once and written once.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

TIME = 128
"""Steps of a block, a power of two."""

CHANNELS = 16
"""Channels of a program, a power of two: 64 bytes in a row, so that memory is read in whole sectors."""


def scan(decay: Tensor, values: Tensor, initial: Tensor) -> Tensor:
    """The states of the scan, `(rows, time, heads, inner)`; shapes as in `chunked.scan`, all on one GPU.

    Raises ValueError for tensors elsewhere, unless Triton's interpreter is on.
    """
    if not (values.is_cuda or triton.knobs.runtime.interpret):
        raise ValueError(f"the scan method 'associative' is for tensors on a GPU, not on {values.device}")
    decay, values, initial = decay.contiguous(), values.contiguous(), initial.contiguous()
    states = torch.empty_like(values)
    rows, length, heads, inner = values.shape
    with torch.cuda.device_of(values):
        _scan[_grid(rows, heads * inner)](
            decay, values, initial, states, length, heads, inner, TIME=TIME, CHANNELS=CHANNELS
        )
    return states


def scan_gradient(decay: Tensor, states: Tensor, initial: Tensor, upstream: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of decay, values and initial state."""
    decay, states, initial, upstream = (each.contiguous() for each in (decay, states, initial, upstream))
    to_values, to_decays, to_initial = torch.empty_like(states), torch.empty_like(states), torch.empty_like(initial)
    rows, length, heads, inner = states.shape
    with torch.cuda.device_of(states):
        _scan_back[_grid(rows, heads * inner)](
            decay,
            states,
            initial,
            upstream,
            to_decays,
            to_values,
            to_initial,
            length,
            heads,
            inner,
            TIME=TIME,
            CHANNELS=CHANNELS,
        )
    return to_decays.sum(-1) if inner > 1 else to_decays.squeeze(-1), to_values, to_initial


def _grid(rows: int, width: int) -> tuple[int, int]:
    return rows, triton.cdiv(width, CHANNELS)


@triton.jit
def _compose(decay, value, next_decay, next_value):
    """Compose h -> decay h + value with the next one."""
    return decay * next_decay, next_decay * value + next_value


@triton.jit
def _scan(decay, values, initial, states, length, heads, inner, TIME: tl.constexpr, CHANNELS: tl.constexpr):
    """h_t = a_t h_{t-1} + u_t, for `CHANNELS` channels of a row."""
    row = tl.program_id(0).to(tl.int64)
    width = heads * inner
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    head = channel // inner
    exists = channel < width
    state = tl.load(initial + row * width + channel, mask=exists, other=0.0)
    step = tl.arange(0, TIME)
    for first in range(0, length, TIME):
        time = first + step
        inside = (time < length)[:, None] & exists[None, :]
        record = (row * length + time)[:, None]
        # Steps after the end have decay 1 and value 0, so that the last of a block always holds the state.
        a = tl.load(decay + record * heads + head[None, :], mask=inside, other=1.0)
        u = tl.load(values + record * width + channel[None, :], mask=inside, other=0.0)
        product, total = tl.associative_scan((a, u), 0, _compose)
        h = total + product * state[None, :]
        tl.store(states + record * width + channel[None, :], h, mask=inside)
        state = tl.sum(tl.where((step == TIME - 1)[:, None], h, 0.0), 0)


@triton.jit
def _scan_back(
    decay,
    states,
    initial,
    upstream,
    to_decays,
    to_values,
    to_initial,
    length,
    heads,
    inner,
    TIME: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    """G_t = g_t + a_{t+1} G_{t+1}, G_t h_{t-1} and a_0 G_0; the decay's gradient is still one for each channel."""
    row = tl.program_id(0).to(tl.int64)
    width = heads * inner
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    head = channel // inner
    exists = channel < width
    start = tl.load(initial + row * width + channel, mask=exists, other=0.0)
    carry = tl.zeros_like(start)
    earliest = tl.zeros_like(start)
    step = tl.arange(0, TIME)
    for first in range(0, length, TIME):
        time = length - 1 - first - step
        inside = (time >= 0)[:, None] & exists[None, :]
        record = (row * length + time)[:, None]
        following = inside & (time < length - 1)[:, None]
        a = tl.load(decay + (record + 1) * heads + head[None, :], mask=following, other=0.0)
        g = tl.load(upstream + record * width + channel[None, :], mask=inside, other=0.0)
        product, total = tl.associative_scan((a, g), 0, _compose)
        gradient = total + product * carry[None, :]
        after_start = inside & (time > 0)[:, None]
        before = tl.load(states + (record - 1) * width + channel[None, :], mask=after_start, other=0.0)
        before = tl.where((time == 0)[:, None], start[None, :], before)
        tl.store(to_values + record * width + channel[None, :], gradient, mask=inside)
        tl.store(to_decays + record * width + channel[None, :], gradient * before, mask=inside)
        carry = tl.sum(tl.where((step == TIME - 1)[:, None], gradient, 0.0), 0)
        earliest += tl.sum(tl.where((time == 0)[:, None], gradient, 0.0), 0)
    first_decay = tl.load(decay + row * length * heads + head, mask=exists, other=0.0)
    tl.store(to_initial + row * width + channel, first_decay * earliest, mask=exists)
