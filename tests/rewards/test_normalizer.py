"""Normalizers against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pamiq_exp.component import collect_state, restore_state
from pamiq_exp.rewards import DiscountedStd, NoNormalizer

REWARDS = arrays(np.float32, st.tuples(st.integers(1, 30), st.just(2)), elements=st.floats(0, 10, width=32))
ALL = np.ones(2, dtype=np.bool_)


def brute_force(rewards: np.ndarray, discount: float) -> float:
    """Standard deviation of all discounted sums, each computed from its definition in float64."""
    sums = [
        sum(discount ** (t - past) * float(rewards[past, env]) for past in range(t + 1))
        for t in range(len(rewards))
        for env in range(rewards.shape[1])
    ]
    return float(np.sqrt(np.var(sums) + 1e-8))


@given(REWARDS, st.floats(0, 0.99))
def test_discounted_std_divides_rewards_by_the_std_of_their_discounted_sums(
    rewards: np.ndarray, discount: float
) -> None:
    normalizer = DiscountedStd(num_envs=2, gamma=discount, min_relative_std=0, warmup=1)
    for row in rewards:
        scaled = normalizer(row, ALL)
    np.testing.assert_allclose(scaled, rewards[-1] / brute_force(rewards, discount), rtol=1e-4, atol=1e-6)


def test_discounted_std_ignores_invalid_transitions() -> None:
    with_gaps, without = (DiscountedStd(num_envs=1, warmup=1) for _ in range(2))
    generator = np.random.default_rng(0)
    for step in range(50):
        reward = generator.random(1).astype(np.float32)
        if step % 5 == 0:
            with_gaps(np.array([1e6], dtype=np.float32), np.array([False]))
        expected = without(reward, np.array([True]))
        np.testing.assert_array_equal(with_gaps(reward, np.array([True])), expected)


def test_discounted_std_returns_zero_during_warmup() -> None:
    normalizer = DiscountedStd(num_envs=2, warmup=10)
    ones = np.array([1, 2], dtype=np.float32)
    outputs = [normalizer(ones, ALL).any() for _ in range(6)]
    assert outputs == [False] * 4 + [True] * 2


def test_discounted_std_does_not_amplify_a_vanishing_reward() -> None:
    generator = np.random.default_rng(0)
    floored, bare = (
        DiscountedStd(1, gamma=0.0, min_relative_std=floor, reference_steps=100, warmup=1) for floor in (0.5, 0.0)
    )
    valid = np.ones(1, dtype=np.bool_)
    for _ in range(100):
        reward = generator.random(1).astype(np.float32)
        floored(reward, valid), bare(reward, valid)
    for _ in range(20_000):
        floored(np.zeros(1, dtype=np.float32), valid), bare(np.zeros(1, dtype=np.float32), valid)
    tiny = np.array([1e-3], dtype=np.float32)
    assert floored(tiny, valid) < bare(tiny, valid)
    assert floored(tiny, valid) == pytest.approx(1e-3 / (0.5 * floored._largest), rel=1e-3)


def test_discounted_std_clips_positive_and_negative_rewards() -> None:
    normalizer = DiscountedStd(2, warmup=1, clip=0.05)
    for _ in range(20):
        scaled = normalizer(np.array([100.0, -100.0], dtype=np.float32), ALL)
    np.testing.assert_array_equal(scaled, np.array([0.05, -0.05], dtype=np.float32))


def test_discounted_std_continues_identically_after_a_restore() -> None:
    generator = np.random.default_rng(0)
    first, second = DiscountedStd(2, warmup=1), DiscountedStd(2, warmup=1)
    for _ in range(10):
        first(generator.random(2).astype(np.float32), ALL)
    restore_state(second, collect_state(first))
    for _ in range(10):
        reward = generator.random(2).astype(np.float32)
        np.testing.assert_array_equal(first(reward, ALL), second(reward, ALL))


def test_no_normalizer_returns_rewards_unchanged() -> None:
    reward = np.array([1, 2], dtype=np.float32)
    np.testing.assert_array_equal(NoNormalizer()(reward, ALL), reward)


def test_discounted_std_refuses_a_gamma_of_one() -> None:
    with pytest.raises(ValueError, match="gamma"):
        DiscountedStd(1, gamma=1.0)
