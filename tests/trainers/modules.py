"""Small modules that several tests train."""

from __future__ import annotations

from typing import Any

import torch
from lightning import LightningModule
from lightning.fabric import Fabric
from torch import Tensor, nn

SIZE = 6
Batch = dict[str, Tensor]


class Regression(LightningModule):
    """The plainest module: automatic optimization, one logged loss."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(SIZE, 16), nn.Tanh(), nn.Linear(16, 1))

    def loss(self, batch: Batch) -> Tensor:
        return (self.net(batch["x"]).squeeze(-1) - batch["y"]).square().mean()

    def training_step(self, batch: Batch, batch_idx: int) -> Any:
        loss = self.loss(batch)
        self.log("loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=1e-2)


def make_batches(count: int, seed: int = 5, size: int = 8) -> list[Batch]:
    generator = torch.Generator().manual_seed(seed)
    sizes = [size] * (count - 1) + [size // 2]
    return [{"x": torch.randn(n, SIZE, generator=generator), "y": torch.randn(n, generator=generator)} for n in sizes]


def cpu(precision: Any = "32-true") -> Fabric:
    return Fabric(accelerator="cpu", devices=1, precision=precision)
