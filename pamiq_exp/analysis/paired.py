"""Exact tests and intervals for paired differences."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pamiq_exp.analysis.statistics import Estimate

FloatArray = NDArray[np.float64]

MOST_PAIRS = 16
"""With more pairs, the number of sign patterns (2 to this power) is too large to go through all of them."""


@dataclass(frozen=True)
class PairedDifference:
    """The mean of paired differences.

    Attributes:
        mean: Their mean with its exact interval, whose ends are NaN if there are too few pairs for any.
        coverage: The probability with which such an interval holds the true mean.
        effect: Mean divided by the standard deviation of the differences (Cohen's d for pairs); 0 without any.
        p: Two-sided p-value of the sign-flip test that the mean is 0.
        pairs: How many.
    """

    mean: Estimate
    coverage: float
    effect: float
    p: float
    pairs: int


def paired_difference(differences: ArrayLike, confidence: float = 0.95) -> PairedDifference:
    """Return the mean of paired differences with its exact interval and p-value.

    All is exact for differences that are independent and symmetric around their mean, whatever their distribution: no
    normal approximation, no resampling. The p-value is the share of all patterns of signs whose mean is at least as far
    from 0. The interval lies between two of the sorted means of all non-empty subsets, each gap between which holds the
    true mean with the same probability (Hartigan, 1969, "Using subsample values as typical values").

    Args:
        differences: `(pairs,)`.
        confidence: Least coverage of the interval.
    """
    values = _checked(differences)
    means = np.sort(_subset_sums(values)[1:] / _subset_sums(np.ones_like(values))[1:])
    gaps = len(means) + 1
    outside = int((1.0 - confidence) / 2.0 * gaps)
    low, high = (float(means[outside - 1]), float(means[-outside])) if outside else (math.nan, math.nan)
    deviation = float(values.std(ddof=1)) if values.size > 1 else 0.0
    return PairedDifference(
        mean=Estimate(float(values.mean()), low, high),
        coverage=1.0 - 2.0 * outside / gaps,
        effect=float(values.mean()) / deviation if deviation else 0.0,
        p=min(1.0, 2.0 * min(_p_above(values), _p_above(-values))),
        pairs=values.size,
    )


def equivalence(differences: ArrayLike, margin: float) -> float:
    """Return the p-value of "the mean is not within -margin to margin": two one-sided sign-flip tests.

    Args:
        differences: `(pairs,)`.
        margin: The largest difference that counts as none.
    """
    if not margin > 0:
        raise ValueError(f"margin must be positive, not {margin!r}")
    values = _checked(differences)
    return max(_p_above(values + margin), _p_above(margin - values))


def holm(p_values: ArrayLike) -> FloatArray:
    """Return p-values that are corrected for their number (Holm, 1979): each is to be compared with the whole alpha."""
    values = np.asarray(p_values, np.float64)
    order = np.argsort(values, kind="stable")
    steps = values[order] * np.arange(len(values), 0, -1)
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return corrected


def _checked(differences: ArrayLike) -> FloatArray:
    values = np.asarray(differences, np.float64)
    if values.ndim != 1 or not 1 <= values.size <= MOST_PAIRS:
        raise ValueError(f"give 1 to {MOST_PAIRS} differences in one row, not {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("the differences must be finite")
    return values


def _subset_sums(values: FloatArray) -> FloatArray:
    """Return the sum of each subset, the empty one first, `(2 ** n,)`."""
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums, sums + value])
    return sums


def _p_above(values: FloatArray) -> float:
    """Return the p-value of "the mean is at most 0": the share of all sign patterns with at least this sum."""
    sums = 2.0 * _subset_sums(values) - values.sum()
    return float(np.mean(sums >= values.sum() - 1e-12 * np.abs(values).sum()))
