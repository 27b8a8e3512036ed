"""What the launcher benchmarks run: a pixel agent, and training that never lacks data."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

import gymnasium
import numpy as np
import torch
from lightning import LightningModule
from torch import nn

from pamiq_exp.interaction import Agent, Environment, Observation, continual
from pamiq_exp.trainers import Trainer, TrainingContext


class PixelWorld(Environment):
    """Random 64x64 pictures, drawn beforehand: the world itself costs next to nothing."""

    observation_space = gymnasium.spaces.Dict({"image": gymnasium.spaces.Box(0, 255, (64, 64, 3), np.uint8)})
    action_space = gymnasium.spaces.Discrete(5)

    def __init__(self) -> None:
        frames = np.random.default_rng(0).integers(0, 256, (16, 1, 64, 64, 3), dtype=np.uint8)
        self._observations = [continual({"image": frame}) for frame in frames]
        self._step = 0

    def observe(self) -> Observation:
        return self._observations[self._step % 16]

    def affect(self, action: np.ndarray) -> None:
        self._step += 1


class PixelModel(LightningModule):
    """A 64x64 convolutional network of 16, 32 and 32 channels with 128 features and five logits."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2), nn.ReLU(), nn.Conv2d(16, 32, 3, 2), nn.ReLU(), nn.Conv2d(32, 32, 3, 2), nn.ReLU(),
            nn.Flatten(), nn.Linear(32 * 7 * 7, 128), nn.ReLU(), nn.Linear(128, 5),
        )  # fmt: skip

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.network(image.permute(0, 3, 1, 2).float() / 255)


class PixelAgent(Agent[Observation, np.ndarray]):
    """Asks the network, which is on `device`, for an action."""

    def __init__(self, device: str = "cpu") -> None:
        self._device = device

    def step(self, observation: Observation) -> np.ndarray:
        image = torch.from_numpy(observation.values["image"]).to(self._device, non_blocking=True)
        return self.model("network")(image).argmax(1, keepdim=True).cpu().numpy()


class NoOpWorld(PixelWorld):
    """Shows always the same and takes no notice."""

    def observe(self) -> Observation:
        return self._observations[0]

    def affect(self, action: np.ndarray) -> None:
        pass


class NoOpAgent(Agent[Observation, np.ndarray]):
    """Does always the same."""

    action = np.zeros((1, 1), dtype=np.int64)

    def step(self, observation: Observation) -> np.ndarray:
        return self.action


class ContinuousTrainer(Trainer):
    """Trains the network on random batches without pause, a round every ten batches.

    Args:
        batch_size: Pictures in a batch.
        python_seconds: Seconds of pure Python, which hold the interpreter lock, in each batch.
        device: Where the network is.
    """

    trains = ("network",)

    def __init__(self, batch_size: int = 64, python_seconds: float = 0.0, device: str = "cpu") -> None:
        self.python_seconds = python_seconds
        self.batches = 0
        self._images = torch.randint(0, 256, (batch_size, 64, 64, 3), dtype=torch.uint8, device=device)
        self._labels = torch.randint(0, 5, (batch_size,), device=device)

    def attach(self, context: TrainingContext) -> None:
        self.module = context.models["network"]
        self.optimizer = torch.optim.Adam(self.module.parameters(), lr=1e-3)

    def ready(self) -> bool:
        return True

    def round(self) -> Iterator[Mapping[str, float]]:
        for _ in range(10):
            loss = nn.functional.cross_entropy(self.module(self._images), self._labels)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.batches += 1
            if self.python_seconds:
                spin(self.python_seconds)
            yield {}

    @property
    def training_step(self) -> int:
        return self.batches


class WaitingTrainer(ContinuousTrainer):
    """Waits for data that never suffices."""

    def ready(self) -> bool:
        return False


def spin(seconds: float) -> int:
    """Hold the interpreter lock with pure Python."""
    count, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        count += 1
    return count
