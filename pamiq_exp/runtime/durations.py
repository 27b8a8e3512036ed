"""A streaming histogram of durations."""

from __future__ import annotations

import math
from collections.abc import Iterable

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

    @classmethod
    def merged(cls, parts: Iterable[Durations]) -> Durations:
        """Return a histogram of all durations of several ones."""
        whole = cls()
        for part in parts:
            whole._counts = [one + other for one, other in zip(whole._counts, part._counts, strict=True)]
            whole.count += part.count
            whole.total += part.total
            whole.maximum = max(whole.maximum, part.maximum)
        return whole

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
