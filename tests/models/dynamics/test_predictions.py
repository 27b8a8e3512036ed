"""Distributions over latent vectors: samples follow the density."""

from __future__ import annotations

import math
from functools import partial

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from torch import Tensor, distributions

from pamiq_exp.models.dynamics import (
    FixedNormal,
    FixedNormalHead,
    HeadFactory,
    Mixture,
    MixtureHead,
    Normal,
    NormalHead,
    Prediction,
)

HEADS: dict[str, HeadFactory] = {
    "fixed": FixedNormalHead,
    "normal": NormalHead,
    "mixture": partial(MixtureHead, components=3),
}
every_head = pytest.mark.parametrize("name", list(HEADS))


def drawn(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def torch_distribution(prediction: Prediction) -> distributions.Distribution:
    """The same prediction from the library, whole vectors as events."""
    if isinstance(prediction, Mixture):
        parts = distributions.Normal(prediction.means, (prediction.log_variances / 2).exp())
        choice = distributions.Categorical(logits=prediction.log_weights)
        return distributions.MixtureSameFamily(choice, distributions.Independent(parts, 1))
    return distributions.Independent(distributions.Normal(prediction.mean, prediction.variance.sqrt()), 1)


def some_prediction(name: str, seed: int, batch: tuple[int, ...] = (5,), features: int = 4) -> Prediction:
    head = HEADS[name](6, features).double()
    return head.distribution(head(drawn(*batch, 6, seed=seed, scale=3.0)), drawn(*batch, features, seed=seed + 1))


@every_head
@given(seed=st.integers(0, 2**31), batch=st.sampled_from([(), (3,), (2, 3)]), features=st.sampled_from([1, 4]))
def test_prediction_density_mean_and_variance_match_torch(
    name: str, seed: int, batch: tuple[int, ...], features: int
) -> None:
    prediction = some_prediction(name, seed, batch, features)
    target = drawn(*batch, features, seed=seed + 2)
    assert prediction.log_prob(target).shape == batch
    right = torch_distribution(prediction)
    torch.testing.assert_close(prediction.log_prob(target), right.log_prob(target))
    torch.testing.assert_close(prediction.mean, right.mean)
    torch.testing.assert_close(prediction.variance, right.variance)


@given(seed=st.integers(0, 2**31))
def test_fixed_normal_log_prob_is_minus_pi_times_the_squared_error(seed: int) -> None:
    mean, target = drawn(3, 7, seed=seed), drawn(3, 7, seed=seed + 1)
    squares = (mean - target).square()
    torch.testing.assert_close(-FixedNormal(mean).log_prob(target), math.pi * squares.sum(-1))
    torch.testing.assert_close(FixedNormal(mean).loss(target), squares.mean(-1))


@pytest.mark.parametrize("name", ["normal", "mixture"])
def test_prediction_loss_is_the_negative_log_likelihood_per_feature(name: str) -> None:
    prediction, target = some_prediction(name, 3), drawn(5, 4, seed=9)
    torch.testing.assert_close(prediction.loss(target), -torch_distribution(prediction).log_prob(target) / 4)


def two_modes(features: int) -> Mixture:
    """Two narrow modes far apart: samples that mix the modes of features would have a very low density."""
    means = torch.tensor([[-2.0], [2.0]], dtype=torch.float64).expand(2, features)
    return Mixture(torch.tensor([0.2, -0.3], dtype=torch.float64), means, torch.full_like(means, -1.0))


def monte_carlo_entropy(prediction: Mixture, count: int = 200_000) -> float:
    parameters = (prediction.log_weights, prediction.means, prediction.log_variances)
    many = Mixture(*(each.expand(count, *each.shape) for each in parameters))
    return -float(many.log_prob(many.sample(torch.Generator().manual_seed(0))).mean())


def integrated_entropy(prediction: Prediction, features: int) -> float:
    """By a sum over a grid, in the linear measure."""
    line = torch.linspace(-8, 8, 801, dtype=torch.float64)
    grid = torch.stack(torch.meshgrid(*[line] * features, indexing="ij"), -1)
    log_density = prediction.log_prob(grid)
    assert float(log_density.exp().sum()) * 0.02**features == pytest.approx(1, abs=1e-6)
    return -float((log_density.exp() * log_density).sum()) * 0.02**features


@pytest.mark.parametrize("features", [1, 2])
def test_mixture_samples_follow_its_density(features: int) -> None:
    prediction = two_modes(features)
    assert monte_carlo_entropy(prediction) == pytest.approx(integrated_entropy(prediction, features), abs=0.01)


@every_head
def test_prediction_samples_have_its_mean_and_variance(name: str) -> None:
    head = HEADS[name](6, 3).double()
    prediction = head.distribution(head(drawn(6, scale=2.0).expand(100_000, 6)))
    sample = prediction.sample(torch.Generator().manual_seed(1))
    standard_error = (prediction.variance[0] / len(sample)).sqrt()
    assert ((sample.mean(0) - prediction.mean[0]).abs() < 5 * standard_error).all()
    torch.testing.assert_close(sample.var(0), prediction.variance[0], atol=0.02, rtol=0.03)
    assert torch.equal(sample, prediction.sample(torch.Generator().manual_seed(1)))


@every_head
def test_prediction_head_offset_shifts_the_distribution(name: str) -> None:
    head = HEADS[name](6, 4).double()
    parameters, offset, target = head(drawn(5, 6)), drawn(5, 4, seed=1), drawn(5, 4, seed=2)
    torch.testing.assert_close(
        head.distribution(parameters, offset).log_prob(target + offset), head.distribution(parameters).log_prob(target)
    )


@every_head
def test_prediction_loss_of_bfloat16_heads_is_finite_float32(name: str) -> None:
    head = HEADS[name](6, 4).bfloat16()
    prediction = head.distribution(head(100 * torch.randn(5, 6).bfloat16()))
    losses = prediction.loss(torch.randn(5, 4))
    assert losses.dtype == torch.float32
    losses.sum().backward()
    assert losses.isfinite().all()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in head.parameters())


