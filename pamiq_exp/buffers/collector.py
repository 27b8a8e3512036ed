"""Collectors: queues of transitions from the agent to a buffer."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.spaces import ArraySpec


class Chunk:
    """A few turns on their way to the buffer, in columns `(capacity, num_envs, *shape)`."""

    def __init__(self, capacity: int, num_envs: int, fields: Mapping[str, ArraySpec]) -> None:
        self.capacity = capacity
        self.columns: dict[str, NDArray[Any]] = {
            name: np.empty((capacity, num_envs, *spec["shape"]), dtype=spec["dtype"]) for name, spec in fields.items()
        }
        self.count = 0
        self.first_turn = 0

    def filled(self) -> dict[str, NDArray[Any]]:
        """The turns written so far."""
        return {name: column[: self.count] for name, column in self.columns.items()}


class DataCollector:
    """Receives one turn of transitions at a time from the agent, which training fetches later.

    Transitions are copied into a chunk, so the agent may reuse its arrays. The chunk itself is never copied: training
    takes it and leaves an empty one, which moves one reference under a lock.

    Args:
        num_envs: Transitions in one turn.
        fields: Exactly the fields of a turn, each `(num_envs, *shape)`.
        max_pending: Largest number of turns that wait for training. Beyond it the oldest chunk is dropped and counted.
        chunk_turns: Turns in one chunk.
    """

    def __init__(self, num_envs: int, fields: Mapping[str, ArraySpec], max_pending: int, chunk_turns: int = 64) -> None:
        self.fields: dict[str, ArraySpec] = dict(fields)
        self.num_envs = num_envs
        self.dropped = 0
        """Turns lost because training did not fetch them in time."""
        self._chunk_turns = max(1, min(chunk_turns, max_pending))
        self._max_full = max(1, -(-max_pending // self._chunk_turns))
        self._shapes = {name: (num_envs, *spec["shape"]) for name, spec in self.fields.items()}
        self._lock = Lock()
        self.turn = 0
        """Number of the next turn."""
        self._full: list[Chunk] = []
        self._free: list[Chunk] = []
        self._chunk = self._empty_chunk()

    def collect(self, transition: Mapping[str, NDArray[Any]]) -> None:
        """Copy one turn. Raises ValueError if names or shapes are not exactly those of `fields`."""
        self._require_fields(transition)
        with self._lock:
            chunk = self._chunk
            if chunk.count == 0:
                chunk.first_turn = self.turn
            index = chunk.count
            for name, column in chunk.columns.items():
                column[index] = transition[name]
            chunk.count = index + 1
            self.turn += 1
            if chunk.count == chunk.capacity:
                self._retire(chunk)

    def flush(self) -> None:
        """Make sure that all collected turns can be taken: when the agent takes no more turns."""

    @property
    def pending(self) -> int:
        """Number of turns that wait to be fetched, read without the lock."""
        return len(self._full) * self._chunk_turns + self._chunk.count

    def take(self) -> list[Chunk]:
        """Return all collected chunks, oldest first. Give them back with `recycle` after use."""
        replacement = self._empty_chunk()
        with self._lock:
            chunks, self._full = self._full, []
            if self._chunk.count:
                chunks.append(self._chunk)
                self._chunk = replacement
                return chunks
        self._free.append(replacement)
        return chunks

    def recycle(self, chunks: list[Chunk]) -> None:
        """Reuse chunks whose content has been stored elsewhere."""
        for chunk in chunks:
            chunk.count = 0
            if len(self._free) < 2:
                self._free.append(chunk)

    def _retire(self, chunk: Chunk) -> None:
        self._full.append(chunk)
        if len(self._full) > self._max_full:
            oldest = self._full.pop(0)
            self.dropped += oldest.count
        self._chunk = self._empty_chunk()

    def _empty_chunk(self) -> Chunk:
        try:
            return self._free.pop()
        except IndexError:
            return Chunk(self._chunk_turns, self.num_envs, self.fields)

    def _require_fields(self, transition: Mapping[str, NDArray[Any]]) -> None:
        """Raise ValueError if names or shapes are not exactly those of `fields`."""
        if transition.keys() != self._shapes.keys():
            raise ValueError(self._mismatch(transition))
        for name, shape in self._shapes.items():
            if transition[name].shape != shape:
                raise ValueError(
                    f"the field {name} has the shape {transition[name].shape}, but the buffer expects {shape} "
                    "(num_envs first)"
                )

    def _mismatch(self, transition: Mapping[str, NDArray[Any]]) -> str:
        missing = sorted(self._shapes.keys() - transition.keys())
        unknown = sorted(transition.keys() - self._shapes.keys())
        return f"a transition must have exactly the buffer's fields: missing {missing}, unknown {unknown}"
