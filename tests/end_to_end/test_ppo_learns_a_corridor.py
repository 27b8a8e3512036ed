"""PPO learns through the launcher, from parts without a config."""

from __future__ import annotations

import gymnasium
import numpy as np
import torch

from pamiq_exp import Environment, Interaction, LaunchConfig, launch
from pamiq_exp.agents import PolicyAgent
from pamiq_exp.buffers import RolloutBuffer, on_policy_fields
from pamiq_exp.interaction import Array, Observation
from pamiq_exp.models import ActorCritic, PolicyValueNetwork
from pamiq_exp.spaces import describe_spaces
from pamiq_exp.trainers import OnPolicyTrainer

LENGTH, TIME_LIMIT, NUM_ENVS = 8, 24, 8


class Corridor(Environment):
    """A corridor with the reward 1 at its right end, where episodes end; actions are left and right."""

    num_envs = NUM_ENVS
    observation_space = gymnasium.spaces.Dict({"cell": gymnasium.spaces.Box(0, 1, (LENGTH,), dtype=np.float32)})
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self) -> None:
        self.cell = np.zeros(NUM_ENVS, dtype=np.int64)
        self.time = np.zeros(NUM_ENVS, dtype=np.int64)

    @property
    def at_goal(self) -> Array:
        return np.array(self.cell == LENGTH - 1)

    @property
    def out_of_time(self) -> Array:
        return ~self.at_goal & (self.time >= TIME_LIMIT)

    def observe(self) -> Observation:
        cells = np.eye(LENGTH, dtype=np.float32)[self.cell]
        return Observation({"cell": cells}, self.at_goal.astype(np.float32), self.at_goal, self.out_of_time)

    def affect(self, action: Array) -> None:
        ended = self.at_goal | self.out_of_time
        self.cell = np.where(ended, 0, np.clip(self.cell + 2 * action[:, 0] - 1, 0, LENGTH - 1))
        self.time = np.where(ended, 0, self.time + 1)


def test_ppo_learns_a_corridor_through_the_launcher() -> None:
    torch.manual_seed(0)
    environment = Corridor()
    spaces = describe_spaces(environment.observation_space, environment.action_space, NUM_ENVS)
    network = PolicyValueNetwork({"observation": spaces["observation"]}, spaces["action"], hidden=(32,))
    fields = on_policy_fields(spaces["observation"], spaces["action"])
    launch(
        Interaction(PolicyAgent(seed=0), environment),
        models={"policy": ActorCritic(network, learning_rate=3e-3)},
        buffers={"rollout": RolloutBuffer(256, NUM_ENVS, fields)},
        trainers={"policy": OnPolicyTrainer("policy", "rollout", rollout_steps=64, seed=0)},
        config=LaunchConfig(mode="lockstep", max_steps=6_000),
    )
    cells = {"observation.cell": torch.eye(LENGTH)[:-1]}
    right = network(cells)[0].log_probs.exp()[:, 0, 1]
    assert (right > 0.9).all(), right
