"""Plasticity of a published policy on the newest observations."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pamiq_exp.component import collect_state, restore_state
from pamiq_exp.interaction import Turn
from pamiq_exp.metrics import Plasticity
from pamiq_exp.models import PolicyValueNetwork
from tests.agents.worlds import ClockWorld, Port
from tests.interaction.worlds import Counter


def feed(metric: Plasticity, world: ClockWorld, agent: Counter, turns: int) -> None:
    for _ in range(turns):
        seen = world.observe()
        metric.on_step(Turn(seen, np.zeros((2, 2)), agent, world))
        world.affect(np.zeros((2, 2)))


@pytest.fixture
def network() -> PolicyValueNetwork:
    torch.manual_seed(0)
    network = PolicyValueNetwork(
        {"observation": {"step": {"shape": [1], "dtype": "float32"}}},
        {"kind": "discrete", "shape": [1], "dtype": "int64", "nvec": [2]}, hidden=(8, 6),
    )  # fmt: skip
    with torch.no_grad():
        network.body.body[2].bias[:2] = -1e6
    return network


def test_plasticity_matches_values_computed_from_the_newest_observations(network: PolicyValueNetwork) -> None:
    world, agent = ClockWorld((4, 6)), Counter(2)
    agent.attach({"policy": Port(network)}, {})
    metric = Plasticity(every_steps=40, samples=10)
    feed(metric, world, agent, 19)
    assert metric.report() == {}
    feed(metric, world, agent, 1)
    found = metric.report()
    with torch.no_grad():
        x = torch.arange(14.0, 20.0).repeat_interleave(2)[:, None]
        first = torch.relu(network.body.body[0](x))
        second = torch.relu(network.body.body[2](first))
    scores = [h.mean(0) / h.mean() for h in (first, second)]
    dormant = [float((score <= 0.025).sum()) for score in scores]
    assert found["dormant_share"] == pytest.approx(sum(dormant) / 14)
    assert 2 / 14 <= found["dead_share"] <= found["dormant_share"]
    assert found["feature_norm"] == pytest.approx(float(second.norm(dim=1).mean()), rel=1e-5)
    flat = torch.cat([each.flatten() for each in network.parameters()]).double()
    assert found["weight_norm"] == pytest.approx(float(flat.norm()))
    assert 1 <= found["effective_rank"] <= 4


def test_plasticity_continues_identically_after_a_restore(network: PolicyValueNetwork) -> None:
    world, agent = ClockWorld((4, 6)), Counter(2)
    agent.attach({"policy": Port(network)}, {})
    one, other = Plasticity(every_steps=8, samples=6), Plasticity(every_steps=8, samples=6)
    feed(one, world, agent, 6)
    restore_state(other, collect_state(one))
    assert other.report() == one.report() != {}
    now = world.now
    feed(one, world, agent, 2)
    world.now = now
    feed(other, world, agent, 2)
    assert other.report() == one.report()


def test_plasticity_probe_compares_with_the_initial_parameters(network: PolicyValueNetwork) -> None:
    world, agent = ClockWorld((4, 6)), Counter(2)
    agent.attach({"policy": Port(network)}, {})
    metric = Plasticity(every_steps=8, samples=6, probe_steps=3, seed=1)
    metric.attach(agent)
    assert metric.report() == {}
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(0.5)
        feed(metric, world, agent, 4)
    found = metric.report()
    assert found["probe_loss"] != found["probe_loss_fresh"]
    other = Plasticity(every_steps=8, samples=6, probe_steps=3, seed=1)
    other.attach(agent)
    restore_state(other, collect_state(metric))
    now = world.now
    feed(metric, world, agent, 4)
    world.now = now
    feed(other, world, agent, 4)
    assert other.report() == metric.report() != found


def test_plasticity_refuses_settings_out_of_range() -> None:
    with pytest.raises(ValueError, match="at least"):
        Plasticity(every_steps=0)
