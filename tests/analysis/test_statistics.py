from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pamiq_exp.analysis import statistics as s
from tests.cases import error_of

finite = st.floats(-1e6, 1e6, width=32)
score_lists = st.lists(finite, min_size=1, max_size=30)


@given(score_lists)
def test_statistics_interquartile_mean_equals_scipy_trim_mean(scores: list[float]) -> None:
    expected = scipy.stats.trim_mean(scores, 0.25)
    assert s.interquartile_mean(np.array(scores)) == pytest.approx(expected, rel=1e-9, abs=1e-6)


@given(hnp.arrays(np.float64, (4, 9), elements=finite))
def test_statistics_interquartile_mean_of_a_batch_equals_that_of_each_row(scores: np.ndarray) -> None:
    together = s.interquartile_mean(scores)
    assert together == pytest.approx([float(s.interquartile_mean(row)) for row in scores])


def test_statistics_interquartile_mean_ignores_an_outlier() -> None:
    assert s.interquartile_mean(np.array([1.0, 2.0, 3.0, 1e9])) == pytest.approx(2.5)


@given(score_lists, st.integers(0, 100))
def test_statistics_estimate_interval_lies_within_the_scores(scores: list[float], seed: int) -> None:
    scores = [*scores, *scores]
    result = s.estimate([scores], s.mean, resamples=50, seed=seed)
    margin = 1e-9 * max(1.0, *map(abs, scores))
    assert min(scores) - margin <= result.low <= result.high <= max(scores) + margin


@given(score_lists, st.floats(0.1, 10), st.floats(-100, 100))
def test_statistics_estimate_interval_shifts_and_scales_with_the_scores(
    scores: list[float], scale: float, shift: float
) -> None:
    values = np.array([*scores, *scores])
    before = s.estimate([values], resamples=40)
    after = s.estimate([scale * values + shift], resamples=40)
    size = scale * np.abs(values).max() + abs(shift) + 1
    for name in ("value", "low", "high"):
        expected = scale * getattr(before, name) + shift
        assert getattr(after, name) == pytest.approx(expected, abs=1e-9 * size)


def test_statistics_estimate_of_equal_scores_has_a_zero_width_interval() -> None:
    assert s.estimate([[0.3, 0.3, 0.3]]) == s.Estimate(pytest.approx(0.3), pytest.approx(0.3), pytest.approx(0.3))


def test_statistics_estimate_interval_matches_the_binomial_distribution() -> None:
    scores = np.array([0.0] * 8 + [1.0] * 12)
    result = s.estimate([scores], s.mean, resamples=40_000)
    low, high = scipy.stats.binom.ppf([0.025, 0.975], 20, 0.6) / 20
    assert (result.low, result.high) == (pytest.approx(low), pytest.approx(high))


def test_statistics_estimate_resamples_within_strata() -> None:
    apart = [np.zeros(5), np.full(5, 100.0)]
    assert s.estimate(apart, s.mean) == s.Estimate(50.0, 50.0, 50.0)
    pooled = s.estimate([np.concatenate(apart)], s.mean)
    assert pooled.high - pooled.low > 30


def test_statistics_estimate_depends_only_on_scores_and_seed() -> None:
    scores = [np.random.default_rng(0).normal(size=12)]
    assert s.estimate(scores, seed=3) == s.estimate(scores, seed=3)
    assert s.estimate(scores, seed=3) != s.estimate(scores, seed=4)


def test_statistics_estimate_with_a_small_batch_size_gives_a_similar_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = [np.random.default_rng(0).normal(size=12)]
    whole = s.estimate(scores, resamples=4000)
    monkeypatch.setattr(s, "_LARGEST_BATCH", 100)
    parts = s.estimate(scores, resamples=4000)
    assert parts.value == whole.value
    assert (parts.low, parts.high) == (pytest.approx(whole.low, abs=0.1), pytest.approx(whole.high, abs=0.1))


