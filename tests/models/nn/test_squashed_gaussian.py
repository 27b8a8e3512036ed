"""Squashed Gaussians against torch's own transformed distributions and sampling."""

from __future__ import annotations

import math

import pytest
import torch
from torch import distributions

from pamiq_exp.models.nn.inputs import ActionScale
from pamiq_exp.models.nn.squashed_gaussian import (
    MAX_LOG_STD,
    MIN_LOG_STD,
    SquashedGaussian,
    SquashedGaussianHead,
    has_bounds,
    log_tanh_derivative,
)
from pamiq_exp.seeding import torch_generator
from pamiq_exp.spaces import ActionSpec

BOX: ActionSpec = {"kind": "box", "shape": [2], "dtype": "float32", "low": [-2.0, 0.0], "high": [2.0, 1.0]}
MEAN = torch.tensor([[0.3, -0.8], [1.5, 0.0]])
LOG_STD = torch.tensor([[-0.5, 0.2], [0.0, -1.0]])


def reference() -> distributions.TransformedDistribution:
    scale = distributions.AffineTransform(torch.tensor([0.0, 0.5]), torch.tensor([2.0, 0.5]))
    transforms = [distributions.TanhTransform(), scale]
    return distributions.TransformedDistribution(distributions.Normal(MEAN, LOG_STD.exp()), transforms)


def test_squashed_gaussian_log_prob_matches_torch_transformed_normal() -> None:
    ours = SquashedGaussian(MEAN, LOG_STD, ActionScale(BOX))
    torch.manual_seed(0)
    for _ in range(20):
        action = reference().sample()
        assert torch.allclose(ours.branch_log_prob(action), reference().log_prob(action), atol=1e-3)


def test_squashed_gaussian_rsample_log_prob_matches_torch_and_has_gradients() -> None:
    mean, log_std = MEAN.clone().requires_grad_(), LOG_STD.clone().requires_grad_()
    ours = SquashedGaussian(mean, log_std, ActionScale(BOX))
    torch.manual_seed(0)
    scaled, log_prob = ours.rsample()
    action = ActionScale(BOX).write(scaled.detach())
    density = reference().log_prob(action) + torch.tensor([2.0, 0.5]).log()
    assert torch.allclose(log_prob, density.sum(-1), atol=1e-4)
    (scaled.sum() + log_prob.sum()).backward()
    assert mean.grad is not None
    assert log_std.grad is not None
    assert (mean.grad != 0).all()
    assert (log_std.grad != 0).all()


def test_squashed_gaussian_entropy_is_the_mean_of_minus_log_prob() -> None:
    ours = SquashedGaussian(MEAN, LOG_STD, ActionScale(BOX))
    draws = torch.stack([ours.sample(torch_generator(seed)) for seed in range(4000)])
    estimate = -reference().log_prob(draws).mean(0)
    assert torch.allclose(ours.branch_entropy(), estimate, atol=0.08)


def test_squashed_gaussian_stays_within_bounds_and_finite_for_large_means() -> None:
    ours = SquashedGaussian(torch.full((3, 2), 40.0), torch.full((3, 2), 2.0), ActionScale(BOX))
    action = ours.sample(torch_generator(0))
    assert (action <= torch.tensor([2.0, 1.0])).all()
    assert (action >= torch.tensor([-2.0, 0.0])).all()
    assert torch.equal(ours.mode(), torch.tensor([[2.0, 1.0]]).expand(3, 2))
    assert torch.isfinite(ours.log_prob(action)).all()
    assert torch.isfinite(ours.entropy()).all()
    assert torch.isfinite(ours.rsample()[1]).all()


def test_log_tanh_derivative_is_accurate_for_large_inputs() -> None:
    u = torch.tensor([0.0, 1.0, -3.0], dtype=torch.float64)
    assert torch.allclose(log_tanh_derivative(u), torch.log(1 - torch.tanh(u) ** 2))
    assert float(log_tanh_derivative(torch.tensor(30.0))) == pytest.approx(2 * (math.log(2) - 30))


def test_squashed_gaussian_head_limits_the_standard_deviation() -> None:
    head = SquashedGaussianHead(3, BOX)
    middle = torch.tensor([[0.0, 0.5]])
    densities = []
    for log_std in (MAX_LOG_STD, 100.0, MIN_LOG_STD, -100.0):
        with torch.no_grad():
            head.layer.bias.copy_(torch.tensor([0.0, 0.0, log_std, log_std]))
        densities.append(head(torch.zeros(1, 3)).log_prob(middle).item())
    assert densities[0] == densities[1] < densities[2] == densities[3]


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(-1.0, 1.0, True), (-math.inf, 1.0, False), (-1e30, 1e30, False)]
)
def test_has_bounds_needs_finite_bounds_on_both_sides(low: float, high: float, expected: bool) -> None:
    assert (
        has_bounds({"kind": "box", "shape": [2], "dtype": "float32", "low": [-1.0, low], "high": [1.0, high]})
        == expected
    )
