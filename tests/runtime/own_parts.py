"""Custom parts, which the dry run does not know."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
import torch
from lightning import LightningModule
from torch import nn

from pamiq_exp.interaction import Agent, Array, Environment, Observation, continual


class Thermometer(Environment):
    """Shows kelvins, which are never 0."""

    observation_space = gymnasium.spaces.Dict({"kelvin": gymnasium.spaces.Box(1, 10, (1,), np.float32)})
    action_space = gymnasium.spaces.Discrete(2)
    closed = 0

    def observe(self) -> Observation:
        return continual({"kelvin": np.full((1, 1), 2.0, np.float32)})

    def affect(self, action: Array) -> None:
        pass

    def teardown(self) -> None:
        type(self).closed += 1


class OwnAgent(Agent[Observation, Array]):
    """Takes the logarithm of the observation minus `offset`; asks for a model from turn `first` on."""

    def __init__(self, offset: float = 0.0, model: str | None = None, first: int = 0, shape: int = 1) -> None:
        super().__init__()
        self.offset, self.model_name, self.first, self.shape = offset, model, first, shape
        self.turn = 0

    def step(self, observation: Observation) -> Array:
        math.log(float(observation.values["kelvin"][0, 0]) - self.offset)
        if self.model_name is not None and self.turn >= self.first:
            self.model(self.model_name)(torch.from_numpy(observation.values["kelvin"]))
        self.turn += 1
        return np.zeros((1, self.shape), np.int64)


class MisspelledAgent(OwnAgent):
    """Fails for every observation."""

    def step(self, observation: Observation) -> Array:
        return undefined_name  # type: ignore[name-defined]  # noqa: F821


class ForgetfulAgent(OwnAgent):
    """Its state holds a set, which a checkpoint cannot hold."""

    def state(self) -> dict[str, Any]:
        return {"seen": {1, 2}}


class OwnModel(LightningModule):
    """A layer of the user's own."""

    def __init__(self, size: int = 1) -> None:
        super().__init__()
        self.layer = nn.Linear(size, 1)

    def forward(self, kelvin: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.layer(kelvin)
        return result

    def training_step(self, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        if not bool((batch["observation.kelvin"] >= 1).all()):
            raise ValueError("colder than possible")
        return self(batch["observation.kelvin"]).mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class LockedModel(OwnModel):
    """Holds a lock, which nothing can copy."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(1, 1)
        self.inner.guard = threading.Lock()  # type: ignore[assignment]


class UnlockedModel(LockedModel):
    """Leaves it out of its copies."""

    def inference_module(self) -> nn.Module:
        return self.layer
