"""Replay buffer that keeps each frame of stacked images once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray

from pamiq_exp.buffers.buffer import Batch, RingBuffer, buffer_bytes
from pamiq_exp.spaces import ArraySpec, flatten_specs

_EPISODE_END = "ended"


class ReplayBuffer(RingBuffer):
    """Replay buffer of the newest `capacity` turns, which stores single frames where observations stack them.

    An image `(height, width, frame_stack * channels)` that stacks the newest `frame_stack` frames, newest last, shares
    all but one of them with the turn before. Only the newest is stored, and stacks are built when they are drawn: from
    the frames before, or from the first frame of the episode in place of frames before it, as environments stack them.
    So a full buffer takes the bytes of single frames.

    Turns are drawn that have the `frame_stack - 1` turns before them in the buffer, without a gap.

    Args:
        capacity: Number of turns that are kept.
        num_envs: Transitions in one turn.
        fields: Descriptions of the fields; see `DataBuffer`. A `frame_stack` above 1 needs the field `ended`.
        frame_stack: Frames in the images of an observation; 1 for images that are no stacks.

    Raises:
        ValueError: If the channels of an image are no multiple of `frame_stack`, or `ended` is missing.
    """

    def __init__(self, capacity: int, num_envs: int, fields: Mapping[str, object], frame_stack: int = 1) -> None:
        collected = flatten_specs(fields)
        self.frame_stack = int(frame_stack)
        stored = {name: _single_frame(name, spec, self.frame_stack) for name, spec in collected.items()}
        super().__init__(capacity, num_envs, stored)
        self.fields = collected
        self._stored_fields = stored
        self._stacked = [name for name, spec in stored.items() if spec["shape"] != collected[name]["shape"]]
        if self._stacked and _EPISODE_END not in collected:
            raise ValueError("stacks of frames need the field 'ended', {shape: [], dtype: bool}: episodes begin anew")
        self._context = self.frame_stack - 1 if self._stacked else 0
        """Turns before a drawn one that its stack reaches back to."""

    @property
    def nbytes(self) -> int:
        """See `DataBuffer.nbytes`."""
        return buffer_bytes(self.capacity, self.num_envs, self._stored_fields)

    def append(self, columns: Mapping[str, NDArray[Any]], first_turn: int) -> None:
        """See `DataBuffer.append`."""
        newest = {name: columns[name][..., -self._stored_fields[name]["shape"][-1] :] for name in self._stacked}
        super().append({**columns, **newest}, first_turn)

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """See `DataBuffer.sample`."""
        if not self._context:
            return super().sample(batch_size, generator)
        return {name: value[:, 0] for name, value in self.sequences(batch_size, 1, generator).items()}

    def holds_sequence(self, length: int) -> bool:
        """See `DataBuffer.holds_sequence`."""
        return super().holds_sequence(length + self._context)

    def sequences(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        """See `DataBuffer.sequences`."""
        return self._stack(super().sequences(batch_size, length + self._context, generator))

    def latest(self, length: int) -> Batch:
        """See `DataBuffer.latest`."""
        turns = {name: value.transpose(0, 1) for name, value in super().latest(length + self._context).items()}
        return {name: value.transpose(0, 1) for name, value in self._stack(turns).items()}

    def _stack(self, frames: Batch) -> Batch:
        """Build the stacks of sequences `(batch, context + length, ...)`; each tensor is `(batch, length, *shape)`."""
        context = self._context
        if not context:
            return frames
        ended = frames[_EPISODE_END]
        batch, turns = ended.shape
        turn = torch.arange(turns, device=ended.device)
        begins = torch.zeros(batch, turns, dtype=torch.int64, device=ended.device)
        begins[:, 1:] = torch.where(ended[:, :-1], turn[1:], 0)
        first = begins.cummax(1).values[:, context:]
        """The first turn of the episode, as far as it is in the sequence."""
        row = torch.arange(batch, device=ended.device)[:, None] * turns
        stacked = {name: value[:, context:] for name, value in frames.items()}
        for name in self._stacked:
            singles = frames[name].flatten(0, 1)
            lagged = [
                singles.index_select(0, (row + torch.maximum(turn[context:] - lag, first)).flatten())
                for lag in range(context, -1, -1)
            ]
            stacked[name] = torch.cat(lagged, -1).view(batch, turns - context, *singles.shape[1:3], -1)
        return stacked


def _single_frame(name: str, spec: ArraySpec, frame_stack: int) -> ArraySpec:
    """Describe what is stored of a field: one frame of an image, all of anything else."""
    if frame_stack < 1:
        raise ValueError(f"frame_stack must be at least 1, not {frame_stack}")
    if frame_stack == 1 or len(spec["shape"]) != 3 or not name.startswith("observation."):
        return spec
    height, width, channels = spec["shape"]
    if channels % frame_stack:
        raise ValueError(
            f"the image '{name}' has {channels} channels, which is no multiple of frame_stack {frame_stack}: set it to "
            "the number of frames that the environment stacks"
        )
    single = spec.copy()
    single["shape"] = [height, width, channels // frame_stack]
    return single
