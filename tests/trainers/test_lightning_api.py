"""`self.trainer`, callbacks and validation hooks, compared with lightning.Trainer itself."""

from __future__ import annotations

import logging
import math
import random
import warnings
from collections.abc import Callable
from typing import Any

import lightning
import numpy as np
import pytest
import torch
import torchmetrics
from lightning import LightningModule
from lightning.fabric import Fabric
from lightning.pytorch.callbacks import Callback, EarlyStopping, WeightAveraging
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_avg_fn
from torch.utils.data import DataLoader, Dataset

from pamiq_exp.lightning_loop import GradientSettings, LightningDriver, TrainingPlan
from tests.trainers.modules import SIZE, Batch, Regression, make_batches

EPOCHS, BATCHES = 2, 4


@pytest.fixture(autouse=True)
def one_thread_and_no_chatter() -> None:
    torch.set_num_threads(1)
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)


class Rows(Dataset[Batch]):
    def __init__(self, batches: list[Batch]) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> Batch:
        return self.batches[index]


HELD_OUT = make_batches(2, seed=9)


def by_lightning(make: Callable[[], LightningModule], validates: bool = False) -> Any:
    torch.manual_seed(1)
    module = make()
    trainer = lightning.Trainer(
        accelerator="cpu", devices=1, max_epochs=EPOCHS, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0, inference_mode=False,
    )  # fmt: skip
    held_out = DataLoader(Rows(HELD_OUT), batch_size=None) if validates else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(module, DataLoader(Rows(make_batches(BATCHES)), batch_size=None), held_out)
    return module


def driver_of(module: LightningModule, **gradients: Any) -> LightningDriver:
    fabric = Fabric(accelerator="cpu", devices=1)
    return LightningDriver("model", module, fabric, GradientSettings(**gradients), TrainingPlan(BATCHES, EPOCHS))


def by_driver(make: Callable[[], LightningModule], validates: bool = False, **gradients: Any) -> Any:
    torch.manual_seed(1)
    module = make()
    driver = driver_of(module, **gradients)
    for _ in range(EPOCHS):
        if driver.should_stop:
            break
        driver.begin_epoch()
        for index, batch in enumerate(make_batches(BATCHES)):
            driver.train_batch(batch, last=index == BATCHES - 1)
            if driver.should_stop:
                break
        if validates:
            driver.evaluate(*HELD_OUT)
        driver.end_epoch()
    driver.teardown()
    return module


class Notes(Callback):
    """Records which of its hooks are called, and when."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.seen.append(f"callback batch start {batch_idx} {trainer.global_step} {trainer.current_epoch}")

    def on_before_zero_grad(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        self.seen.append("callback zero grad")

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self.seen.append(f"callback epoch end {trainer.training} {trainer.sanity_checking}")

    def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self.seen.append(f"callback validation end {trainer.validating} {pl_module.training}")


class Watches(Regression):
    """Records the attributes of its trainer."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[object] = []

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss = self.loss(batch)
        self.log("loss", loss)
        trainer = self.trainer
        self.seen += [
            trainer.is_last_batch, trainer.num_training_batches, trainer.max_epochs, trainer.global_step,
            trainer.estimated_stepping_batches, trainer.current_epoch, trainer.training, trainer.validating,
            trainer.world_size, trainer.is_global_zero, trainer.gradient_clip_val, trainer.accumulate_grad_batches,
            trainer.should_stop, len(trainer.optimizers), trainer.lightning_module is self, trainer.state.fn.value,
            trainer.fast_dev_run, trainer.num_nodes, trainer.logger is None, sorted(trainer.callback_metrics),
            all(isinstance(value, Tensor) for value in trainer.callback_metrics.values()),
        ]  # fmt: skip
        return loss


class StopsInTheMiddle(Watches):
    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.trainer.should_stop = batch_idx == 1
        return super().training_step(batch, batch_idx)


class BringsCallbacks(Regression):
    def configure_callbacks(self) -> Any:
        self.notes = Notes()
        return [self.notes]

    @property
    def seen(self) -> list[str]:
        return self.notes.seen


