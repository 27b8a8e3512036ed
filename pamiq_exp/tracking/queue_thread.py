"""A thread that works through a queue."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

_log = logging.getLogger(__name__)

ItemT = TypeVar("ItemT")


class QueueThread(Generic[ItemT]):
    """One thread that handles items in order, fed by a queue that never blocks and never drops.

    The thread looks into the queue every `seconds` and is not woken by what is put: `put` is one append to
    a deque, with no lock and no switch to another thread, and the work on many items is done in one go. So
    the inference thread neither waits nor has to share the interpreter at that very moment.

    Args:
        name: Name of the thread.
        handle: Called with each item. Must not raise.
        tick: Called after each look into the queue, also when it was empty. Must not raise.
        seconds: See above.
        large: Queue length from which it is logged, once, that the thread does not keep up.
    """

    def __init__(
        self,
        name: str,
        handle: Callable[[ItemT], None],
        tick: Callable[[], None] = lambda: None,
        seconds: float = 0.5,
        large: int = 10_000,
    ) -> None:
        self.name = name
        self._longest = 0
        """Largest number of items that ever waited."""
        self._handle = handle
        self._tick = tick
        self._seconds = seconds
        self._large = large
        self._queue: deque[ItemT | threading.Event] = deque()
        self._hurry = threading.Event()
        self._ending = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.put: Callable[[ItemT], None] = self._queue.append
        """Append an item: never waits."""

    def start(self) -> None:
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def depth(self) -> int:
        """Items that wait now."""
        return len(self._queue)

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all that was put before is handled; False if that takes longer than `timeout` seconds."""
        if not self.alive:
            return self.depth == 0
        done = threading.Event()
        self._queue.append(done)
        self._hurry.set()
        return done.wait(timeout)

    def stop(self, timeout: float | None = None) -> bool:
        """Handle what is left and end the thread; False if that takes longer than `timeout` seconds."""
        self._ending = True
        self._hurry.set()
        if self.alive:
            self._thread.join(timeout)
        return not self.alive

    def _run(self) -> None:
        due = time.monotonic()
        while True:
            ending = self._ending  # read before the queue: what was put before `stop` is handled
            self._drain()
            self._tick()
            if ending:
                return
            due = max(due + self._seconds, time.monotonic())
            self._hurry.wait(due - time.monotonic())
            self._hurry.clear()

    def _drain(self) -> None:
        self._watch(len(self._queue))
        for _ in range(len(self._queue)):  # and no more, or a flood would leave no time for ticks
            item = self._queue.popleft()
            if isinstance(item, threading.Event):
                item.set()
            else:
                self._handle(item)
            self._watch(len(self._queue))

    def _watch(self, depth: int) -> None:
        if depth > self._longest:
            if self._longest < self._large <= depth:
                _log.warning("%s does not keep up: %d items wait. Nothing is lost, but memory grows.", self.name, depth)
            self._longest = depth
