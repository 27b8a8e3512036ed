"""The proof that a module written for `lightning.Trainer` trains here to the same bits."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import lightning
import numpy as np
import pytest
import torch
import torchmetrics
from lightning import LightningModule
from lightning.fabric import Fabric
from lightning.pytorch.loggers.logger import Logger
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, ExponentialLR, OneCycleLR, ReduceLROnPlateau, StepLR
from torch.utils.data import DataLoader, Dataset

from pamiq_exp.lightning_loop import GradientSettings, LightningDriver
from tests.trainers.modules import SIZE, Batch, Regression, make_batches

EPOCHS, BATCHES = 3, 7


@pytest.fixture(autouse=True)
def one_thread_and_no_chatter() -> None:
    torch.set_num_threads(1)
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.simplefilter("ignore")


class WithoutBatchIndex(Regression):
    def training_step(self, batch: Batch) -> Any:  # type: ignore[override]
        return {"loss": self.loss(batch), "extra": 1}

    def configure_optimizers(self) -> Any:
        return [torch.optim.SGD(self.parameters(), lr=1e-2, momentum=0.9, weight_decay=1e-3, nesterov=True)]


class SkipsSomeBatches(Regression):
    def training_step(self, batch: Batch, batch_idx: int) -> Any:
        return None if batch_idx % 3 == 1 else self.loss(batch)


class LeavesEpochsEarly(Regression):
    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> int | None:
        return -1 if batch_idx == self.current_epoch + 3 else None

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=1e-2)
        return [optimizer], [StepLR(optimizer, 1, gamma=0.5)]


class StepSchedule(Regression):
    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), lr=1e-2)
        scheduler = OneCycleLR(optimizer, max_lr=0.05, total_steps=100)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step", "frequency": 2}}


class EpochSchedules(Regression):
    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.RMSprop(self.parameters(), lr=1e-2)
        every_second = {"scheduler": StepLR(optimizer, 1, gamma=0.3), "interval": "epoch", "frequency": 2}
        return [optimizer], [ExponentialLR(optimizer, 0.9), every_second]


class PlateauOfEpochMean(Regression):
    """A monitor that refers to the mean over an epoch."""

    def training_step(self, batch: Batch, batch_idx: int) -> Any:
        loss = self.loss(batch)
        self.log("loss", loss, on_step=True, on_epoch=True)
        return loss

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=0.3)
        scheduler = ReduceLROnPlateau(optimizer, patience=0, threshold=0.2, factor=0.5)
        return {"optimizer": optimizer, "lr_scheduler": scheduler, "monitor": "loss_epoch"}


class PlateauOfSteps(PlateauOfEpochMean):
    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=0.3)
        plateau = ReduceLROnPlateau(optimizer, patience=1, factor=0.7)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": plateau, "interval": "step", "monitor": "loss", "frequency": 2},
        }


class OwnSchedulerStep(StepSchedule):
    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        if self.global_step > 4:
            scheduler.step()


class WarmUpInOptimizerStep(Regression):
    """Learning rate warm-up in `optimizer_step`, as Lightning documents it."""

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        optimizer.step(closure=optimizer_closure)
        for group in optimizer.param_groups:
            group["lr"] = min(1.0, (self.trainer.global_step + 1) / 10) * 1e-2


class SecondOrder(Regression):
    def configure_optimizers(self) -> Any:
        return torch.optim.LBFGS(self.parameters(), lr=0.1, max_iter=4, line_search_fn="strong_wolfe")


class OwnClipping(Regression):
    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: Any = None, gradient_clip_algorithm: Any = None
    ) -> None:
        if self.current_epoch > 0:
            self.clip_gradients(
                optimizer, gradient_clip_val=gradient_clip_val, gradient_clip_algorithm=gradient_clip_algorithm
            )


class MovingAverageAndDropout(Regression):
    """An average of the weights kept in a hook, dropout from the global generator, and most other hooks."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(SIZE, 16), nn.BatchNorm1d(16), nn.Dropout(0.3), nn.Linear(16, 1))
        self.average = copy.deepcopy(self.net).requires_grad_(False)
        self.average.eval()
        self.seen: list[str] = []

    def note(self, hook: str) -> None:
        self.seen.append(f"{hook} {self.current_epoch} {self.global_step}")

    def setup(self, stage: str) -> None:
        self.note("setup" if stage == "fit" else "?")

    def configure_model(self) -> None:
        self.seen.append("configure_model")

    def on_fit_start(self) -> None:
        self.note("on_fit_start")

    def on_train_start(self) -> None:
        self.note("on_train_start")
        self.log("started", 1.0)

    def on_train_epoch_start(self) -> None:
        self.note("on_train_epoch_start")

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        self.note(f"on_train_batch_start {batch_idx}")

    def on_before_zero_grad(self, optimizer: Any) -> None:
        self.note(f"on_before_zero_grad {type(optimizer).__name__}")

    def on_before_backward(self, loss: Tensor) -> None:
        self.note("on_before_backward")
        self.log("before_backward", loss)

    def backward(self, loss: Tensor) -> None:
        self.note("backward")
        super().backward(loss)

    def on_after_backward(self) -> None:
        self.note("on_after_backward")

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        gradients = [parameter.grad for parameter in self.net.parameters() if parameter.grad is not None]
        self.log("norm", torch.nn.utils.get_total_norm(gradients), on_step=True, on_epoch=True, reduce_fx="max")

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Any) -> None:
        self.note(f"optimizer_zero_grad {epoch} {batch_idx}")
        optimizer.zero_grad(set_to_none=False)

    def on_before_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        return batch | {"x": batch["x"] * 0.5}

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        return {name: value.to(device) for name, value in batch.items()}

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        return batch | {"x": batch["x"] + torch.randn_like(batch["x"]) * 0.1}

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        self.note(f"on_train_batch_end {batch_idx} {float(outputs['loss'])}")
        with torch.no_grad():
            for mean, weight in zip(self.average.parameters(), self.net.parameters(), strict=True):
                mean.lerp_(weight, 0.1)
        self.log("average", self.average[0].weight.mean())

    def on_train_epoch_end(self) -> None:
        self.note("on_train_epoch_end")
        self.log("final", self.average[0].weight.std())

    def on_train_end(self) -> None:
        self.note("on_train_end")

    def on_fit_end(self) -> None:
        self.note("on_fit_end")

    def teardown(self, stage: str) -> None:
        self.note("teardown")