class Averages(Regression):
    """An average of the weights by Lightning's own callback, which replaces them at the end."""

    def configure_callbacks(self) -> Any:
        return WeightAveraging(avg_fn=get_ema_avg_fn(0.5))


class StopsEarly(Regression):
    def configure_callbacks(self) -> Any:
        return EarlyStopping("score", patience=0, check_on_train_epoch_end=True)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.log("score", 1.0 + self.current_epoch, on_step=False, on_epoch=True)
        return super().training_step(batch, batch_idx)


class KeepsSettings(Regression):
    def __init__(self, rate: float = 0.05) -> None:
        super().__init__()
        self.save_hyperparameters()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=self.hparams["rate"])


class ChoosesLate(Regression):
    """Turns to manual optimization in `setup`."""

    def setup(self, stage: str) -> None:
        self.automatic_optimization = False

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        optimizer = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(self.loss(batch))
        self.clip_gradients(optimizer, gradient_clip_val=0.1, gradient_clip_algorithm="value")
        optimizer.step()


@pytest.mark.parametrize(
    "make", [Watches, StopsInTheMiddle, BringsCallbacks, Averages, StopsEarly, KeepsSettings, ChoosesLate]
)
def test_lightning_driver_gives_modules_what_lightning_trainer_gives_them(make: Callable[[], LightningModule]) -> None:
    expected, found = by_lightning(make), by_driver(make)
    for name, value in expected.state_dict().items():
        assert torch.equal(value, found.state_dict()[name]), name
    assert getattr(found, "seen", None) == getattr(expected, "seen", None)


