"""Data users whose buffer gets exactly the turns that a schedule names, to repeat what happened in real time."""

from __future__ import annotations

from collections.abc import Sequence

from pamiq_exp.buffers.buffer import DataBuffer
from pamiq_exp.buffers.collector import Chunk, DataCollector
from pamiq_exp.buffers.user import DataUser

_MOST_PENDING = 1 << 31


class ScheduledCollector(DataCollector):
    """A collector that hands over the chunks of turns that `schedule` names, and drops what lies before them."""

    schedule: Sequence[tuple[int, int]] = ()
    """What the next `take` hands over: number of the first turn and count, for each chunk."""

    def take(self) -> list[Chunk]:
        """Return the chunks of the schedule, and clear it.

        Raises:
            LookupError: The turns have not been collected.
        """
        schedule, self.schedule = self.schedule, ()
        return [self._chunk_of(first, count) for first, count in schedule]

    def recycle(self, chunks: list[Chunk]) -> None:
        """See `DataCollector.recycle`: these have a size of their own and are not used again."""

    def _chunk_of(self, first: int, count: int) -> Chunk:
        waiting = self._full
        while waiting and waiting[0].first_turn < first:
            del waiting[0]
            self.dropped += 1
        parts = waiting[: max(count, 0)]
        if len(parts) != count or any(part.first_turn != first + index for index, part in enumerate(parts)):
            raise LookupError(f"the turns {first} to {first + count - 1} have not been collected")
        del waiting[:count]
        chunk = Chunk(count, self.num_envs, self.fields)
        for index, part in enumerate(parts):
            for name, column in chunk.columns.items():
                column[index] = part.columns[name][0]
        chunk.first_turn, chunk.count = first, count
        return chunk


class ScheduledUser(DataUser):
    """A data user with a `ScheduledCollector`."""

    def __init__(self, buffer: DataBuffer, shared: bool = False) -> None:
        super().__init__(buffer, shared)
        self.collector: ScheduledCollector = ScheduledCollector(
            buffer.num_envs, buffer.fields, max_pending=_MOST_PENDING, chunk_turns=1
        )
