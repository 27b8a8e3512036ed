from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pamiq_exp.metrics.reward_scores import auroc, midranks, spearman

NUMBERS = st.floats(-1e6, 1e6, allow_subnormal=False).map(lambda value: round(value, 1))


def test_midranks_of_equal_values_are_equal() -> None:
    assert midranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [3.5, 1, 3.5, 2]


def test_auroc_matches_hand_computed_values() -> None:
    score, label = np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True])
    assert auroc(score, label) == 0.75, "three of four pairs are in order"
    assert auroc(np.zeros(4), label) == 0.5
    assert auroc(score, np.zeros(4, dtype=np.bool_)) is None


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2))
def test_auroc_is_the_share_of_pairs_in_order(pairs: list[tuple[int, bool]]) -> None:
    score, label = np.array([float(s) for s, _ in pairs]), np.array([b for _, b in pairs])
    ones, zeros = score[label], score[~label]
    if not ones.size or not zeros.size:
        assert auroc(score, label) is None
        return
    difference = ones[:, None] - zeros[None]
    assert auroc(score, label) == pytest.approx(((difference > 0) + 0.5 * (difference == 0)).mean())


@given(arrays(np.float64, (2, 12), elements=NUMBERS))
def test_spearman_matches_scipy(values: np.ndarray) -> None:
    ours = spearman(values[0], values[1])
    if np.ptp(values[0]) == 0 or np.ptp(values[1]) == 0:
        assert ours is None
    else:
        assert ours == pytest.approx(scipy.stats.spearmanr(values[0], values[1]).statistic, abs=1e-9)
