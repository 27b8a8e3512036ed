"""Statistics over seeds that hold with few of them.

Scores come as one array of shape `(runs,)` for each task (world, environment): the strata. Sources: the
interquartile mean, stratified bootstrap intervals, probability of improvement and performance profiles are those of
Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice", NeurIPS 2021.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
Statistic = Callable[[FloatArray], FloatArray]
"""Maps scores of shape `(..., n)` to `(...)`."""

RESAMPLES = 2000
CONFIDENCE = 0.95
COVERAGE = {2: 0.50, 3: 0.75, 4: 0.87, 5: 0.90, 6: 0.91, 7: 0.92}
"""How often the interval of `estimate` holds the true value, by the number of runs, if scores have a normal
distribution (8,000 simulations each; about 0.94 with 8 to 20). A percentile bootstrap knows the runs that it has only.
"""
_LARGEST_BATCH = 4_000_000


@dataclass(frozen=True)
class Estimate:
    """A statistic with its bootstrap interval, whose ends are NaN where a task has a single run."""

    value: float
    low: float
    high: float

    @property
    def has_interval(self) -> bool:
        """Whether there were runs enough to tell an interval."""
        return math.isfinite(self.low) and math.isfinite(self.high)


def mean(scores: FloatArray) -> FloatArray:
    """Return the mean over the last axis."""
    return np.asarray(np.mean(scores, axis=-1))


def interquartile_mean(scores: FloatArray) -> FloatArray:
    """Return the mean of the middle half over the last axis.

    A quarter of the scores, rounded down, is left out at each end: with fewer than four it is the mean.
    """
    count = scores.shape[-1]
    cut = count // 4
    if cut == 0:
        return mean(scores)
    return mean(np.partition(scores, (cut, count - cut - 1), axis=-1)[..., cut : count - cut])


def estimate(
    scores: Sequence[ArrayLike],
    statistic: Statistic = interquartile_mean,
    *,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Estimate:
    """Return a statistic of the pooled scores with its stratified percentile bootstrap interval.

    Runs are drawn anew within each task, so every resample holds as many runs of each task as there are. One run
    shows nothing of its spread, so there is no interval where a task has a single one.

    Args:
        scores: For each task `(runs,)`; tasks may have different numbers of runs.
        statistic: What is estimated, of all scores pooled.
        resamples: How many bootstrap samples are drawn.
        confidence: Share of them within the interval.
        seed: Seeds the draws.

    Raises:
        ValueError: There are no scores, or some are not finite.
    """
    strata = _strata(scores)
    generator = np.random.default_rng(seed)
    drawn = _in_batches(
        lambda count: statistic(np.concatenate([_resample(each, count, generator) for each in strata], axis=-1)),
        resamples,
        sum(map(len, strata)),
    )
    return _interval(float(statistic(np.concatenate(strata))), drawn, confidence, strata)


def difference(
    first: Sequence[ArrayLike],
    second: Sequence[ArrayLike],
    statistic: Statistic = interquartile_mean,
    *,
    paired: bool = False,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Estimate:
    """Return `statistic(first) - statistic(second)` with its stratified bootstrap interval.

    Args:
        first, second: For each task `(runs,)`, the same tasks in the same order.
        paired: Run i of both had the same seed: both are resampled together, which narrows the interval when
            seeds matter. Needs equally many runs.
        statistic, resamples, confidence, seed: As in `estimate`.

    Raises:
        ValueError: There are no scores, some are not finite, the tasks differ, or pairs are incomplete.
    """
    firsts, seconds = _strata(first), _strata(second)
    _require_same_tasks(firsts, seconds)
    if paired and any(len(a) != len(b) for a, b in zip(firsts, seconds, strict=True)):
        raise ValueError("paired scores need the same number of runs on both sides")
    generator = np.random.default_rng(seed)

    def draw(count: int) -> FloatArray:
        pairs = [_resample_both(a, b, count, generator, paired) for a, b in zip(firsts, seconds, strict=True)]
        sides = [np.concatenate(side, axis=-1) for side in zip(*pairs, strict=True)]
        return statistic(sides[0]) - statistic(sides[1])

    drawn = _in_batches(draw, resamples, sum(map(len, firsts)) + sum(map(len, seconds)))
    value = statistic(np.concatenate(firsts)) - statistic(np.concatenate(seconds))
    return _interval(float(value), drawn, confidence, [*firsts, *seconds])


def probability_of_improvement(
    first: Sequence[ArrayLike],
    second: Sequence[ArrayLike],
    *,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Estimate:
    """Return how probable it is that a run of `first` scores more than a run of `second`; ties count half.

    It is the mean over tasks of the Mann-Whitney U statistic divided by the number of pairs.

    Args:
        first, second: For each task `(runs,)`, the same tasks in the same order.
        resamples, confidence, seed: As in `estimate`.

    Raises:
        ValueError: There are no scores, some are not finite, or the tasks differ.
    """
    firsts, seconds = _strata(first), _strata(second)
    _require_same_tasks(firsts, seconds)
    generator = np.random.default_rng(seed)

    def draw(count: int) -> FloatArray:
        pairs = [_resample_both(a, b, count, generator, False) for a, b in zip(firsts, seconds, strict=True)]
        return np.asarray(np.mean([_superiority(a, b) for a, b in pairs], axis=0))

    largest = max(len(a) * len(b) for a, b in zip(firsts, seconds, strict=True))
    value = np.mean([_superiority(a, b) for a, b in zip(firsts, seconds, strict=True)])
    return _interval(float(value), _in_batches(draw, resamples, largest), confidence, [*firsts, *seconds])


def performance_profile(
    scores: Sequence[ArrayLike],
    thresholds: ArrayLike,
    *,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the share of runs that score more than each threshold, with pointwise intervals.

    Args:
        scores: For each task `(runs,)`.
        thresholds: `(points,)`.
        resamples, confidence, seed: As in `estimate`.

    Returns:
        Share, lower and upper end of its interval, each `(points,)`. Every task has the same weight.

    Raises:
        ValueError: There are no scores, or some are not finite.
    """
    strata = _strata(scores)
    points = np.asarray(thresholds, dtype=np.float64)
    generator = np.random.default_rng(seed)

    def draw(count: int) -> FloatArray:
        shares = [_exceedance(_resample(each, count, generator), points) for each in strata]
        return np.asarray(np.mean(shares, axis=0))

    drawn = _in_batches(draw, resamples, len(points) * max(map(len, strata)))
    share = np.mean([_exceedance(each, points) for each in strata], axis=0)
    low, high = _quantiles(drawn, confidence)
    return share, low, high


