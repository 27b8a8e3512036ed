"""A streaming histogram of durations."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

_SHORTEST = 1e-7
_RATIO = math.log(1.02)
_BUCKETS = 1200


class Durations:
    """A streaming histogram of seconds with 2 % wide buckets, from 0.1 us to half an hour.

    Adding costs the same at any time and quantiles are right to 2 %. One thread adds, others may read:
    they then see values that are at most a few entries old.
    """

    def __init__(self) -> None:
        self._counts = [0] * _BUCKETS
        self.count = 0
        self.total = 0.0
        self.maximum = 0.0

    def add(self, seconds: float) -> None:
        """Count one duration."""
        index = int(math.log(seconds / _SHORTEST) / _RATIO) if seconds > _SHORTEST else 0
        self._counts[min(index, _BUCKETS - 1)] += 1
        self.count += 1
        self.total += seconds
        if seconds > self.maximum:
            self.maximum = seconds

    @property
    def mean(self) -> float:
        """Mean seconds; 0 without entries."""
        return self.total / self.count if self.count else 0.0

    def quantile(self, share: float) -> float:
        """Seconds that `share` of the durations do not exceed; 0 without entries."""
        wanted = share * self.count
        seen = 0
        for index, count in enumerate(self._counts):
            seen += count
            if count and seen >= wanted:
                return min(_SHORTEST * math.exp((index + 1) * _RATIO), self.maximum)
        return self.maximum


class MergedDurations(Durations):
    """All durations of several histograms, put together when they are asked for. Nothing is added to it.

    Args:
        parts: Returns the histograms.
    """

    def __init__(self, parts: Callable[[], Iterable[Durations]]) -> None:
        super().__init__()
        self._parts = parts

    def quantile(self, share: float) -> float:
        """See `Durations.quantile`."""
        parts = list(self._parts())
        self._counts = [sum(counts) for counts in zip(*(part._counts for part in parts), strict=True)]
        self.count = sum(part.count for part in parts)
        self.total = sum(part.total for part in parts)
        self.maximum = max((part.maximum for part in parts), default=0.0)
        return super().quantile(share)
