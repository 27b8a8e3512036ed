"""The training end of a buffer that several actors fill, each from a process of its own."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from pamiq_exp.buffers.buffer import Batch, DataBuffer
from pamiq_exp.buffers.collector import Chunk, DataCollector
from pamiq_exp.buffers.user import DataUser
from pamiq_exp.component import State


class ReceivedChunk(Chunk):
    """Turns that an actor has sent.

    Args:
        columns: The turns, `(turns, num_envs, *shape)` each.
        first_turn: Number of the first one.
    """

    def __init__(self, columns: Mapping[str, NDArray[np.generic]], first_turn: int) -> None:
        self.columns = dict(columns)
        self.capacity = self.count = len(next(iter(columns.values())))
        self.first_turn = first_turn

    @property
    def nbytes(self) -> int:
        """Bytes of all columns."""
        return sum(column.nbytes for column in self.columns.values())


class ReceivingCollector(DataCollector):
    """Keeps the turns that one actor has sent, until training fetches them.

    An actor that was started again counts its turns from 0 again: they are numbered on from the newest one with a gap
    before them, so that no sequence reaches from one life of an actor into the next.

    Attributes:
        fetched_bytes: Bytes of all turns that training has fetched from the actor as it was last started.
        dropped: Turns that the actor has dropped, in all.
    """

    def __init__(self, buffer: DataBuffer) -> None:
        super().__init__(buffer.num_envs, buffer.fields, max_pending=1)
        self.fetched_bytes = 0
        self._received: list[ReceivedChunk] = []
        self._shift = 0
        self._dropped_before = 0
        self._received_lock = threading.Lock()

    def begin(self) -> None:
        """The actor begins, maybe once more. What it has sent before is still fetched."""
        with self._received_lock:
            self._shift = self.turn + 1 if self.turn else 0
            self._dropped_before = self.dropped
            self.fetched_bytes = -sum(chunk.nbytes for chunk in self._received)

    def receive(self, chunks: Sequence[ReceivedChunk], dropped: int) -> None:
        """Take what the actor has sent, and the number of turns that it has dropped since it began."""
        with self._received_lock:
            for chunk in chunks:
                chunk.first_turn += self._shift
                self._received.append(chunk)
                self.turn = chunk.first_turn + chunk.count
            self.dropped = self._dropped_before + dropped

    @property
    def pending(self) -> int:
        """See `DataCollector.pending`."""
        return sum(chunk.count for chunk in tuple(self._received))

    def take(self) -> list[Chunk]:
        """See `DataCollector.take`."""
        with self._received_lock:
            chunks, self._received = self._received, []
            self.fetched_bytes += sum(chunk.nbytes for chunk in chunks)
        return list(chunks)

    def recycle(self, chunks: list[Chunk]) -> None:
        """See `DataCollector.recycle`: these came from elsewhere and are not used again."""


class ActorUser(DataUser):
    """What one actor has sent, and the buffer of it.

    Attributes:
        alive: Whether the actor runs, so that training waits for it.
    """

    def __init__(self, buffer: DataBuffer) -> None:
        self.buffer = buffer
        self.collector: ReceivingCollector = ReceivingCollector(buffer)
        self._added = 0
        self.fetched = []
        self.alive = True


class ActorsUser(DataUser):
    """A data user of several actors. The turns of each are in a buffer of its own, so no sequence mixes actors.

    Batches are drawn from all of them. A rollout consists of one rollout of each actor, side by side as if all their
    environments belonged to one; it waits for the actors that are alive.

    Args:
        buffers: One for each actor, made alike.
    """

    def __init__(self, buffers: Sequence[DataBuffer]) -> None:
        self.users = [ActorUser(buffer) for buffer in buffers]
        self.buffer = self.users[0].buffer
        self.collector = self.users[0].collector
        self.fetched = []

    @property
    def count_added(self) -> int:
        """See `DataUser.count_added`."""
        return sum(user.count_added for user in self.users)

    def __len__(self) -> int:
        """Number of turns of the living actor that has fewest."""
        return min((len(user) for user in self._awaited()), default=0)

    @property
    def num_envs(self) -> int:
        """See `DataUser.num_envs`."""
        return sum(user.num_envs for user in self.users)

    @property
    def steps_held(self) -> int:
        """See `DataUser.steps_held`."""
        return sum(user.steps_held for user in self.users)

    @property
    def dropped(self) -> int:
        """See `DataUser.dropped`."""
        return sum(user.dropped for user in self.users)

    @property
    def pending(self) -> int:
        """See `DataUser.pending`."""
        return sum(user.pending for user in self.users)

    def update(self) -> int:
        """See `DataUser.update`."""
        return sum(user.update() for user in self.users)

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """See `DataBuffer.sample`."""
        return _joined(
            [user.sample(count, generator) for user, count in self._shares(self.users, batch_size, generator)], 0
        )

    def holds_sequence(self, length: int) -> bool:
        """See `DataBuffer.holds_sequence`."""
        return any(user.holds_sequence(length) for user in self.users)

    def sequences(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        """See `DataBuffer.sequences`."""
        users = [user for user in self.users if user.holds_sequence(length)]
        shares = self._shares(users, batch_size, generator)
        return _joined([user.sequences(count, length, generator) for user, count in shares], 0)

    def latest(self, length: int) -> Batch:
        """See `DataBuffer.latest`: of the actors that have as many turns, `(length, environments, *shape)`."""
        users = [user for user in self.users if len(user) >= length]
        return _joined([user.latest(length) for user in users or self.users], 1)

    @property
    def available(self) -> int:
        """See `RolloutBuffer.available`: of the living actor that has fewest turns."""
        return min((user.available for user in self._awaited()), default=0)

    def take(self, length: int) -> Batch:
        """See `RolloutBuffer.take`: of all actors that have a rollout, `(length + 1, environments, *shape)`."""
        users = [user for user in self.users if len(user) > length and user.available > length]
        return _joined([user.take(length) for user in users or self.users], 1)

    def state(self) -> State:
        """Nothing: each actor's part saves itself."""
        return {}

    def load_state(self, state: State) -> None:
        """See `state`."""

    def _awaited(self) -> list[ActorUser]:
        return [user for user in self.users if user.alive]

    def _shares(
        self, users: Sequence[ActorUser], batch_size: int, generator: torch.Generator
    ) -> list[tuple[ActorUser, int]]:
        """Draw how many of a batch come from each actor, by the number of turns that it has."""
        weights = torch.tensor([float(len(user)) for user in users])
        if not weights.sum() > 0:
            return [(self.users[0], batch_size)]  # which raises that it is empty
        drawn = torch.multinomial(weights, batch_size, replacement=True, generator=generator)
        counts = torch.bincount(drawn, minlength=len(users)).tolist()
        return [(user, count) for user, count in zip(users, counts, strict=True) if count]


def _joined(parts: Sequence[Batch], dim: int) -> Batch:
    return {name: torch.cat([part[name] for part in parts], dim) for name in parts[0]}
