"""A collector whose turns are fetched by another process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.buffers.collector import Chunk, DataCollector
from pamiq_exp.shared_memory import lock, shared_array, words
from pamiq_exp.spaces import ArraySpec

_ORDER, _FIRST_TURN, _COUNT, _TAKEN, _READING, _WIDTH = 0, 1, 2, 3, 4, 5
_FREE, _OWN = 0, -1
"""Orders of slots that hold nothing: free, or reserved by the agent."""

_TURN, _DROPPED = 0, 1


class _SlotChunk(Chunk):
    """The turns of a slot that were not taken before."""

    def __init__(self, slot: int, columns: dict[str, NDArray[Any]], first_turn: int, count: int) -> None:
        self.slot = slot
        self.columns = columns
        self.capacity = self.count = count
        self.first_turn = first_turn


class SharedCollector(DataCollector):
    """A `DataCollector` in shared memory: the agent collects in one process, and training fetches in another.

    Turns are in slots of `chunk_turns` turns each. The agent writes into a slot of its own and has a spare one, and
    reports after each turn how far it is. Who has which slot is decided under a lock, which the agent only tries: what
    it could not report is reported after a later turn. A slot that training reads is not reused. When none is free, the
    oldest full one is dropped and counted. Slots are reused from the lowest on, so memory is taken only for as
    many turns as ever waited at the same time.

    It must be made before the other process is forked. See `DataCollector` for the arguments.
    """

    def __init__(self, num_envs: int, fields: Mapping[str, ArraySpec], max_pending: int, chunk_turns: int = 64) -> None:
        self._counters = words(2, shared=True)
        super().__init__(num_envs, fields, max_pending, chunk_turns)
        slots = self._max_full + 2  # the one being filled, and the spare one
        shape = (slots, self._chunk_turns, num_envs)
        self._columns = {name: shared_array((*shape, *spec["shape"]), spec["dtype"]) for name, spec in fields.items()}
        self._slots = shared_array((slots, _WIDTH), "int64")
        self._shared_lock = lock(shared=True)
        # What follows is the agent's.
        self._slots[:2, _ORDER] = _OWN
        self._spare: int | None = 1
        self._order = 0
        self._to_report: dict[int, tuple[int, int, int]] = {}
        self._begin(0)

    @property
    def turn(self) -> int:
        """Number of the next turn."""
        return self._counters[_TURN]

    @turn.setter
    def turn(self, value: int) -> None:
        self._counters[_TURN] = value

    @property
    def dropped(self) -> int:
        """Turns lost because training did not fetch them in time."""
        return self._counters[_DROPPED]

    @dropped.setter
    def dropped(self, value: int) -> None:
        self._counters[_DROPPED] = value

    def collect(self, transition: Mapping[str, NDArray[Any]]) -> None:
        """See `DataCollector.collect`."""
        self._require_fields(transition)
        if self._filled == self._chunk_turns:
            if self._spare is None:  # for as many turns training had the lock, or all slots
                self._report()
            if self._spare is None:
                self.dropped += 1
                self.turn += 1
                return
            self._begin(self._spare)
            self._spare = None
        if self._filled == 0:
            self._first_turn = self.turn
        for name, column in self._current.items():
            column[self._filled] = transition[name]
        self._filled += 1
        self.turn += 1
        self._to_report[self._slot] = (self._order, self._first_turn, self._filled)
        self._report()

    def flush(self) -> None:
        """Report what could not be reported yet, waiting for the lock: when the agent takes no more turns."""
        with self._shared_lock:
            self._write_report()

    @property
    def pending(self) -> int:
        """Number of turns that wait to be fetched, read without the lock."""
        return int((self._slots[:, _COUNT] - self._slots[:, _TAKEN]).sum())

    def take(self) -> list[Chunk]:
        """See `DataCollector.take`. Called in training's process; the agent does not touch the turns meanwhile."""
        slots = self._slots
        with self._shared_lock:
            ready = np.flatnonzero((slots[:, _ORDER] > 0) & (slots[:, _COUNT] > slots[:, _TAKEN]))
            slots[ready, _READING] = 1
            rows = {slot: slots[slot].tolist() for slot in ready.tolist()}
        chunks: list[Chunk] = []
        for slot, (_, first_turn, count, taken, _) in sorted(rows.items(), key=lambda item: item[1]):
            columns = {name: column[slot, taken:] for name, column in self._columns.items()}
            chunks.append(_SlotChunk(slot, columns, first_turn + taken, count - taken))
        return chunks

    def recycle(self, chunks: list[Chunk]) -> None:
        """See `DataCollector.recycle`."""
        slots = self._slots
        with self._shared_lock:
            for chunk in chunks:
                if isinstance(chunk, _SlotChunk):
                    row = slots[chunk.slot]
                    row[_TAKEN] += chunk.count
                    row[_READING] = 0
                    if row[_TAKEN] == self._chunk_turns:
                        row[:] = _FREE

    def _begin(self, slot: int) -> None:
        """Fill this slot from now on."""
        self._slot = slot
        self._current = {name: column[slot] for name, column in self._columns.items()}
        self._filled = 0
        self._order += 1

    def _report(self) -> None:
        """Tell training how far the slots are filled, and reserve a spare one; later, if it has the lock now."""
        if not self._shared_lock.acquire(False):
            return
        try:
            self._write_report()
        finally:
            self._shared_lock.release()

    def _write_report(self) -> None:
        for slot, row in self._to_report.items():
            self._slots[slot, : _COUNT + 1] = row
        self._to_report.clear()
        if self._spare is None:
            self._spare = self._reserve()

    def _reserve(self) -> int | None:
        """Return a slot for the agent: a free one, else the oldest full one that is not being read, else none."""
        slots = self._slots
        free = np.flatnonzero(slots[:, _ORDER] == _FREE)
        if len(free):
            slot = int(free[0])
        else:
            full = np.flatnonzero(
                (slots[:, _ORDER] > 0) & (slots[:, _COUNT] == self._chunk_turns) & (slots[:, _READING] == 0)
            )
            if not len(full):
                return None
            slot = int(full[slots[full, _ORDER].argmin()])
            self.dropped += int(slots[slot, _COUNT] - slots[slot, _TAKEN])
        slots[slot] = (_OWN, 0, 0, 0, 0)
        return slot