class ManyLogs(Regression):
    """`self.log` with every combination of arguments that logs a number."""

    def __init__(self) -> None:
        super().__init__()
        self.error = torchmetrics.MeanSquaredError()

    def training_step(self, batch: Batch, batch_idx: int) -> Any:
        prediction = self.net(batch["x"]).squeeze(-1)
        loss = (prediction - batch["y"]).square().mean()
        self.log("plain", loss)
        self.log("mean", loss, on_step=False, on_epoch=True)
        self.log("both", loss.detach() * 3, on_step=True, on_epoch=True, prog_bar=True)
        self.log("sum", loss, on_step=False, on_epoch=True, reduce_fx="sum")
        self.log("max", loss, on_step=False, on_epoch=True, reduce_fx=torch.max)
        self.log("low", loss, on_step=True, on_epoch=True, reduce_fx="min")
        self.log("weighted", loss, on_step=False, on_epoch=True, batch_size=batch_idx + 1)
        self.log("hidden", loss, logger=False)
        self.log("number", 0.1 * batch_idx)
        self.log("whole", batch_idx)
        self.log("truth", torch.tensor(True))
        self.log("vector", loss.reshape(1, 1))
        self.log("double", loss.double() / 3, on_step=True, on_epoch=True)
        for _ in range(3):
            self.log("repeated", loss * torch.rand(()), on_step=True, on_epoch=True)
        self.log_dict({"a": loss + 1, "b": 2}, on_step=True, on_epoch=True)
        self.error(prediction, batch["y"])
        self.log("error", self.error, on_step=True, on_epoch=True)
        return loss


