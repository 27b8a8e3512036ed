from __future__ import annotations

import numpy as np
import pytest

from pamiq_exp.metrics.pose_sweep import Ridge, explained


def test_ridge_fits_a_linear_function() -> None:
    generator = np.random.default_rng(0)
    inputs = generator.normal(size=(200, 3)) * [1.0, 10.0, 0.1]
    targets = inputs @ generator.normal(size=(3, 2)) + [5.0, -1.0]
    fitted = Ridge(inputs[:100], targets[:100], penalty=1e-9)
    assert explained(targets[100:], fitted(inputs[100:])) == pytest.approx(1.0, abs=1e-6)


def test_ridge_penalty_matches_a_hand_computed_weight() -> None:
    """One input of variance 1: the weight is cov / (1 + penalty)."""
    fitted = Ridge(np.array([[-1.0], [1.0]]), np.array([[-2.0], [2.0]]), penalty=1.0)
    assert fitted(np.array([[3.0]])) == pytest.approx(np.array([[3.0]]))


def test_ridge_ignores_constant_features() -> None:
    inputs = np.array([[-1.0, 7.0], [1.0, 7.0]])
    fitted = Ridge(inputs, np.array([[-1.0], [1.0]]), penalty=1e-9)
    assert fitted(np.array([[1.0, 100.0]])) == pytest.approx(np.array([[1.0]]))


def test_explained_is_zero_for_the_mean_and_one_for_exact_predictions() -> None:
    targets = np.array([[1.0, 4.0], [3.0, 4.0]])
    assert explained(targets, np.full((2, 2), 2.0)) == 0.0
    assert explained(targets, targets) == 1.0


def test_ridge_with_more_features_than_rows_matches_the_normal_equations() -> None:
    generator = np.random.default_rng(1)
    inputs, targets, others = (generator.normal(size=shape) for shape in ((20, 50), (20, 2), (5, 50)))
    mean, spread = inputs.mean(0), inputs.std(0)
    scaled = (inputs - mean) / spread
    weights = np.linalg.solve(scaled.T @ scaled / 20 + 0.1 * np.eye(50), scaled.T @ (targets - targets.mean(0)) / 20)
    expected = (others - mean) / spread @ weights + targets.mean(0)
    np.testing.assert_allclose(Ridge(inputs, targets, penalty=0.1)(others), expected, rtol=1e-9)


def test_ridge_fits_100_000_features_without_a_feature_by_feature_matrix() -> None:
    """Products of all pairs of features would take 80 GB."""
    generator = np.random.default_rng(2)
    inputs = generator.normal(size=(30, 100_000))
    fitted = Ridge(inputs, inputs[:, :2], penalty=1e-6)
    np.testing.assert_allclose(fitted(inputs), inputs[:, :2], atol=1e-3)