def test_statistics_estimate_intervals_cover_the_true_mean_in_about_95_percent() -> None:
    generator = np.random.default_rng(0)
    samples = generator.normal(size=(300, 40))
    results = [s.estimate([sample], s.mean, resamples=300) for sample in samples]
    hits = np.mean([result.low <= 0.0 <= result.high for result in results])
    assert 0.90 <= hits <= 0.98


def test_statistics_estimate_intervals_of_few_runs_cover_as_rarely_as_stated() -> None:
    generator = np.random.default_rng(0)
    trials = 500
    for runs, stated in s.COVERAGE.items():
        results = [s.estimate([sample], resamples=300) for sample in generator.normal(size=(trials, runs))]
        hits = np.mean([result.low <= 0.0 <= result.high for result in results])
        assert abs(hits - stated) < 4 * np.sqrt(stated * (1 - stated) / trials), runs


@given(score_lists, score_lists)
def test_statistics_probability_of_improvement_equals_mann_whitney_u(first: list[float], second: list[float]) -> None:
    expected = scipy.stats.mannwhitneyu(first, second, alternative="greater").statistic / (len(first) * len(second))
    result = s.probability_of_improvement([first], [second], resamples=1)
    back = s.probability_of_improvement([second], [first], resamples=1)
    assert result.value == pytest.approx(expected)
    assert result.value + back.value == pytest.approx(1.0)


def test_statistics_probability_of_improvement_weights_tasks_equally() -> None:
    first, second = [np.ones(2), np.zeros(30)], [np.zeros(3), np.ones(20)]
    assert s.probability_of_improvement(first, second).value == pytest.approx(0.5)


@given(st.lists(score_lists, min_size=1, max_size=3))
def test_statistics_performance_profile_falls_from_one_to_zero(strata: list[list[float]]) -> None:
    lowest, highest = min(map(min, strata)), max(map(max, strata))
    share, low, high = s.performance_profile(strata, np.linspace(lowest - 1, highest, 9), resamples=20)
    assert share[0] == 1.0
    assert share[-1] == 0.0
    assert (np.diff(share) <= 1e-12).all()
    assert (low <= high).all()


def test_statistics_difference_paired_by_seed_has_a_narrower_interval() -> None:
    base = np.linspace(0, 10, 8)
    alone = s.difference([base + 1], [base], s.mean)
    paired = s.difference([base + 1], [base], s.mean, paired=True)
    assert paired.value == pytest.approx(1.0)
    assert (paired.low, paired.high) == (pytest.approx(1.0), pytest.approx(1.0))
    assert alone.low < 0 < alone.high


def test_statistics_of_a_single_run_have_no_interval() -> None:
    alone = s.estimate([[0.7]])
    assert alone.value == 0.7
    assert not alone.has_interval
    assert not s.estimate([[0.7], [0.1, 0.2]]).has_interval
    assert not s.difference([[1.0, 2.0]], [[0.5]]).has_interval
    assert not s.probability_of_improvement([[1.0]], [[0.5]]).has_interval


def test_statistics_estimate_refuses_empty_and_non_finite_scores() -> None:
    cases: list[list[list[float]]] = [[], [[]], [[1.0], []], [[1.0, math.nan]], [[math.inf]]]
    for scores in cases:
        assert "score" in error_of(ValueError, s.estimate, scores), scores


def test_statistics_difference_refuses_different_tasks_or_unpaired_runs() -> None:
    with pytest.raises(ValueError, match="same tasks"):
        s.difference([[1.0]], [[1.0], [2.0]])
    with pytest.raises(ValueError, match="same number of runs"):
        s.difference([[1.0, 2.0]], [[1.0]], paired=True)


def test_statistics_curve_interval_matches_the_estimate_of_each_point() -> None:
    curves = np.random.default_rng(0).normal(size=(12, 3))
    middle, low, high = s.curve_interval(curves, resamples=4000)
    for point in range(3):
        alone = s.estimate([curves[:, point]], resamples=4000)
        assert middle[point] == pytest.approx(alone.value)
        assert low[point] == pytest.approx(alone.low, abs=0.06)
        assert high[point] == pytest.approx(alone.high, abs=0.06)