def test_normal_with_beta_1_has_the_mean_gradient_of_the_squared_error() -> None:
    """With the power 1 the gradient of the mean is that of the plain squared error."""
    mean = drawn(3, 4).requires_grad_()
    log_variance, target = drawn(3, 4, seed=1), drawn(3, 4, seed=2)
    Normal(mean, log_variance, beta=1.0).loss(target).sum().backward()
    torch.testing.assert_close(mean.grad, (mean - target).detach() / 4)


@pytest.mark.parametrize("name", ["normal", "mixture"])
def test_prediction_head_learns_the_distribution_of_noise(name: str) -> None:
    """The likelihood cannot come below the entropy of what is drawn, and comes close to it."""
    torch.manual_seed(0)
    head = HEADS[name](1, 2)
    generator = torch.Generator().manual_seed(0)

    def noise(count: int) -> Tensor:
        side = 2.0 * torch.randint(0, 2, (count, 1), generator=generator) - 1 if name == "mixture" else 0.5
        return side + torch.tensor([0.3, 0.6]) * torch.randn(count, 2, generator=generator)

    optimizer = torch.optim.Adam(head.parameters(), lr=3e-2)
    for _ in range(400):
        loss = head.distribution(head(torch.ones(128, 1))).loss(noise(128)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    normal = 0.5 * (1 + math.log(2 * math.pi)) + 0.5 * math.log(0.3 * 0.6)
    # Two modes at 2/0.3 standard deviations are as good as apart: one bit more.
    entropy = normal + (math.log(2) / 2 if name == "mixture" else 0)
    with torch.no_grad():
        reached = float(head.distribution(head(torch.ones(20_000, 1))).loss(noise(20_000)).mean())
    assert entropy - 0.02 < reached < entropy + 0.05
