from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch

from pamiq_exp.models import ActorCritic, PolicyValueNetwork
from pamiq_exp.rewards import RandomGoals
from pamiq_exp.spaces import describe_spaces

SPACE = gymnasium.spaces.Dict(
    {
        "image": gymnasium.spaces.Box(0, 255, (8, 8, 3), np.uint8),
        "vector": gymnasium.spaces.Box(-np.inf, np.inf, (4,), np.float32),
    }
)
SPACES = describe_spaces(SPACE, gymnasium.spaces.Discrete(2), 1)


@pytest.mark.parametrize(
    "settings", [{}, {"patch": 4}, {"normalize_inputs": True}, {"patch": 2, "normalize_inputs": True}]
)
def test_random_goals_copies_the_policy_trunk_for_all_network_settings(settings: dict[str, int]) -> None:
    inputs = {"observation": SPACES["observation"]}
    network = PolicyValueNetwork(inputs, SPACES["action"], channels=(4,), hidden=(8,), **settings)  # type: ignore[arg-type]
    goals = RandomGoals(inputs, channels=(4,), hidden=(8,), features=3, ema_decay=0.0, **settings)  # type: ignore[arg-type]
    goals.attach_models({"policy": ActorCritic(network)})
    batch = {
        "observation.image": torch.randint(0, 256, (5, 8, 8, 3), dtype=torch.uint8),
        "observation.vector": 10 * torch.randn(5, 4),
    }
    network.body(batch)  # takes the statistics of its inputs, if it normalizes them
    for parameter in network.parameters():
        parameter.data.add_(0.1)
    goals.training_step(batch, 0)
    copied, trunk = goals.network.body.state_dict(), network.body.state_dict()
    assert all(torch.equal(copied[name], trunk[name]) for name in trunk)