def test_statistics_importance_is_high_only_for_a_setting_with_an_effect() -> None:
    generator = np.random.default_rng(0)
    deciding, idle = generator.choice([1, 2, 3], 300), generator.choice(["a", "b"], 300)
    scores = deciding * 1.0 + generator.normal(scale=0.1, size=300)
    assert s.importance(deciding.tolist(), scores) > 0.95
    assert s.importance(idle.tolist(), scores) < 0.02


def test_statistics_importance_equals_epsilon_squared_by_hand() -> None:
    # Groups (1, 3) and (5, 7): 4 within, 20 in total; 1 - (4 / 2) / (20 / 3) = 0.7.
    assert s.importance(["a", "a", "b", "b"], [1.0, 3.0, 5.0, 7.0]) == pytest.approx(0.7)


def test_statistics_importance_finds_a_non_monotonic_effect() -> None:
    rates = np.random.default_rng(0).uniform(-1, 1, 200)
    assert s.importance(rates.tolist(), -(rates**2)) > 0.7
    assert math.isnan(s.importance([1, 1, 1], [1.0, 2.0, 3.0]))
    assert math.isnan(s.importance([1, 2, 3], [1.0, 2.0, 3.0]))


REFERENCE = json.loads((Path(__file__).parent / "rliable_1_2_0.json").read_text())
"""Scores, and the results of the reference library rliable 1.2.0 for them: `reference.py` made the file."""


def test_statistics_equal_the_stored_results_of_rliable() -> None:
    check_against(REFERENCE)


@pytest.mark.slow
def test_statistics_equal_the_results_of_the_installed_rliable() -> None:
    pytest.importorskip(
        "rliable.library", reason="rliable is not installed (it needs pandas below 3)", exc_type=Exception
    )
    from tests.analysis.reference import ask_rliable

    check_against(ask_rliable(np.random.default_rng(7)))


def check_against(expected: dict[str, list[float]]) -> None:
    """Point estimates have to be equal; intervals, which are drawn at random, as near as their draws allow."""
    first, second = np.array(expected["first"]).T, np.array(expected["second"]).T
    for statistic, name in ((s.mean, "mean"), (s.interquartile_mean, "iqm")):
        ours = s.estimate(list(first), statistic, resamples=20_000)
        value, low, high = expected[name]
        assert ours.value == pytest.approx(value, rel=1e-12)
        assert (ours.low, ours.high) == (pytest.approx(low, abs=0.004), pytest.approx(high, abs=0.004))
    better = s.probability_of_improvement(list(first), list(second), resamples=20_000)
    value, low, high = expected["improvement"]
    assert better.value == pytest.approx(value, rel=1e-12)
    assert (better.low, better.high) == (pytest.approx(low, abs=0.011), pytest.approx(high, abs=0.011))
    share, lows, highs = s.performance_profile(list(first), expected["thresholds"], resamples=20_000)
    assert share == pytest.approx(expected["profile"], rel=1e-12)
    assert lows == pytest.approx(expected["profile_low"], abs=0.034)  # they move in steps of one run of 30
    assert highs == pytest.approx(expected["profile_high"], abs=0.034)


def test_statistics_common_grid_spans_the_range_that_all_curves_share() -> None:
    ten, six = np.array([0.0, 10.0]), np.array([2.0, 6.0])
    grid, values = s.common_grid([(ten, ten), (six, np.ones(2))], points=5)
    assert grid.tolist() == [2.0, 3.0, 4.0, 5.0, 6.0]
    assert values.tolist() == [[2.0, 3.0, 4.0, 5.0, 6.0], [1.0] * 5]
    gap = (np.array([6.0, 0.0, 3.0]), np.array([6.0, 0.0, np.nan]))
    assert s.common_grid([gap], points=3)[1].tolist() == [[0.0, 3.0, 6.0]]
    assert len(s.common_grid([(six, six), (six + 10, six)], points=5)[0]) == 0
