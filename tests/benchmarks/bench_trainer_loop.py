"""What the generic trainer loop costs beside the same loop written in plain torch.

Both draw the same batches from the same buffer, train the same network and read the loss. What counts is
the CPU time of the thread, and short blocks of both alternate, so that whatever else the machine does
meets both alike: `python -m tests.benchmarks.bench_trainer_loop`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from lightning import LightningModule
from lightning.fabric import Fabric
from torch import Tensor, nn

from pamiq_exp.buffers import DataUser, RingBuffer
from pamiq_exp.trainers import ReplayTrainer, TrainingContext
from tests.benchmarks.table import Row, markdown

BATCH, INPUTS, WIDTH, RECORDS = 64, 32, 64, 4096
STEPS, BLOCKS, WARM_UP = 20, 300, 10


class Network(LightningModule):
    """A small perceptron that predicts a sum."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(INPUTS, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)
        )

    def training_step(self, batch: dict[str, Tensor], batch_index: int) -> Tensor:
        loss = nn.functional.mse_loss(self.net(batch["x"]).squeeze(-1), batch["y"])
        self.log("loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-3)


def filled_user() -> DataUser:
    number = {"shape": [], "dtype": "float32"}
    user = DataUser(RingBuffer(RECORDS, 1, {"x": {"shape": [INPUTS], "dtype": "float32"}, "y": number}))
    generator = np.random.default_rng(0)
    for _ in range(RECORDS):
        x = generator.normal(size=(1, INPUTS)).astype(np.float32)
        user.collector.collect({"x": x, "y": x.sum(axis=1)})
    user.update()
    return user


def loop_by_hand(width: int, user: DataUser, clip: float | None) -> Callable[[], None]:
    """The loop as one would write it for this network."""
    torch.manual_seed(0)
    net = Network(width).net
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    generator = torch.Generator().manual_seed(0)
    losses: list[float] = []

    def run() -> None:
        for _ in range(STEPS):
            batch = user.sample(BATCH, generator)
            loss = nn.functional.mse_loss(net(batch["x"]).squeeze(-1), batch["y"])
            optimizer.zero_grad()
            loss.backward()
            if clip is not None:
                nn.utils.clip_grad_norm_(net.parameters(), clip)
            optimizer.step()
            losses.append(loss.item())

    return run


def loop_of_trainer(width: int, user: DataUser, clip: float | None) -> Callable[[], None]:
    """The loop as the launcher runs it."""
    torch.manual_seed(0)
    trainer = ReplayTrainer("network", "data", BATCH, train_every=0, gradient_steps=STEPS, max_grad_norm=clip)
    fabric = Fabric(accelerator="cpu", devices=1)
    trainer.attach(TrainingContext({"network": Network(width)}, {"data": user}, fabric))
    losses: list[float] = []

    def run() -> None:
        losses.extend(metrics["loss"] for metrics in trainer.round())

    return run


def measure(width: int, clip: float | None) -> Row:
    """Compare both loops for one network."""
    user = filled_user()
    loops = loop_by_hand(width, user, clip), loop_of_trainer(width, user, clip)
    seconds: tuple[list[float], list[float]] = ([], [])
    for block in range(BLOCKS + WARM_UP):
        for loop, times in zip(loops, seconds, strict=True):
            start = time.thread_time()
            loop()
            if block >= WARM_UP:
                times.append((time.thread_time() - start) / STEPS)
    by_hand, trainer = (1e6 * statistics.median(times) for times in seconds)
    clipped = "" if clip is None else ", gradient clipped"
    return Row(
        f"trainer loop / by hand, perceptron {INPUTS}-{width}-{width}-1, batch {BATCH}{clipped}",
        statistics.median(theirs / ours for ours, theirs in zip(*seconds, strict=True)),
        "<= 1.1",
        detail=f"{trainer:.0f} us and {by_hand:.0f} us a step",
    )


def rows() -> list[Row]:
    """All rows of this benchmark."""
    torch.set_num_threads(1)
    return [measure(width, clip) for width in (64, 256) for clip in (None, 0.5)]


if __name__ == "__main__":
    print(markdown(rows()))
