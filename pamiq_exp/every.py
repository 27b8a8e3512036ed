"""Something that is done every N steps."""

from __future__ import annotations

from math import inf


class Every:
    """Says when a growing count has reached the next multiple of an interval.

    Args:
        interval: Distance between two times; None for never.
        first: The count at which it is due for the first time; None for the first multiple above 0.
    """

    def __init__(self, interval: int | None, first: int | None = None) -> None:
        self._interval = interval
        self.next: float = inf
        """The count from which it is due."""
        if interval is not None:
            self.next = interval if first is None else first

    def due(self, count: int) -> bool:
        """Whether the count has reached the next time. Changes nothing."""
        return count >= self.next

    def done(self, count: int) -> None:
        """Wait for the first multiple above `count`."""
        if self._interval is not None:
            self.next = (count // self._interval + 1) * self._interval
