"""The world and the network of the study as stable-baselines3 takes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecEnv

from pamiq_exp.config import build_experiment, compose_config


class World(VecEnv):
    """The noise world as stable-baselines3 meets worlds."""

    def __init__(self, num_envs: int) -> None:
        words = ["experiment=curiosity_study", "arm=count_oracle", f"num_envs={num_envs}"]
        self.world = build_experiment(compose_config(words)).interaction.environment
        self.world.setup()
        super().__init__(num_envs, self.world.observation_space["image"], self.world.action_space)

    def reset(self) -> Any:
        return self.world.observe().values["image"]

    def step_async(self, actions: Any) -> None:
        self.world.affect(actions)

    def step_wait(self) -> Any:
        image = self.world.observe().values["image"]
        return (
            image,
            np.zeros(self.num_envs, np.float32),
            np.zeros(self.num_envs, np.bool_),
            [{} for _ in range(self.num_envs)],
        )

    def close(self) -> None:
        self.world.teardown()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [None] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        return None

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        return [None] * self.num_envs

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False] * self.num_envs


class Features(BaseFeaturesExtractor):
    """The layers of our policy: squares of 4x4 pixels, a 3x3 convolution and a linear layer."""

    def __init__(self, observation_space: Any) -> None:
        super().__init__(observation_space, 128)
        convolutions = (torch.nn.Conv2d(3, 16, 4, 4), torch.nn.Conv2d(16, 32, 3, 1, 1))
        layers = [each for convolution in convolutions for each in (convolution, torch.nn.ReLU())]
        self.layers = torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(1152, 128), torch.nn.ReLU())

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.layers(observations)
        return features
