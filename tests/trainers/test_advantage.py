"""Generalized advantages against the sums that define them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pamiq_exp.trainers import Advantages, generalized_advantages, standardized
from tests.cases import error_of

rates = st.floats(0.0, 1.0)


class Rollout:
    """Random rewards and values (float64), and episodes that end as next-step autoreset ends them."""

    def __init__(self, seed: int, steps: int, num_envs: int, end_rate: float) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.reward = torch.randn(steps, num_envs, generator=generator, dtype=torch.float64)
        self.value = torch.randn(steps + 1, num_envs, generator=generator, dtype=torch.float64)
        ends = torch.rand(steps, num_envs, generator=generator) < end_rate
        kinds = torch.rand(steps, num_envs, generator=generator) < 0.5
        self.ended = torch.rand(steps, num_envs, generator=generator) < end_rate
        for t in range(steps):
            ends[t] &= ~self.ended[t]  # the transition into a new episode ends nothing
            if t + 1 < steps:
                self.ended[t + 1] = ends[t]
        self.terminated, self.truncated = ends & kinds, ends & ~kinds

    def advantages(self, gamma: float, gae_lambda: float) -> Advantages:
        return generalized_advantages(
            self.reward, self.value, self.terminated, self.truncated, self.ended, gamma, gae_lambda
        )

    def by_definition(self, gamma: float, gae_lambda: float) -> Tensor:
        """A_t = sum over l of (gamma lambda)^l delta_{t+l}, up to the end of the episode."""
        steps, num_envs = self.reward.shape
        result = torch.zeros_like(self.reward)
        for env in range(num_envs):
            for t in range(steps):
                if self.ended[t, env]:
                    continue
                for later in range(t, steps):
                    beyond = 0.0 if self.terminated[later, env] else float(self.value[later + 1, env])
                    delta = float(self.reward[later, env]) + gamma * beyond - float(self.value[later, env])
                    result[t, env] += (gamma * gae_lambda) ** (later - t) * delta
                    if self.terminated[later, env] or self.truncated[later, env]:
                        break
        return result


rollouts = st.builds(Rollout, st.integers(0, 2**31), st.integers(1, 12), st.integers(1, 4), st.floats(0, 0.5))


@given(rollouts, rates, rates)
def test_generalized_advantages_match_the_double_sum_that_defines_them(
    rollout: Rollout, gamma: float, gae_lambda: float
) -> None:
    actual = rollout.advantages(gamma, gae_lambda)
    torch.testing.assert_close(actual.advantage, rollout.by_definition(gamma, gae_lambda), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(actual.target, actual.advantage + rollout.value[:-1])
    assert torch.equal(actual.weight == 0, rollout.ended)
    assert torch.equal(actual.target[rollout.ended], rollout.value[:-1][rollout.ended])


@given(rollouts, rates)
def test_generalized_advantages_with_lambda_0_are_one_step_errors(rollout: Rollout, gamma: float) -> None:
    following = torch.where(rollout.terminated, 0.0, rollout.value[1:])
    error = rollout.reward + gamma * following - rollout.value[:-1]
    expected = torch.where(rollout.ended, 0.0, error)
    torch.testing.assert_close(rollout.advantages(gamma, 0.0).advantage, expected)


@given(rollouts, rates)
def test_generalized_advantages_with_lambda_1_are_discounted_returns_minus_values(
    rollout: Rollout, gamma: float
) -> None:
    actual = rollout.advantages(gamma, 1.0)
    steps, num_envs = rollout.reward.shape
    for env in range(num_envs):
        total = float(rollout.value[steps, env])
        for t in reversed(range(steps)):
            if rollout.ended[t, env]:
                total = float(rollout.value[t, env])  # only the step before looks at it: as a bootstrap
                continue
            if rollout.terminated[t, env]:
                total = 0.0
            elif rollout.truncated[t, env]:
                total = float(rollout.value[t + 1, env])
            total = float(rollout.reward[t, env]) + gamma * total
            assert float(actual.target[t, env]) == pytest.approx(total, abs=1e-9)


@given(rollouts, rates, rates)
def test_generalized_advantages_of_environments_are_independent(
    rollout: Rollout, gamma: float, gae_lambda: float
) -> None:
    together = rollout.advantages(gamma, gae_lambda).advantage
    fields = (rollout.reward, rollout.value, rollout.terminated, rollout.truncated, rollout.ended)
    apart = [
        generalized_advantages(*(field[:, env : env + 1] for field in fields), gamma, gae_lambda).advantage
        for env in range(together.shape[1])
    ]
    assert torch.equal(torch.cat(apart, dim=1), together)


@given(st.floats(-3, 3), st.floats(0, 0.99), rates, st.integers(1, 20))
def test_generalized_advantages_are_zero_when_values_predict_a_constant_reward(
    reward: float, gamma: float, gae_lambda: float, steps: int
) -> None:
    never = torch.zeros(steps, 2, dtype=torch.bool)
    rewards = torch.full((steps, 2), reward, dtype=torch.float64)
    values = torch.full((steps + 1, 2), reward / (1 - gamma), dtype=torch.float64)
    actual = generalized_advantages(rewards, values, never, never, never, gamma, gae_lambda)
    torch.testing.assert_close(actual.advantage, torch.zeros_like(rewards), rtol=0, atol=1e-9)


def test_generalized_advantages_do_not_leak_across_a_final_observation() -> None:
    rollout = Rollout(seed=0, steps=6, num_envs=1, end_rate=0.0)
    rollout.truncated[2], rollout.ended[3] = True, True
    before = rollout.advantages(0.9, 0.9).advantage[:3].clone()
    rollout.reward[3:] += 100
    rollout.value[4:] += 100
    assert torch.equal(rollout.advantages(0.9, 0.9).advantage[:3], before)
    rollout.value[3] += 1.0
    assert float(rollout.advantages(0.9, 0.9).advantage[2] - before[2]) == pytest.approx(0.9)


def test_generalized_advantages_refuse_shapes_that_would_broadcast() -> None:
    for field in ("value", "terminated", "truncated", "ended"):
        rollout = Rollout(seed=0, steps=4, num_envs=3, end_rate=0.0)
        setattr(rollout, field, getattr(rollout, field)[:, :1])
        assert field in error_of(ValueError, rollout.advantages, 0.9, 0.9)


@given(rollouts)
def test_standardized_advantages_have_mean_0_and_variance_1_within_episodes(rollout: Rollout) -> None:
    advantages = rollout.advantages(0.9, 0.9)
    result = standardized(advantages.advantage, advantages.weight)
    counted = result[~rollout.ended]
    assert torch.all(result[rollout.ended] == 0)
    if len(counted) > 2:
        assert float(counted.mean()) == pytest.approx(0, abs=1e-9)
        assert float(counted.var(correction=0)) == pytest.approx(1, abs=1e-4)


@given(rollouts, rates, rates)
def test_generalized_advantages_across_episodes_match_a_rollout_without_ends(
    rollout: Rollout, gamma: float, gae_lambda: float
) -> None:
    fields = (rollout.reward, rollout.value, rollout.terminated, rollout.truncated, rollout.ended)
    actual = generalized_advantages(*fields, gamma, gae_lambda, episodic=False)
    for env in range(rollout.reward.shape[1]):
        kept = [t for t in range(len(rollout.reward)) if not rollout.ended[t, env]]
        if not kept:
            continue
        values = torch.stack([*(rollout.value[t, env] for t in kept), rollout.value[-1, env]])[:, None]
        rewards = rollout.reward[kept, env][:, None]
        never = torch.zeros_like(rewards, dtype=torch.bool)
        expected = generalized_advantages(rewards, values, never, never, never, gamma, gae_lambda)
        torch.testing.assert_close(actual.advantage[kept, env], expected.advantage[:, 0], rtol=1e-9, atol=1e-9)
    assert torch.equal(actual.weight == 0, rollout.ended)
    assert not actual.advantage[rollout.ended].any()
