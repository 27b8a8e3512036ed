"""A thread that works through a queue."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

_log = logging.getLogger(__name__)

ItemT = TypeVar("ItemT")


class Lane(Generic[ItemT]):
    """One thread that handles items in order, fed by a queue that never blocks and never drops.

    `put` is one call into C: `SimpleQueue` takes no lock that a slow reader could hold, so the thread that
    acts can call it at any time. A condition variable would let it wait for a reader that has lost the
    interpreter in the middle of its critical section.

    Args:
        name: Name of the thread.
        handle: Called with each item. Must not raise.
        tick: Called about every `tick_seconds`, also when there is nothing to do. Must not raise.
        tick_seconds: See `tick`.
        large: Queue length from which it is told, once, that the reader does not keep up.
    """

    def __init__(
        self,
        name: str,
        handle: Callable[[ItemT], None],
        tick: Callable[[], None] | None = None,
        tick_seconds: float = 0.5,
        large: int = 10_000,
    ) -> None:
        self.name = name
        self.high_water = 0
        """Largest number of items that ever waited."""
        self._handle = handle
        self._tick = tick
        self._tick_seconds = tick_seconds
        self._large = large
        self._queue: SimpleQueue[ItemT | threading.Event | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.put = self._queue.put
        """Append an item: never waits."""

    def start(self) -> None:
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def depth(self) -> int:
        """Items that wait now."""
        return self._queue.qsize()

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all that was put before is handled; False if that takes longer than `timeout` seconds."""
        if not self.alive:
            return self.depth == 0
        done = threading.Event()
        self._queue.put(done)
        return done.wait(timeout)

    def stop(self, timeout: float | None = None) -> bool:
        """Handle what is left and end the thread; False if that takes longer than `timeout` seconds."""
        if self.alive:
            self._queue.put(None)
            self._thread.join(timeout)
        return not self.alive

    def _run(self) -> None:
        next_tick = time.monotonic() + self._tick_seconds
        while True:
            try:
                timeout = max(0.0, next_tick - time.monotonic()) if self._tick else None
                item = self._queue.get(timeout=timeout)
            except Empty:
                pass
            else:
                if item is None:
                    return
                self._watch_depth()
                if isinstance(item, threading.Event):
                    item.set()
                else:
                    self._handle(item)
            if self._tick and time.monotonic() >= next_tick:
                self._tick()
                next_tick = time.monotonic() + self._tick_seconds

    def _watch_depth(self) -> None:
        depth = self._queue.qsize() + 1
        if depth > self.high_water:
            if self.high_water < self._large <= depth:
                _log.warning("%s does not keep up: %d items wait. Nothing is lost, but memory grows.", self.name, depth)
            self.high_water = depth
