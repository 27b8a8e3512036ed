"""Statistics of ranks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


def midranks(values: Numbers) -> Numbers:
    """Return the ranks from 1, equal values sharing the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Numbers = (np.cumsum(counts) - (counts - 1) / 2.0)[place]
    return ranks


def auroc(score: Numbers, label: NDArray[np.bool_]) -> float | None:
    """Return the probability that a labelled case scores higher than another one, ties counting one half.

    It is U / (n1 n0) with the statistic U of Mann and Whitney (1947); None if either kind is missing.
    """
    ones = int(np.count_nonzero(label))
    zeros = len(label) - ones
    if not ones or not zeros:
        return None
    above = midranks(score)[label].sum() - ones * (ones + 1) / 2.0
    return float(above / (ones * zeros))


def spearman(first: Numbers, second: Numbers) -> float | None:
    """Return the rank correlation (Spearman 1904); None if either does not vary."""
    if len(first) < 2 or np.ptp(first) == 0.0 or np.ptp(second) == 0.0:
        return None
    return float(np.corrcoef(midranks(first), midranks(second))[0, 1])
