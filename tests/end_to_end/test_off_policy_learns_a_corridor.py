"""DQN and discrete SAC learn through the launcher, from parts without a config."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from lightning import LightningModule

from pamiq_exp import Interaction, LaunchConfig, launch
from pamiq_exp.agents import Exploration, PolicyAgent
from pamiq_exp.buffers import ReplayBuffer
from pamiq_exp.models import DeepQLearning, QNetwork, SacNetwork, SoftActorCritic
from pamiq_exp.spaces import SpacesDescription, describe_spaces
from pamiq_exp.trainers import OffPolicyTrainer
from tests.end_to_end.test_ppo_learns_a_corridor import LENGTH, NUM_ENVS, Corridor


def dqn(inputs: Mapping[str, object], spaces: SpacesDescription) -> LightningModule:
    network = QNetwork(inputs, spaces["action"], hidden=(32,))
    return DeepQLearning(network, double=True, target_update_every=1, tau=0.02, learning_rate=3e-3)


def sac(inputs: Mapping[str, object], spaces: SpacesDescription) -> LightningModule:
    network = SacNetwork(inputs, spaces["action"], hidden=(32,))
    return SoftActorCritic(network, tau=0.02, learning_rate=3e-3, initial_temperature=0.1, target_entropy=0.1)


@pytest.mark.parametrize("make", [pytest.param(dqn, marks=pytest.mark.slow), sac])
def test_off_policy_learns_a_corridor_through_the_launcher(make: type) -> None:
    torch.manual_seed(0)
    environment = Corridor()
    spaces = describe_spaces(environment.observation_space, environment.action_space, NUM_ENVS)
    flags = {name: {"shape": [], "dtype": "bool"} for name in ("terminated", "truncated", "ended")}
    reward = {"reward": {"shape": [], "dtype": "float32"}}
    fields = {"observation": spaces["observation"], "action": spaces["action"], **reward, **flags}
    exploration = Exploration(
        spaces["action"], NUM_ENVS, seed=0, random_steps=800, epsilon_start=1.0, epsilon_end=0.1, decay_steps=3000
    )
    module = make({"observation": spaces["observation"]}, spaces)
    launch(
        Interaction(PolicyAgent(seed=0, exploration=exploration), environment),
        models={"policy": module},
        buffers={"transitions": ReplayBuffer(2_000, NUM_ENVS, fields)},
        trainers={
            "policy": OffPolicyTrainer(
                "policy", "transitions", batch_size=64, train_every=8, learning_starts=800, gamma=0.9, seed=0
            )
        },
        config=LaunchConfig(mode="lockstep", max_steps=8_000),
    )
    distribution, _ = module({"observation.cell": torch.eye(LENGTH)[:-1]})
    assert distribution.mode().flatten().tolist() == [1] * (LENGTH - 1)
