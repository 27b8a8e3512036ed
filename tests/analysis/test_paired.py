from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pamiq_exp.analysis.paired import equivalence, holm, paired_difference
from tests.cases import error_of

numbers = st.lists(st.integers(-1000, 1000).map(lambda n: n / 8), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(numbers)
def test_paired_difference_p_is_the_share_of_sign_patterns_as_far_from_zero(values: list[float]) -> None:
    sums = [
        math.fsum(s * v for s, v in zip(signs, values, strict=True))
        for signs in itertools.product((-1, 1), repeat=len(values))
    ]
    far = sum(abs(each) >= abs(math.fsum(values)) for each in sums) / len(sums)
    assert paired_difference(values).p == pytest.approx(far)


@settings(max_examples=60, deadline=None)
@given(numbers, st.sampled_from([0.5, 0.8, 0.95]))
def test_paired_difference_interval_is_between_means_of_subsets(values: list[float], confidence: float) -> None:
    result = paired_difference(values, confidence)
    means = sorted(
        sum(part) / len(part) for size in range(1, len(values) + 1) for part in itertools.combinations(values, size)
    )
    outside = math.floor((1 - confidence) / 2 * (len(means) + 1) + 1e-9)
    assert result.coverage == pytest.approx(1 - 2 * outside / (len(means) + 1))
    assert result.coverage >= confidence - 1e-9
    if outside:
        assert (result.mean.low, result.mean.high) == pytest.approx((means[outside - 1], means[-outside]))
        assert result.mean.low <= result.mean.value <= result.mean.high
    else:
        assert not result.mean.has_interval


def test_paired_difference_interval_covers_the_true_mean_at_its_stated_rate() -> None:
    generator = np.random.default_rng(0)
    for draw in (generator.normal, generator.laplace, lambda size: generator.uniform(-1, 1, size)):
        results = [paired_difference(draw(size=10)) for _ in range(1500)]
        covered = np.mean([each.mean.low <= 0 <= each.mean.high for each in results])
        assert covered == pytest.approx(results[0].coverage, abs=0.02)


def test_paired_difference_p_agrees_with_scipy() -> None:
    values = np.random.default_rng(1).normal(0.4, 1, 9)
    test = stats.permutation_test((values,), np.mean, permutation_type="samples", alternative="two-sided")
    assert paired_difference(values).p == pytest.approx(test.pvalue)
    assert paired_difference(values).effect == pytest.approx(values.mean() / values.std(ddof=1))


def test_equivalence_is_shown_only_by_differences_within_the_margin() -> None:
    near = np.array([0.01, -0.02, 0.015, -0.01, 0.0, 0.02, -0.005, 0.01, -0.015, 0.005])
    assert equivalence(near, 0.05) == pytest.approx(1 / 1024)
    assert equivalence(near + 0.2, 0.05) == 1.0
    assert equivalence(near - 0.2, 0.05) == 1.0
    assert equivalence(near * 100, 0.05) > 0.2  # too noisy to show it


def test_holm_corrects_as_in_a_worked_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]).tolist() == []


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_never_below_the_plain_value_nor_above_bonferroni(p_values: list[float]) -> None:
    corrected = holm(p_values)
    assert (corrected >= np.array(p_values)).all()
    assert (corrected <= np.minimum(1, len(p_values) * np.array(p_values)) + 1e-12).all()


def test_paired_difference_refuses_empty_nested_nan_and_too_many_values() -> None:
    for values in ([], [[1.0]], [math.nan], [0.0] * 17):
        message = error_of(ValueError, paired_difference, values)
        assert "1 to 16 differences" in message or "finite" in message, values


def test_equivalence_needs_a_margin() -> None:
    with pytest.raises(ValueError, match="margin must be positive"):
        equivalence([1.0], 0.0)
