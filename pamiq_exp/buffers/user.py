"""Data users: a buffer and its collector, as trainers see them."""

from __future__ import annotations

import torch

from pamiq_exp.buffers.buffer import Batch, DataBuffer, RolloutBuffer
from pamiq_exp.buffers.collector import DataCollector
from pamiq_exp.buffers.shared_collector import SharedCollector
from pamiq_exp.component import Component, State


class DataUser(Component):
    """A buffer and its collector, used on the training thread.

    Several trainers may share one: each remembers the `count_added` of its last round.

    Args:
        buffer: Where the turns are kept.
        shared: Whether training goes to a process of its own, forked later.
        max_pending: Turns that may wait in the collector; as many as the buffer keeps by default.
    """

    def __init__(self, buffer: DataBuffer, shared: bool = False, max_pending: int | None = None) -> None:
        self.buffer = buffer
        kind = SharedCollector if shared else DataCollector
        self.collector = kind(buffer.num_envs, buffer.fields, max_pending or buffer.capacity)
        self._added = 0
        self.fetched: list[tuple[int, int]] = []
        """What the last `update` moved: number of the first turn and count, for each chunk."""

    def __len__(self) -> int:
        """Number of turns in the buffer."""
        return len(self.buffer)

    @property
    def count_added(self) -> int:
        """Number of all environment steps added so far: turns times environments."""
        return self._added

    @property
    def num_envs(self) -> int:
        """Environments whose steps make up a turn."""
        return self.buffer.num_envs

    @property
    def steps_held(self) -> int:
        """Number of environment steps in the buffer."""
        return len(self.buffer) * self.buffer.num_envs

    @property
    def dropped(self) -> int:
        """Environment steps lost because training did not fetch them in time."""
        return self.collector.dropped * self.buffer.num_envs

    @property
    def pending(self) -> int:
        """Environment steps that are collected and not yet fetched."""
        return self.collector.pending * self.buffer.num_envs

    def update(self) -> int:
        """Move collected turns into the buffer; return the number of new environment steps."""
        chunks = self.collector.take()
        self.fetched = [(chunk.first_turn, chunk.count) for chunk in chunks]
        for chunk in chunks:
            self.buffer.append(chunk.filled(), chunk.first_turn)
        turns = sum(count for _, count in self.fetched)
        self.collector.recycle(chunks)
        self._added += turns * self.buffer.num_envs
        return turns * self.buffer.num_envs

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """See `DataBuffer.sample`."""
        return self.buffer.sample(batch_size, generator)

    def holds_sequence(self, length: int) -> bool:
        """See `DataBuffer.holds_sequence`."""
        return self.buffer.holds_sequence(length)

    def sequences(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        """See `DataBuffer.sequences`."""
        return self.buffer.sequences(batch_size, length, generator)

    def latest(self, length: int) -> Batch:
        """See `DataBuffer.latest`."""
        return self.buffer.latest(length)

    @property
    def available(self) -> int:
        """See `RolloutBuffer.available`. Raises TypeError for another kind of buffer."""
        return self._rollouts().available

    def take(self, length: int) -> Batch:
        """See `RolloutBuffer.take`. Raises TypeError for another kind of buffer."""
        return self._rollouts().take(length)

    def state(self) -> State:
        """Counters; the buffer saves itself."""
        return {"count_added": self.count_added, "dropped": self.collector.dropped, "turn": self.collector.turn}

    def load_state(self, state: State) -> None:
        """Restore the counters."""
        self._added = state["count_added"]
        self.collector.dropped = state["dropped"]
        self.collector.turn = state["turn"]

    def _rollouts(self) -> RolloutBuffer:
        if not isinstance(self.buffer, RolloutBuffer):
            raise TypeError(f"rollouts are taken from a RolloutBuffer; this buffer is a {type(self.buffer).__name__}")
        return self.buffer
