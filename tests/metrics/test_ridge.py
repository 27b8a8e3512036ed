from __future__ import annotations

import numpy as np
import pytest

from pamiq_exp.metrics.pose_sweep import Ridge, explained


def test_a_linear_law_is_found() -> None:
    generator = np.random.default_rng(0)
    inputs = generator.normal(size=(200, 3)) * [1.0, 10.0, 0.1]
    targets = inputs @ generator.normal(size=(3, 2)) + [5.0, -1.0]
    fitted = Ridge(inputs[:100], targets[:100], penalty=1e-9)
    assert explained(targets[100:], fitted(inputs[100:])) == pytest.approx(1.0, abs=1e-6)


def test_the_penalty_by_hand() -> None:
    """One input of variance 1: the weight is cov / (1 + penalty)."""
    fitted = Ridge(np.array([[-1.0], [1.0]]), np.array([[-2.0], [2.0]]), penalty=1.0)
    assert fitted(np.array([[3.0]])) == pytest.approx(np.array([[3.0]]))


def test_features_that_do_not_vary_change_nothing() -> None:
    inputs = np.array([[-1.0, 7.0], [1.0, 7.0]])
    fitted = Ridge(inputs, np.array([[-1.0], [1.0]]), penalty=1e-9)
    assert fitted(np.array([[1.0, 100.0]])) == pytest.approx(np.array([[1.0]]))


def test_the_mean_explains_nothing() -> None:
    targets = np.array([[1.0, 4.0], [3.0, 4.0]])
    assert explained(targets, np.full((2, 2), 2.0)) == 0.0
    assert explained(targets, targets) == 1.0
