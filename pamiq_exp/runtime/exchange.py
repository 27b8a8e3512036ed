"""How parameters change hands between the learner and the agent, in one process or two, without waiting or tearing."""

from __future__ import annotations

import time
from collections.abc import Iterable

from pamiq_exp.shared_memory import lock, words

SLOTS = 3
"""Places for the parameters of each part: the reader's, the writer's, and the newest published one between them."""

_COUNT, _VERSION, _TRAINING_STEP, _PUBLISHED_AT, _PARTS = 0, 1, 2, 3, 4
_READER, _NEWEST, _WRITER, _FRESH, _WIDTH = 0, 1, 2, 3, 4


class Exchange:
    """Triple buffering of several parts between one writer and one reader.

    The writer fills its own slot of some parts, and `publish` exchanges these with the newest published ones, all at
    once. `refresh` exchanges the reader's slots with the newest ones, where these are fresh. So each side always has a
    slot that the other never touches: neither waits for the other to be done with one, and a slot that is being
    read is never written.

    Both exchanges happen under one lock, for less than a microsecond. The reader only tries to take it: while
    the writer has it, or if the writer died with it, the reader keeps the slots that it has. All that both sides
    read and write is accessed under that lock, whose operations order memory, so nothing here depends on the
    interpreter lock or on the kind of processor. Only `version` and its like are read without it, for information.

    Args:
        parts: Number of parts.
        shared: Whether processes that are forked from now on take part.
    """

    def __init__(self, parts: int, shared: bool = False) -> None:
        self._seen = 0
        """Publications when the reader last took the newest slots: its own note."""
        self._words = words(_PARTS + _WIDTH * parts, shared)
        self._lock = lock(shared)
        for part in range(parts):
            for role in (_READER, _NEWEST, _WRITER):
                self._words[_PARTS + _WIDTH * part + role] = role
        self._words[_PUBLISHED_AT] = time.perf_counter_ns()

    @property
    def version(self) -> int:
        """Version of the newest publication."""
        return self._words[_VERSION]

    @property
    def training_step(self) -> int:
        """Batches that had been trained at the newest publication."""
        return self._words[_TRAINING_STEP]

    @property
    def age(self) -> float:
        """Seconds since the newest publication."""
        return 1e-9 * (time.perf_counter_ns() - self._words[_PUBLISHED_AT])

    @property
    def fresh(self) -> bool:
        """Whether something was published since the reader's last `refresh`. Only the reader asks."""
        return self._words[_COUNT] != self._seen

    def writer_slot(self, part: int) -> int:
        """The slot that the writer may fill. Only the writer asks."""
        return self._words[_PARTS + _WIDTH * part + _WRITER]

    def publish(self, parts: Iterable[int], training_step: int | None = None, version: int | None = None) -> int:
        """Make the writer's slots of these parts the newest ones. Only the writer calls this.

        Args:
            parts: The parts whose slots the writer has filled.
            training_step: Batches trained so far; None leaves the number as it is.
            version: The new version; one more than before by default.

        Returns:
            The new version.
        """
        state = self._words
        with self._lock:
            for part in parts:
                base = _PARTS + _WIDTH * part
                state[base + _NEWEST], state[base + _WRITER] = state[base + _WRITER], state[base + _NEWEST]
                state[base + _FRESH] = 1
            state[_COUNT] += 1
            state[_VERSION] = state[_VERSION] + 1 if version is None else version
            if training_step is not None:
                state[_TRAINING_STEP] = training_step
            state[_PUBLISHED_AT] = time.perf_counter_ns()
            return state[_VERSION]

    def refresh(self) -> tuple[int, int, list[int]] | None:
        """Take the newest slots: return their version, its training step, and the reader's slot of each part.

        None if the writer is publishing at this moment. Only the reader calls this, and it never waits.
        """
        if not self._lock.acquire(False):
            return None
        try:
            state = self._words
            slots = []
            for base in range(_PARTS, len(state), _WIDTH):
                if state[base + _FRESH]:
                    state[base + _NEWEST], state[base + _READER] = state[base + _READER], state[base + _NEWEST]
                    state[base + _FRESH] = 0
                slots.append(state[base + _READER])
            self._seen = state[_COUNT]
            return state[_VERSION], state[_TRAINING_STEP], slots
        finally:
            self._lock.release()
