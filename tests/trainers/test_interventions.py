"""Interventions change parameters, gradients and optimizers as their papers define."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor, nn

from pamiq_exp.plasticity import unit_scores
from pamiq_exp.trainers import L2Init, ReDo, ShrinkAndPerturb
from tests.cases import error_of


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 1))


def train(module: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> float:
    optimizer.zero_grad()
    loss = (module(x) - y).square().mean()
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def test_l2_init_adds_the_gradient_of_the_squared_distance_to_the_initial_parameters() -> None:
    one, other = network(), network()
    initial = copy.deepcopy(other)
    L2Init(0.3).begin(one)
    x, y = torch.randn(16, 3), torch.randn(16, 1)
    for each in (one, other):
        with torch.no_grad():
            for parameter in each.parameters():
                parameter.add_(0.1)
    (one(x) - y).square().mean().backward()
    distance = sum(
        (p - q.detach()).square().sum() for p, q in zip(other.parameters(), initial.parameters(), strict=True)
    )
    ((other(x) - y).square().mean() + 0.3 * distance).backward()
    for parameter, expected in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, expected.grad)


def test_l2_init_keeps_parameters_closer_to_initial_values_with_more_strength() -> None:
    distances = []
    for strength in (0.0, 1.0, 10.0):
        module = network()
        initial = [parameter.detach().clone() for parameter in module.parameters()]
        L2Init(strength).begin(module)
        optimizer = torch.optim.Adam(module.parameters(), lr=1e-2)
        for _ in range(50):
            train(module, optimizer, torch.randn(32, 3), torch.full((32, 1), 5.0))
        pairs = zip(module.parameters(), initial, strict=True)
        distances.append(sum(float((p - q).square().sum()) for p, q in pairs))
    assert distances == sorted(distances, reverse=True)
    assert len(set(distances)) == 3


def test_shrink_and_perturb_mixes_parameters_with_noise_of_their_initial_size() -> None:
    module = nn.Linear(200, 300)
    scale = float(module.weight.detach().square().mean().sqrt())
    each = ShrinkAndPerturb(every=2, shrink=0.8, seed=1)
    each.begin(module)
    with torch.no_grad():
        module.weight.add_(1.0)
    before = module.weight.detach().clone()
    each.after_batch(module, [], 1)
    assert torch.equal(module.weight, before)
    each.after_batch(module, [], 2)
    noise = (module.weight.detach() - 0.8 * before) / 0.2
    np.testing.assert_allclose(float(noise.square().mean().sqrt()), scale, rtol=0.02)
    assert abs(float(noise.mean())) < 0.02 * scale * 3


def test_re_do_resets_the_weights_and_moments_of_dormant_units() -> None:
    module = network()
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3)
    each = ReDo(every=3, threshold=0.1)
    each.begin(module)
    x, y = torch.randn(64, 3), torch.randn(64, 1)
    for batches in (1, 2):
        train(module, optimizer, x, y)
        each.after_batch(module, [optimizer], batches)
    with torch.no_grad():
        module[0].bias[[2, 5]] = -100.0  # never active again
    train(module, optimizer, x, y)
    before, expected = copy.deepcopy(module), module(x).detach()
    each.after_batch(module, [optimizer], 3)
    assert each.recycled >= 2
    dormant = (module[0].bias == 0).nonzero().flatten().tolist()
    assert {2, 5} <= set(dormant)
    kept = [unit for unit in range(8) if unit not in dormant]
    assert torch.equal(module[0].weight[kept], before[0].weight[kept])
    assert not torch.isclose(module[0].weight[[2, 5]], before[0].weight[[2, 5]]).any()
    assert (module[2].weight[:, dormant] == 0).all()
    for name in ("exp_avg", "exp_avg_sq"):
        assert (optimizer.state[module[0].weight][name][dormant] == 0).all()
        assert (optimizer.state[module[2].weight][name][:, dormant] == 0).all()
    torch.testing.assert_close(module(x).detach(), expected, atol=0.05, rtol=0.05)  # what was dormant did little
    assert (unit_scores(module[:2](x))[[2, 5]] > 0.1).all()


def test_re_do_ignores_activations_of_inference_copies() -> None:
    module = network()
    each = ReDo(every=1)
    each.begin(module)
    copy.deepcopy(module)(torch.zeros(2, 3))
    each.after_batch(module, [], 1)
    assert each.recycled == 0


def test_re_do_lowers_the_loss_of_a_mostly_dormant_network() -> None:
    losses = []
    for recycles in (False, True):
        module = network()
        with torch.no_grad():
            module[0].bias.fill_(-5.0)
        optimizer = torch.optim.Adam(module.parameters(), lr=1e-2)
        each = ReDo(every=10)
        each.begin(module)
        generator = torch.Generator().manual_seed(0)
        for batches in range(1, 301):
            x = torch.randn(64, 3, generator=generator)
            loss = train(module, optimizer, x, x[:, :1] * 2)
            if recycles:
                each.after_batch(module, [optimizer], batches)
        losses.append(loss)
    assert losses[1] < 0.3 * losses[0]


def test_interventions_refuse_settings_out_of_range() -> None:
    cases = [(ReDo, 0), (ReDo, 1, -1.0), (ShrinkAndPerturb, 0), (ShrinkAndPerturb, 1, 1.5), (L2Init, -1.0)]
    for kind, *settings in cases:
        assert "at least" in error_of(ValueError, kind, *settings), (kind, settings)
