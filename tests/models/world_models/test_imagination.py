"""Imagined trajectories and their lambda returns."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pamiq_exp.models import DynamicsNetwork, MultiCategorical, imagine, lambda_returns
from pamiq_exp.seeding import torch_generator

rates = st.floats(0.0, 1.0)


def series(seed: int, steps: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch_generator(seed)
    reward, value = (torch.randn(n, count, generator=generator, dtype=torch.float64) for n in (steps, steps + 1))
    return reward, torch.rand(steps, count, generator=generator, dtype=torch.float64), value


def brute_force(reward: Tensor, continuation: Tensor, value: Tensor, gamma: float, mix: float, t: int) -> Tensor:
    """The mixture of n-step returns, (1 - lambda) sum of lambda^(n-1) G^n, written out."""
    steps = len(reward)

    def look_ahead(n: int) -> Tensor:
        total, discount = torch.zeros_like(value[0]), torch.ones_like(value[0])
        for k in range(t, t + n):
            total = total + discount * reward[k]
            discount = discount * gamma * continuation[k]
        return total + discount * value[t + n]

    longest = steps - t
    mixture = sum(((1 - mix) * mix ** (n - 1)) * look_ahead(n) for n in range(1, longest))
    return mixture + mix ** (longest - 1) * look_ahead(longest)


@given(st.integers(0, 2**31), st.integers(1, 8), st.integers(1, 3), rates, st.sampled_from([0.0, 0.5, 0.95, 1.0]))
def test_lambda_returns_match_the_weighted_sum_of_n_step_returns(
    seed: int, steps: int, count: int, gamma: float, mix: float
) -> None:
    reward, continuation, value = series(seed, steps, count)
    returns = lambda_returns(reward, continuation, value, gamma, mix)
    for t in range(steps):
        torch.testing.assert_close(
            returns[t], brute_force(reward, continuation, value, gamma, mix, t), atol=1e-9, rtol=0
        )


def test_lambda_returns_refuse_shapes_that_would_broadcast() -> None:
    reward, continuation, value = series(0, 4, 3)
    with pytest.raises(ValueError, match="value"):
        lambda_returns(reward, continuation, value[:-1], 0.9, 0.9)
    with pytest.raises(ValueError, match="continuation"):
        lambda_returns(reward, continuation[:, :1], value, 0.9, 0.9)


class Counting(DynamicsNetwork):
    """The latent moves by the action; the memory counts the steps."""

    def __init__(self) -> None:
        super().__init__(1, 1)

    def forward(self, latent: Tensor, action: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return latent + action.float() + 10 * state, state + 1


def test_imagine_aligns_latents_actions_rewards_and_continuations_in_time() -> None:
    def act(latent: Tensor) -> MultiCategorical:
        chosen = (latent[:, 0].long() % 3).unsqueeze(-1)
        return MultiCategorical(50.0 * torch.nn.functional.one_hot(chosen, 3), torch.ones(1, 3, dtype=torch.bool))

    def heads(latent: Tensor, action: Tensor, prediction: Tensor) -> tuple[Tensor, Tensor]:
        return prediction[:, 0] - latent[:, 0], 1 / (1 + action[:, 0])

    start = torch.tensor([[0.0], [4.0]])
    imagined = imagine(act, Counting(), heads, start, torch.tensor([[2.0], [0.0]]), 5, torch_generator(0))
    latent, memory = start.clone(), torch.tensor([[2.0], [0.0]])
    for t in range(5):
        assert torch.equal(imagined.latent[t], latent)
        action = (latent % 3).long()
        assert torch.equal(imagined.action[t], action)
        prediction = latent + action + 10 * memory
        assert torch.equal(imagined.reward[t], (prediction - latent)[:, 0])
        assert torch.equal(imagined.continuation[t], 1 / (1 + action[:, 0].float()))
        latent, memory = prediction, memory + 1
    assert torch.equal(imagined.latent[5], latent)
