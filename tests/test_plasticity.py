"""Formulas of plasticity against independent computations."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import nn

from pamiq_exp.plasticity import effective_rank, fitting_loss, norm, recorded_units, unit_scores


def test_unit_scores_are_mean_activities_relative_to_the_layer_mean() -> None:
    outputs = np.random.default_rng(0).normal(size=(20, 5)).astype(np.float32)
    outputs[:, 2] = 0
    activity = np.array([np.mean([abs(float(row[unit])) for row in outputs]) for unit in range(5)])
    np.testing.assert_allclose(unit_scores(torch.from_numpy(outputs)).numpy(), activity / activity.mean(), rtol=1e-5)
    assert unit_scores(torch.zeros(4, 3)).tolist() == [0, 0, 0]


def test_unit_scores_of_a_convolution_are_per_channel() -> None:
    outputs = np.random.default_rng(1).normal(size=(4, 3, 2, 5)).astype(np.float32)
    activity = np.abs(outputs).mean(axis=(0, 2, 3))
    np.testing.assert_allclose(unit_scores(torch.from_numpy(outputs)).numpy(), activity / activity.mean(), rtol=1e-5)


def test_effective_rank_is_the_number_of_singular_values_that_make_up_99_percent() -> None:
    generator = np.random.default_rng(2)
    left, right = (np.linalg.qr(generator.normal(size=(30, 6)))[0] for _ in range(2))
    values = np.array([50.0, 30.0, 15.0, 4.1, 0.6, 0.3])  # 50 80 95 99.1 99.7 100
    assert effective_rank(torch.from_numpy(left * values @ right.T)) == 4
    assert effective_rank(torch.from_numpy(left * values @ right.T), share=0.9) == 3
    assert effective_rank(torch.eye(7)) == 7
    assert effective_rank(torch.ones(5, 4)) == 1
    assert effective_rank(torch.zeros(5, 4)) == 0


def test_recorded_units_are_recorded_only_within_the_context() -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2), nn.Tanh())
    x = torch.randn(5, 3)
    with recorded_units(network) as units:
        network(x)
    assert list(units) == ["1", "3"]
    torch.testing.assert_close(units["1"], torch.relu(network[0](x)))
    assert not network[1]._forward_hooks


def test_norm_is_the_l2_norm_of_all_parameters_together() -> None:
    network = nn.Linear(3, 4)
    flat = torch.cat([each.flatten() for each in network.parameters()]).detach()
    np.testing.assert_allclose(norm(network.parameters()), np.linalg.norm(flat.double().numpy()))
    assert norm(iter(())) == 0


def test_fitting_loss_trains_a_copy_and_is_higher_for_a_dead_network() -> None:
    torch.manual_seed(0)
    fresh = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU())
    dead = copy.deepcopy(fresh)
    with torch.no_grad():
        dead[2].bias.fill_(-100.0)
    before = copy.deepcopy(fresh.state_dict())
    inputs, targets = torch.randn(64, 4), torch.randn(64)

    def probe(module: nn.Module, steps: int) -> float:
        return fitting_loss(module, inputs, targets, steps, torch.Generator().manual_seed(1), learning_rate=1e-2)

    with torch.no_grad():  # as during a turn
        assert probe(fresh, 100) < 0.5 * probe(fresh, 0)
        assert probe(dead, 100) > probe(fresh, 100)
        np.testing.assert_allclose(probe(dead, 0), float(targets.square().mean()), rtol=1e-6)
    assert all(torch.equal(value, before[name]) for name, value in fresh.state_dict().items())