class Validates(Regression):
    """Uses all hooks of validation, and changes its state in them."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(SIZE, 16), nn.BatchNorm1d(16), nn.Linear(16, 1))
        self.error = torchmetrics.MeanSquaredError()
        self.best = torchmetrics.MinMetric()
        self.losses: list[float] = []
        self.seen: list[object] = []

    def configure_callbacks(self) -> Any:
        notes = Notes()
        notes.seen = self.seen  # type: ignore[assignment]
        return notes

    def note(self, hook: str) -> None:
        self.seen.append((hook, self.training, torch.is_grad_enabled(), self.current_epoch, self.global_step))

    def on_validation_model_eval(self) -> None:
        self.note("model eval")
        super().on_validation_model_eval()

    def on_validation_model_train(self) -> None:
        self.note("model train")
        self.train()

    def on_validation_start(self) -> None:
        self.note("start")

    def on_validation_epoch_start(self) -> None:
        self.note("epoch start")

    def on_validation_batch_start(self, batch: Batch, batch_idx: int) -> None:
        self.note(f"batch start {batch_idx}")

    def validation_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss = self.loss(batch)
        self.losses.append(float(loss))
        self.error(self.net(batch["x"]).squeeze(-1), batch["y"])
        self.log("error", self.error)
        self.note(f"step {batch_idx}")
        return loss

    def on_validation_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        self.note(f"batch end {batch_idx} {float(outputs)}")

    def on_validation_epoch_end(self) -> None:
        self.best.update(torch.tensor(sum(self.losses)))
        self.log("best", self.best.compute())
        self.seen.append((len(self.losses), float(self.best.compute())))
        self.losses.clear()

    def on_validation_end(self) -> None:
        self.note("end")

    def on_train_epoch_end(self) -> None:
        self.note("train epoch end")


def test_lightning_driver_calls_validation_hooks_as_lightning_trainer_does() -> None:
    expected, found = by_lightning(Validates, validates=True), by_driver(Validates, validates=True)
    assert len(expected.seen) > 20
    assert found.seen == expected.seen
    for name, value in expected.state_dict().items():
        assert torch.equal(value, found.state_dict()[name]), name


class Holds(Regression):
    """Its training step changes every kind of state that a module can have."""

    def __init__(self) -> None:
        super().__init__()
        self.error = torchmetrics.MeanSquaredError()
        self.kept = torchmetrics.CatMetric()
        self.count, self.rows, self.by_name = 0, [torch.zeros(1)], {"steps": 0}
        self.array, self.tensor = np.zeros(2), torch.zeros(2)
        self.own = torch.Generator().manual_seed(3)
        self.numpy, self.python = np.random.default_rng(3), random.Random(3)
        self.register_buffer("seen_rows", torch.zeros(()))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss = self.loss(batch)
        self.error(self.net(batch["x"]).squeeze(-1), batch["y"])
        self.kept.update(loss.detach())
        self.log("error", self.error, on_step=False, on_epoch=True)
        self.log("count", float(self.count), on_step=False, on_epoch=True)
        self.count += 1
        self.rows.append(loss.detach())
        self.rows[0] += 1
        self.by_name["steps"] += 1
        self.array += 1
        self.tensor += 1
        self.seen_rows += len(batch["x"])
        drawn = torch.rand((), generator=self.own) + self.numpy.random() + self.python.random() + np.random.random()
        with torch.no_grad():
            self.net[0].bias += 0.01 * drawn
        if batch_idx == 99:
            self.late = 1
        return loss


def test_lightning_driver_evaluation_by_the_training_step_does_not_change_training() -> None:
    torch.manual_seed(1)
    measured = Holds()
    torch.manual_seed(1)
    plain = Holds()
    rows: dict[str, list[Any]] = {"measured": [], "plain": []}
    for name, module in (("measured", measured), ("plain", plain)):
        np.random.seed(5)
        driver = driver_of(module)
        for _ in range(4):
            driver.begin_epoch()
            for batch in make_batches(3):
                rows[name].append(driver.train_batch(batch))
                if name == "measured":
                    found = driver.evaluate(*HELD_OUT)
            rows[name].append(driver.end_epoch())
    assert rows["measured"] == rows["plain"]
    assert all(math.isfinite(value) for row in rows["measured"] for value in row.values())
    assert math.isfinite(found.metrics["error"])
    for name, value in plain.state_dict().items():
        assert torch.equal(value, measured.state_dict()[name]), name
    assert (measured.count, measured.by_name, len(measured.rows)) == (plain.count, plain.by_name, len(plain.rows))
    assert torch.equal(measured.rows[0], plain.rows[0])
    assert np.array_equal(measured.array, plain.array)
    assert torch.equal(measured.tensor, plain.tensor)
    assert torch.equal(measured.kept.compute(), plain.kept.compute())
    assert measured.numpy.random() == plain.numpy.random()
    assert measured.python.random() == plain.python.random()


class SharesItsMetric(Regression):
    """One torchmetric for both training and validation: a common mistake."""

    def __init__(self) -> None:
        super().__init__()
        self.error = torchmetrics.MeanSquaredError()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.error(self.net(batch["x"]).squeeze(-1), batch["y"])
        self.log("error", self.error, on_step=False, on_epoch=True)
        return self.loss(batch)

    def validation_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.error(self.net(batch["x"]).squeeze(-1), batch["y"])
        self.log("held_out_error", self.error)
        return self.loss(batch)


def test_lightning_driver_evaluation_keeps_the_training_epoch_of_a_shared_metric() -> None:
    def epoch(measures: bool) -> dict[str, float]:
        torch.manual_seed(1)
        driver = driver_of(SharesItsMetric())
        driver.begin_epoch()
        for batch in make_batches(3):
            driver.train_batch(batch)
        if measures:
            assert driver.evaluate(*HELD_OUT).metrics["held_out_error"] > 0
        return driver.end_epoch()

    assert epoch(True) == epoch(False)


class Asks(Regression):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.asked = name

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        getattr(self.trainer, self.asked)
        return self.loss(batch)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("save_checkpoint", "launcher saves"), ("fit_loop", "is_last_batch"), ("datamodule", "buffers"), ("odd", "docs")],
)
def test_lightning_driver_error_for_a_missing_trainer_attribute_has_model_and_hint(name: str, hint: str) -> None:
    driver = driver_of(Asks(name))
    driver.begin_epoch()
    with pytest.raises(AttributeError, match=rf"model 'model' \(Asks\) uses self\.trainer\.{name}.*{hint}"):
        driver.train_batch(make_batches(1)[0])


class Sets(Regression):
    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.trainer.limit_train_batches = 3
        return self.loss(batch)

    def train_dataloader(self) -> list[Batch]:
        raise AssertionError("not called")


def test_lightning_driver_warns_once_of_calls_and_settings_without_effect() -> None:
    with pytest.warns(UserWarning, match=r"Sets\.train_dataloader is not called.*buffer"):
        driver = driver_of(Sets())
    driver.begin_epoch()
    with pytest.warns(UserWarning, match=r"\(Sets\) sets self\.trainer\.limit_train_batches, which has no effect"):
        driver.train_batch(make_batches(1)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        driver.train_batch(make_batches(1)[0])


def test_lightning_driver_restores_the_state_of_callbacks() -> None:
    module = StopsEarly()
    driver = driver_of(module)
    driver.begin_epoch()
    driver.train_batch(make_batches(1)[0])
    driver.end_epoch()
    other = driver_of(StopsEarly())
    other.load_state(driver.state())
    (before,), (after,) = driver.hooks.callbacks, other.hooks.callbacks
    assert isinstance(before, EarlyStopping)
    assert isinstance(after, EarlyStopping)
    assert after.best_score == before.best_score == 1.0


class Grows(Regression):
    """Trains its second half from the third batch on."""

    def __init__(self, prepared: bool = False) -> None:
        super().__init__()
        self.extra = nn.Linear(1, 1)
        self.prepared = prepared

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.net.parameters(), lr=1e-2)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        if batch_idx == 2:
            self.add()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self.prepared:
            self.add()

    def add(self) -> None:
        self.optimizers().optimizer.add_param_group({"params": list(self.extra.parameters()), "lr": 1e-3})


def test_lightning_driver_loads_added_parameter_groups_only_if_a_hook_adds_them() -> None:
    driver = driver_of(Grows())
    driver.begin_epoch()
    for batch in make_batches(4):
        driver.train_batch(batch)
    state = driver.state()
    with pytest.raises(
        ValueError, match=r"optimizer 0 \(Adam\) has 1 parameter groups of \[4\].*2 of \[4, 2\].*add_param"
    ):
        driver_of(Grows()).load_state(state)
    resumed = driver_of(Grows(prepared=True))
    resumed.load_state(state)
    assert [group["lr"] for group in resumed.optimizers[0].param_groups] == [1e-2, 1e-3]


class Optimized(Regression):
    def __init__(self, make: Callable[[Any], Any], width: int = 16) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(SIZE, width), nn.Tanh(), nn.Linear(width, 1))
        self.make = make

    def configure_optimizers(self) -> Any:
        return self.make(self.parameters())


def adam(parameters: Any) -> Any:
    return torch.optim.Adam(parameters)


def sgd(parameters: Any) -> Any:
    return torch.optim.SGD(parameters, lr=0.1)


def scheduled(parameters: Any) -> Any:
    optimizer = torch.optim.Adam(parameters)
    return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]


@pytest.mark.parametrize(
    ("now", "message"),
    [
        (lambda: Optimized(sgd), r"makes 1 optimizer \(SGD\) now, but 1 optimizer \(Adam\) was saved"),
        (lambda: Optimized(scheduled), r"makes 1 scheduler \(StepLR\) now, but 0 schedulers were saved"),
        (lambda: Optimized(adam, width=8), r"exp_avg of the shape \(16, 6\).*shape \(8, 6\) now; .*sizes of the run"),
    ],
)
def test_lightning_driver_error_names_differences_from_the_saved_optimizers(
    now: Callable[[], LightningModule], message: str
) -> None:
    driver = driver_of(Optimized(adam))
    driver.begin_epoch()
    driver.train_batch(make_batches(1)[0])
    with pytest.raises(ValueError, match=message):
        driver_of(now()).load_state(driver.state())