class Adversaries(LightningModule):
    """Manual optimization of two networks with two optimizers, schedulers, clipping and toggling."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.first = nn.Linear(SIZE, SIZE)
        self.second = nn.Sequential(nn.Linear(SIZE, 8), nn.ReLU(), nn.Linear(8, 1))

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        first, second = self.optimizers()  # type: ignore[misc]
        schedulers = self.lr_schedulers()
        assert isinstance(first, torch.optim.Adam)
        self.toggle_optimizer(first)
        loss = -self.second(self.first(batch["x"])).mean()
        first.zero_grad()
        self.manual_backward(loss)
        assert self.second[0].weight.grad is None or self.global_step > 0
        self.clip_gradients(first, gradient_clip_val=0.01, gradient_clip_algorithm="norm")
        first.step()
        self.untoggle_optimizer(first)
        with self.toggled_optimizer(second):
            score = self.second(self.first(batch["x"])).squeeze(-1)
            other = (score - batch["y"]).square().mean()
            second.zero_grad()
            self.manual_backward(other)
            self.clip_gradients(second, gradient_clip_val=0.05, gradient_clip_algorithm="value")
            second.step()
        if batch_idx % 2:
            schedulers[0].step()
        if self.trainer.is_global_zero:
            self.log_dict({"first": loss, "second": other, "steps": float(self.global_step)})

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        self.log("rate", optimizer.param_groups[0]["lr"])

    def on_train_epoch_end(self) -> None:
        self.lr_schedulers()[1].step()

    def configure_optimizers(self) -> Any:
        first = torch.optim.Adam(self.first.parameters(), lr=1e-2)
        second = torch.optim.SGD(self.second.parameters(), lr=1e-2)
        return (
            {"optimizer": first, "lr_scheduler": CosineAnnealingLR(first, 10)},
            {"optimizer": second, "lr_scheduler": {"scheduler": ExponentialLR(second, 0.8)}},
        )


class ManualWithClosureAndAccumulation(Regression):
    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        optimizer = self.optimizers()
        losses = []

        def closure() -> Tensor:
            loss = self.loss(batch)
            self.manual_backward(loss / 2)
            losses.append(loss.detach())
            return loss

        if batch_idx % 2 == 0:
            optimizer.zero_grad()
            closure()
        else:
            with optimizer.toggle_model():
                optimizer.step(closure=closure)
        self.log("loss", losses[-1], on_step=True, on_epoch=True)
        return losses[-1]


class Rows(Dataset[Batch]):
    def __init__(self, batches: list[Batch]) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> Batch:
        return self.batches[index]


class Memory(Logger):
    """A Lightning logger that keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[dict[str, float]] = []

    name = "memory"
    version = 0

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self.rows.append({name: value for name, value in metrics.items() if name != "epoch"})

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        pass


def train_with_lightning(make: Callable[[], LightningModule], settings: dict[str, Any]) -> tuple[Any, list[Any]]:
    torch.manual_seed(11)
    module, memory = make(), Memory()
    trainer = lightning.Trainer(
        max_epochs=EPOCHS,
        devices=1,
        logger=memory,
        log_every_n_steps=1,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **({"accelerator": "cpu"} | settings),
    )
    torch.manual_seed(12)
    trainer.fit(module, DataLoader(Rows(make_batches(BATCHES)), batch_size=None, shuffle=False))
    return module, memory.rows


