"""Buffers of transitions: ring buffers for replay, rollout buffers for on-policy training."""

from __future__ import annotations

import logging
import math
from abc import ABC
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pamiq_exp.component import Component, State
from pamiq_exp.formatting import bytes_text
from pamiq_exp.spaces import ArraySpec, flatten_specs

logger = logging.getLogger(__name__)

Batch = dict[str, torch.Tensor]
"""Named tensors with common leading axes."""


class DataBuffer(Component, ABC):
    """Base class of buffers: a ring of turns in preallocated columns, one for each field.

    A turn holds one transition of every environment. In a full ring the newest turn replaces the oldest. The operating
    system allocates memory page by page as the ring fills.

    Args:
        capacity: Number of turns that are kept.
        num_envs: Transitions in one turn.
        fields: Descriptions of the fields, nested or flat: `{"observation": {"image": spec}, "action": spec}`
            holds `observation.image` and `action`.
    """

    def __init__(self, capacity: int, num_envs: int, fields: Mapping[str, object]) -> None:
        if capacity < 1 or num_envs < 1:
            raise ValueError(f"capacity and num_envs of a buffer must be at least 1, not {capacity} and {num_envs}")
        self.capacity = int(capacity)
        self.num_envs = int(num_envs)
        self.fields: dict[str, ArraySpec] = flatten_specs(fields)
        if not self.fields:
            raise ValueError("a buffer needs at least one field")
        try:
            self._arrays: dict[str, NDArray[Any]] = {
                name: np.zeros((capacity, num_envs, *spec["shape"]), dtype=spec["dtype"])
                for name, spec in self.fields.items()
            }
        except MemoryError:
            size = bytes_text(buffer_bytes(capacity, num_envs, self.fields))
            raise ValueError(
                f"the buffer takes {size} when full, more than this machine has: give it a smaller capacity"
            ) from None
        self._columns: Batch = {name: torch.from_numpy(array) for name, array in self._arrays.items()}
        """Tensors that share the memory of the arrays."""
        self._rows: Batch = {name: column.flatten(0, 1) for name, column in self._columns.items()}
        """Likewise, a row for each environment step."""
        _warn_about_float_images(self.fields)
        # From numpy: its zeros take memory as they are written, those of torch at once.
        self._turns = torch.from_numpy(np.zeros(capacity, dtype=np.int64))
        """Number of each turn, which shows gaps where data was dropped."""
        self._head = 0
        self._size = 0

    def __len__(self) -> int:
        """Number of turns held."""
        return self._size

    @property
    def nbytes(self) -> int:
        """Bytes of a full buffer; see `buffer_bytes`."""
        return buffer_bytes(self.capacity, self.num_envs, self.fields)

    def append(self, columns: Mapping[str, NDArray[Any]], first_turn: int) -> None:
        """Write consecutive turns, each column `(turns, num_envs, *shape)`, numbered from `first_turn` on."""
        turns = len(next(iter(columns.values())))
        skip = max(0, turns - self.capacity)
        start = (self._head + skip) % self.capacity
        first_part = min(turns - skip, self.capacity - start)
        pieces = [(start, skip, first_part), (0, skip + first_part, turns - skip - first_part)]
        for position, offset, count in pieces:
            if count == 0:
                continue
            for name, array in self._arrays.items():
                array[position : position + count] = columns[name][offset : offset + count]
            torch.arange(first_turn + offset, first_turn + offset + count, out=self._turns[position : position + count])
        self._head = (self._head + turns) % self.capacity
        self._size = min(self._size + turns, self.capacity)

    def count_as_full(self) -> None:
        """Mark the zeros of a new buffer as collected turns: only for a dry run."""
        torch.arange(self.capacity, out=self._turns)
        self._head, self._size = 0, self.capacity

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """Draw transitions uniformly, with replacement; each tensor is `(batch, *shape)`.

        Raises ValueError while the buffer is empty.
        """
        self._require(1)
        index = torch.randint(self._size * self.num_envs, (batch_size,), generator=generator)
        index += (self._head - self._size) % self.capacity * self.num_envs
        return self._select(index.remainder_(self.capacity * self.num_envs), (batch_size,))

    def holds_sequence(self, length: int) -> bool:
        """Whether there are `length` consecutive turns without a gap."""
        if self._size < length:
            return False
        return self._is_unbroken() or len(self._unbroken_starts(length)) > 0

    def sequences(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        """Draw sequences of consecutive turns of one environment; each tensor is `(batch, length, *shape)`.

        All starts of `length` turns without a gap are equally likely. Raises ValueError while there is none.
        """
        self._require(length)
        starts = self._starts(batch_size, length, generator)
        env = torch.randint(self.num_envs, (batch_size, 1), generator=generator)
        position = (starts[:, None] + torch.arange(length)).remainder_(self.capacity)
        return self._select((position * self.num_envs + env).flatten(), (batch_size, length))

    def latest(self, length: int) -> Batch:
        """Return the newest turns, oldest first; each tensor is `(length, num_envs, *shape)`."""
        self._require(length)
        return self._slice(self._size - length, length)

    def state(self) -> State:
        """The turns, oldest first, as one or two views: the caller copies them."""
        pieces = self._pieces(0, self._size)
        return {
            "columns": {name: [column[piece] for piece in pieces] for name, column in self._columns.items()},
            "turns": [self._turns[piece] for piece in pieces],
            "start": pieces[0].start,
        }

    def load_state(self, state: State) -> None:
        """Restore the turns. Raises ValueError for other fields or shapes, or more turns than the capacity."""
        columns = {name: torch.cat(pieces) for name, pieces in state["columns"].items()}
        turns = torch.cat(state["turns"])
        size = len(turns)
        if set(columns) != set(self._columns) or size > self.capacity:
            raise ValueError(
                f"the saved buffer has {size} turns with the fields {sorted(columns)}; "
                f"this one holds {self.capacity} turns with the fields {sorted(self._columns)}"
            )
        for name, column in self._columns.items():
            if columns[name].shape[1:] != column.shape[1:]:
                raise ValueError(
                    f"the saved field {name} has the shape {tuple(columns[name].shape[1:])}, not "
                    f"{tuple(column.shape[1:])} as in this buffer"
                )
        # At the same place as before, so that two saves of equal histories are equal bytes.
        start = state["start"] % self.capacity
        self._head = (start + size) % self.capacity
        self._size = size
        pieces = self._pieces(0, size)
        lengths = [piece.stop - piece.start for piece in pieces]
        for column, saved in [(self._turns, turns), *((self._columns[name], columns[name]) for name in columns)]:
            for piece, part in zip(pieces, torch.split(saved, lengths), strict=True):
                column[piece] = part

    def _starts(self, batch_size: int, length: int, generator: torch.Generator) -> torch.Tensor:
        oldest = (self._head - self._size) % self.capacity
        if self._is_unbroken():
            return torch.randint(self._size - length + 1, (batch_size,), generator=generator).add_(oldest)
        starts = self._unbroken_starts(length)
        if len(starts) == 0:
            raise ValueError(f"the buffer has no {length} consecutive turns yet: raise learning_starts of the trainer")
        return starts[torch.randint(len(starts), (batch_size,), generator=generator)].add_(oldest)

    def _is_unbroken(self) -> bool:
        oldest, newest = (self._head - self._size) % self.capacity, (self._head - 1) % self.capacity
        return int(self._turns[newest]) - int(self._turns[oldest]) == self._size - 1

    def _unbroken_starts(self, length: int) -> torch.Tensor:
        """Positions, counted from the oldest turn, from which `length` turns follow without a gap."""
        turns = self._turns[self._positions(0, self._size)]
        return torch.nonzero(turns[length - 1 :] - turns[: self._size - length + 1] == length - 1).flatten()

    def _positions(self, start: int, length: int) -> torch.Tensor:
        return torch.arange(start + self._head - self._size, start + self._head - self._size + length).remainder_(
            self.capacity
        )

    def _slice(self, start: int, length: int) -> Batch:
        pieces = self._pieces(start, length)
        return {name: torch.cat([column[piece] for piece in pieces]) for name, column in self._columns.items()}

    def _pieces(self, start: int, length: int) -> list[slice]:
        """Slices of the columns with `length` turns, counted from the oldest: two if they wrap around the end."""
        first = (self._head - self._size + start) % self.capacity
        rest = first + length - self.capacity
        if rest <= 0:
            return [slice(first, first + length)]
        return [slice(first, self.capacity), slice(0, rest)]

    def _select(self, index: torch.Tensor, leading: tuple[int, ...]) -> Batch:
        return {name: rows.index_select(0, index).view(*leading, *rows.shape[1:]) for name, rows in self._rows.items()}

    def _require(self, turns: int) -> None:
        if self._size < turns:
            raise ValueError(
                f"the buffer has {self._size} turns, but {turns} are needed: raise learning_starts of the trainer"
            )


def buffer_bytes(capacity: int, num_envs: int, fields: Mapping[str, object]) -> int:
    """Return the bytes of a full buffer with these arguments, without making one."""
    transition = sum(
        math.prod(spec["shape"]) * np.dtype(spec["dtype"]).itemsize for spec in flatten_specs(fields).values()
    )
    return int(capacity) * int(num_envs) * transition


def _warn_about_float_images(fields: Mapping[str, ArraySpec]) -> None:
    """Log a warning for images of floats: bytes take a quarter of the memory, and models scale them."""
    for name, spec in fields.items():
        if len(spec["shape"]) == 3 and np.dtype(spec["dtype"]).kind == "f" and math.prod(spec["shape"]) >= 1024:
            logger.warning("the buffer stores the images '%s' as %s; uint8 takes less memory", name, spec["dtype"])


class RingBuffer(DataBuffer):
    """Replay buffer of the newest `capacity` turns.

    Args:
        capacity: Number of turns that are kept.
        num_envs: Transitions in one turn.
        fields: Descriptions of the fields; see `DataBuffer`. `within_episodes` needs the field `ended`.
        within_episodes: Draw only sequences within one episode. Otherwise a sequence may contain the end of one
            (`ended`) and the start of the next.
    """

    def __init__(
        self, capacity: int, num_envs: int, fields: Mapping[str, object], within_episodes: bool = False
    ) -> None:
        super().__init__(capacity, num_envs, fields)
        if within_episodes and "ended" not in self.fields:
            raise ValueError(
                "within_episodes needs the field 'ended', {shape: [], dtype: bool}, to see where episodes end"
            )
        self.within_episodes = bool(within_episodes)

    def holds_sequence(self, length: int) -> bool:
        """See `DataBuffer.holds_sequence`."""
        if not self.within_episodes:
            return super().holds_sequence(length)
        return self._size >= length and bool(self._whole(length).any())

    def sequences(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        """See `DataBuffer.sequences`."""
        if not self.within_episodes:
            return super().sequences(batch_size, length, generator)
        self._require(length)
        candidates = torch.nonzero(self._whole(length).flatten()).flatten()
        if len(candidates) == 0:
            raise ValueError(
                f"the buffer has no {length} turns of one episode yet: raise learning_starts of the trainer"
            )
        chosen = candidates[torch.randint(len(candidates), (batch_size,), generator=generator)]
        oldest = (self._head - self._size) % self.capacity
        turn = (chosen // self.num_envs + oldest)[:, None] + torch.arange(length)
        index = turn.remainder_(self.capacity) * self.num_envs + (chosen % self.num_envs)[:, None]
        return self._select(index.flatten(), (batch_size, length))

    def _whole(self, length: int) -> torch.Tensor:
        """Whether `length` turns of one episode start at a turn, `(size - length + 1, num_envs)`, oldest first."""
        ended = self._columns["ended"][self._positions(0, self._size)]
        # The last turn of a sequence may be the last of its episode, none before it.
        before = torch.zeros(self._size + 1, self.num_envs, dtype=torch.int64)
        torch.cumsum(ended, 0, out=before[1:])
        inside = before[length - 1 : -1] == before[: self._size - length + 1]
        turns = self._turns[self._positions(0, self._size)]
        unbroken = turns[length - 1 :] - turns[: self._size - length + 1] == length - 1
        return inside & unbroken[:, None]


class RolloutBuffer(DataBuffer):
    """On-policy buffer: each turn is taken once.

    Its capacity should be a few rollouts: in a full buffer new turns replace the oldest.
    """

    @property
    def available(self) -> int:
        """Number of turns from the oldest one on without a gap."""
        self._forget_broken()
        return self._unbroken()

    def take(self, length: int) -> Batch:
        """Return the oldest `length + 1` turns, and remove `length` of them.

        The last turn is for bootstrapping; it is also the first of the next rollout. Each tensor is
        `(length + 1, num_envs, *shape)`. Raises ValueError while fewer are available.
        """
        self._forget_broken()
        self._require(length + 1)
        rollout = self._slice(0, length + 1)
        self._size -= length
        return rollout

    def _unbroken(self) -> int:
        turns = self._turns[self._positions(0, self._size)]
        gaps = torch.nonzero(turns[1:] - turns[:-1] != 1).flatten()
        return int(gaps[0]) + 1 if len(gaps) else self._size

    def _forget_broken(self) -> None:
        """Drop turns before a gap, which cannot become a full rollout any more."""
        unbroken = self._unbroken()
        if unbroken < self._size:
            self._size -= unbroken
            self._forget_broken()
