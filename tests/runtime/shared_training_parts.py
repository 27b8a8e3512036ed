"""Modules that several processes train together."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor, nn

Batch = dict[str, Tensor]


class Guess(LightningModule):
    """Learns to predict the third number from the first two; keeps a running mean of its inputs."""

    mean: Tensor

    def __init__(self, noise: float = 0.0) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
        self.unused = nn.Linear(2, 2)
        self.noise = noise
        self.register_buffer("mean", torch.zeros(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x[:, :2])

    def loss(self, x: Tensor) -> Tensor:
        x = x + self.noise * torch.randn_like(x)
        return (self(x)[:, 0] - x[:, 2]).square().mean()

    def training_step(self, batch: Batch) -> Any:
        return self.loss(batch["observation.vector"])

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=1e-2)


class GuessByHand(Guess):
    """Steps two optimizers, the second with gradients through what the first has just changed."""

    def __init__(self, noise: float = 0.0) -> None:
        super().__init__(noise)
        self.automatic_optimization = False

    def training_step(self, batch: Batch) -> None:
        x = batch["observation.vector"]
        for optimizer in self.optimizers():  # type: ignore[union-attr]
            optimizer.zero_grad()
            self.manual_backward(0.5 * self.loss(x))
            self.manual_backward(0.5 * self.loss(x))
            self.clip_gradients(optimizer, gradient_clip_val=0.5, gradient_clip_algorithm="norm")  # type: ignore[arg-type]
            optimizer.step()

    def configure_optimizers(self) -> Any:
        return [torch.optim.Adam(self.net[0].parameters(), lr=1e-2), torch.optim.SGD(self.net[2].parameters(), lr=1e-2)]


class SometimesNan(Guess):
    """Its third batch is not finite, in the process that does not lead."""

    def training_step(self, batch: Batch) -> Any:
        bad = self.trainer.global_step == 2 and multiprocessing.current_process().name == "training-1"
        return super().training_step(batch) * (float("nan") if bad else 1.0)


class Fails(Guess):
    """Raises, or ends its process, in the process that does not lead."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def training_step(self, batch: Batch) -> Any:
        if self.trainer.global_step == 2 and multiprocessing.current_process().name == "training-1":
            if self.how == "raise":
                raise LookupError("nothing to look up")
            if self.how == "open":
                Path("there is no such file").read_text()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().training_step(batch)


class Locked(Guess):
    """Cannot be sent to another process."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


class Newton(Guess):
    def configure_optimizers(self) -> Any:
        return torch.optim.LBFGS(self.parameters())