def train_with_driver(make: Callable[[], LightningModule], settings: dict[str, Any]) -> tuple[Any, list[Any]]:
    torch.manual_seed(11)
    module = make()
    parameters = list(module.parameters())
    settings = dict(settings)
    fabric = Fabric(
        accelerator=settings.pop("accelerator", "cpu"), devices=1, precision=settings.pop("precision", "32-true")
    )
    renamed = {
        "gradient_clip_val": "clip",
        "gradient_clip_algorithm": "clip_algorithm",
        "accumulate_grad_batches": "accumulate_batches",
    }
    gradients = GradientSettings(**{renamed[name]: value for name, value in settings.items()})
    driver = LightningDriver("model", module, fabric, gradients)
    torch.manual_seed(12)
    torch.empty((), dtype=torch.int64).random_()  # a DataLoader takes one number for its workers
    rows = []
    for _ in range(EPOCHS):
        driver.begin_epoch()
        batches = make_batches(BATCHES)
        for index, batch in enumerate(batches):
            rows.append(driver.train_batch(batch, last=index == len(batches) - 1))
            if driver.epoch_done:
                break
        rows.append(driver.end_epoch())
        torch.empty((), dtype=torch.int64).random_()
    driver.teardown()
    assert all(before is after for before, after in zip(parameters, module.parameters(), strict=True))
    return module, [row for row in rows if row]


CASES: list[tuple[Callable[[], LightningModule], dict[str, Any]]] = [
    (Regression, {}),
    (Regression, {"gradient_clip_val": 0.05}),
    (Regression, {"gradient_clip_val": 0.02, "gradient_clip_algorithm": "value"}),
    (Regression, {"accumulate_grad_batches": 3, "gradient_clip_val": 0.1}),
    (WithoutBatchIndex, {}),
    (SkipsSomeBatches, {}),
    (SkipsSomeBatches, {"accumulate_grad_batches": 2}),
    (LeavesEpochsEarly, {}),
    (StepSchedule, {}),
    (StepSchedule, {"accumulate_grad_batches": 2}),
    (EpochSchedules, {}),
    (PlateauOfEpochMean, {}),
    (PlateauOfSteps, {}),
    (OwnSchedulerStep, {}),
    (WarmUpInOptimizerStep, {"accumulate_grad_batches": 2}),
    (SecondOrder, {}),
    (OwnClipping, {"gradient_clip_val": 0.05}),
    (OwnClipping, {}),
    (MovingAverageAndDropout, {}),
    (MovingAverageAndDropout, {"accumulate_grad_batches": 2}),
    (ManyLogs, {}),
    (ManyLogs, {"precision": "bf16-mixed", "gradient_clip_val": 0.1}),
    (MovingAverageAndDropout, {"precision": "64-true"}),
    (StepSchedule, {"precision": "bf16-true"}),
    (Adversaries, {}),
    (ManualWithClosureAndAccumulation, {}),
]


if torch.cuda.is_available():
    CASES += [
        (make, settings | {"accelerator": "cuda", "precision": precision})
        for make, settings in ((ManyLogs, {"gradient_clip_val": 0.1}), (StepSchedule, {}), (Adversaries, {}))
        for precision in ("32-true", "16-mixed", "bf16-mixed")
    ]


@pytest.mark.parametrize(("make", "settings"), CASES)
def test_lightning_driver_trains_to_the_same_bits_and_logs_as_lightning_trainer(
    make: Callable[[], LightningModule], settings: dict[str, Any]
) -> None:
    expected, expected_rows = train_with_lightning(make, settings)
    actual, actual_rows = train_with_driver(make, settings)
    torch.manual_seed(11)
    untrained = make().state_dict()

    assert expected.state_dict().keys() == actual.state_dict().keys()
    for name, value in expected.state_dict().items():
        assert torch.equal(value.cpu(), actual.state_dict()[name].cpu()), name
    assert any(
        not torch.equal(value.cpu(), untrained[name].to(value.dtype)) for name, value in expected.state_dict().items()
    )
    assert len(actual_rows) == len(expected_rows)
    for ours, theirs in zip(actual_rows, expected_rows, strict=True):
        assert ours.keys() == theirs.keys()
        for name, value in theirs.items():
            assert ours[name] == value or np.float32(ours[name]) == np.float32(value), name
    assert getattr(actual, "seen", None) == getattr(expected, "seen", None)