def curve_interval(
    curves: ArrayLike,
    *,
    resamples: int = 500,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the interquartile mean over runs at each point, with pointwise bootstrap intervals.

    Args:
        curves: `(runs, points)`. Whole runs are resampled.
        resamples, confidence, seed: As in `estimate`.

    Returns:
        Interquartile mean, lower and upper end, each `(points,)`; NaN where a run has no value.
    """
    values = np.asarray(curves, dtype=np.float64)
    if values.ndim != 2 or values.shape[0] == 0:
        raise ValueError(f"curves have the shape (runs, points), not {values.shape}")
    generator = np.random.default_rng(seed)

    def draw(count: int) -> FloatArray:
        chosen = generator.integers(0, len(values), (count, len(values)))
        return interquartile_mean(np.moveaxis(values[chosen], 1, -1))

    drawn = _in_batches(draw, resamples, values.size)
    low, high = _quantiles(drawn, confidence)
    return interquartile_mean(values.T), low, high


def common_grid(curves: Sequence[tuple[FloatArray, FloatArray]], points: int) -> tuple[FloatArray, FloatArray]:
    """Return curves at common places, to take their means.

    Args:
        curves: Places and values of each, `(points,)`; those that are not finite are left out.
        points: How many places there are.

    Returns:
        Places, `(points,)`, over the stretch that all curves have, and the values there, `(curves, points)`. Both are
        empty where there is no such stretch.
    """
    lines = []
    for places, values in curves:
        keep = np.isfinite(values) & np.isfinite(places)
        order = np.argsort(places[keep], kind="stable")
        lines.append((places[keep][order], values[keep][order]))
    if not lines or any(len(at) == 0 for at, _ in lines):
        return np.empty(0), np.empty((len(lines), 0))
    start, end = max(at[0] for at, _ in lines), min(at[-1] for at, _ in lines)
    if start > end:
        return np.empty(0), np.empty((len(lines), 0))
    grid = np.linspace(start, end, points if end > start else 1)
    return grid, np.array([np.interp(grid, at, values) for at, values in lines])


def importance(values: Sequence[object], scores: ArrayLike, *, bins: int = 5) -> float:
    """Return the share of the variance of scores that one hyper-parameter explains alone.

    It is epsilon squared (Kelley 1935), the correlation ratio less what chance would give: 0 for a parameter that
    does nothing, 1 for one that decides everything; interactions between parameters are not in it. Numbers of which
    there are more than `bins` different ones are put into bins of equally many runs.

    Args:
        values: The parameter's value in each run: numbers, or anything that can be printed.
        scores: `(runs,)`.
        bins: How many groups of numbers there are at most.

    Returns:
        A number in [0, 1]; NaN if there are too few runs to tell.
    """
    outcome = np.asarray(scores, dtype=np.float64)
    groups = value_groups(values, bins)
    count, kinds = len(outcome), len(np.unique(groups))
    total = float(np.sum((outcome - outcome.mean()) ** 2)) if count else 0.0
    if kinds < 2 or count <= kinds:
        return float("nan")
    if total == 0.0:
        return 0.0
    within = sum(
        float(np.sum((outcome[groups == group] - outcome[groups == group].mean()) ** 2)) for group in np.unique(groups)
    )
    return max(0.0, 1.0 - (within / (count - kinds)) / (total / (count - 1)))


def value_groups(values: Sequence[object], bins: int = 5) -> NDArray[np.int64]:
    """Return the group of each value, `(runs,)`: see `importance`."""
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) == len(values) and len(set(numbers)) > bins:
        edges = np.quantile(np.asarray(numbers, dtype=np.float64), np.linspace(0, 1, bins + 1)[1:-1])
        return np.searchsorted(edges, np.asarray(numbers, dtype=np.float64), side="right").astype(np.int64)
    names = [repr(value) for value in values]
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def _strata(scores: Sequence[ArrayLike]) -> list[FloatArray]:
    strata = [np.asarray(each, dtype=np.float64).ravel() for each in scores]
    if not strata or any(len(each) == 0 for each in strata):
        raise ValueError("every task needs at least one score")
    if not all(np.isfinite(each).all() for each in strata):
        raise ValueError("scores have to be finite: leave out the runs that gave NaN or infinity")
    return strata


def _require_same_tasks(first: Sequence[FloatArray], second: Sequence[FloatArray]) -> None:
    if len(first) != len(second):
        raise ValueError(f"both sides need the same tasks; there are {len(first)} and {len(second)}")


def _resample(scores: FloatArray, count: int, generator: np.random.Generator) -> FloatArray:
    return scores[generator.integers(0, len(scores), (count, len(scores)))]


def _resample_both(
    first: FloatArray, second: FloatArray, count: int, generator: np.random.Generator, paired: bool
) -> tuple[FloatArray, FloatArray]:
    if not paired:
        return _resample(first, count, generator), _resample(second, count, generator)
    chosen = generator.integers(0, len(first), (count, len(first)))
    return first[chosen], second[chosen]


def _superiority(first: FloatArray, second: FloatArray) -> FloatArray:
    larger = first[..., :, None] > second[..., None, :]
    equal = first[..., :, None] == second[..., None, :]
    return np.asarray((larger + 0.5 * equal).mean(axis=(-2, -1)))


def _exceedance(scores: FloatArray, thresholds: FloatArray) -> FloatArray:
    return np.asarray((scores[..., None, :] > thresholds[:, None]).mean(axis=-1))


def _in_batches(draw: Callable[[int], FloatArray], resamples: int, size: int) -> FloatArray:
    """Draw in batches that fit into memory. `size` is how many numbers one resample needs."""
    batch = max(1, _LARGEST_BATCH // max(size, 1))
    return np.concatenate([draw(min(batch, resamples - start)) for start in range(0, resamples, batch)])


def _quantiles(drawn: FloatArray, confidence: float) -> tuple[FloatArray, FloatArray]:
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(drawn, [tail, 1.0 - tail], axis=0)
    return low, high


def _interval(value: float, drawn: FloatArray, confidence: float, strata: Sequence[FloatArray]) -> Estimate:
    if min(map(len, strata)) < 2:
        return Estimate(value, math.nan, math.nan)
    low, high = _quantiles(drawn, confidence)
    return Estimate(value, float(low), float(high))
