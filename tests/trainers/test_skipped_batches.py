"""Skipped batches are counted, and a trainer that skips many in a row warns."""

from __future__ import annotations

import logging
import math
from typing import Any

import pytest
import torch
import torchmetrics
from torch import Tensor

from pamiq_exp.buffers import DataUser, RingBuffer
from pamiq_exp.component import collect_state, restore_state
from pamiq_exp.lightning_loop import GradientSettings, LightningDriver, NonFiniteError
from pamiq_exp.trainers import ReplayTrainer, TrainingContext
from tests.trainers.modules import SIZE, Batch, Regression, cpu, make_batches

FIELDS = {"x": {"shape": [SIZE], "dtype": "float32"}, "y": {"shape": [], "dtype": "float32"}}


class Part:
    """A trainer whose data are not finite while `broken`."""

    def __init__(self, on_nonfinite: Any = "skip") -> None:
        self.trainer = ReplayTrainer("model", "data", 4, train_every=1, gradient_steps=10)
        self.user = DataUser(RingBuffer(1, 2, FIELDS))
        context = TrainingContext({"model": Regression()}, {"data": self.user}, cpu(), on_nonfinite)
        self.trainer.attach(context)

    def round(self, broken: bool) -> list[dict[str, float]]:
        value = math.nan if broken else 1.0
        x, y = torch.ones(2, SIZE).numpy(), torch.full((2,), value).numpy()
        self.user.collector.collect({"x": x, "y": y})
        self.user.update()
        return [dict(metrics) for metrics in self.trainer.round()]


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelno == logging.WARNING]


def test_replay_trainer_warns_once_of_many_skipped_batches_and_logs_recovery(caplog: pytest.LogCaptureFixture) -> None:
    part = Part()
    part.round(broken=False)
    for _ in range(4):
        part.round(broken=True)
    assert not warnings_of(caplog), "40 batches"
    for _ in range(4):
        part.round(broken=True)
    assert len(warnings_of(caplog)) == 1
    assert "'model' learns nothing: 50 batches in a row were skipped; of the newest one the loss is nan" in caplog.text
    part.round(broken=False)
    assert "'model' learns again, after 80 batches" in caplog.text
    caplog.clear()
    summary = part.trainer.summary()
    assert summary["model_skipped_steps"] == 80
    assert summary["model_skipped_in_a_row"] == 80
    assert math.isfinite(summary["model_loss_last"])
    assert not warnings_of(caplog), "the last batches were trained"


@pytest.mark.parametrize(("good", "bad"), [(0, 1), (1, 5)])
def test_replay_trainer_warns_if_the_run_ends_with_skipped_batches(
    good: int, bad: int, caplog: pytest.LogCaptureFixture
) -> None:
    part = Part()
    for _ in range(good):
        part.round(broken=False)
    for _ in range(bad):
        metrics = part.round(broken=True)
    assert [row["skipped_steps"] for row in metrics[-2:]] == [10 * bad - 1, 10 * bad]
    assert all(math.isfinite(value) for row in metrics for value in row.values())
    caplog.clear()
    part.trainer.summary()
    assert f"the run ends while the model 'model' learns nothing: its last {10 * bad} batches" in caplog.text


def test_replay_trainer_restores_the_count_of_skipped_batches() -> None:
    part, other = Part(), Part()
    part.round(broken=True)
    restore_state(other.trainer, collect_state(part.trainer))
    other.trainer.driver.load_state(part.trainer.driver.state())
    other.round(broken=True)
    assert other.trainer.summary()["model_skipped_in_a_row"] == 20


def test_non_finite_error_names_the_field_of_the_batch() -> None:
    with pytest.raises(NonFiniteError, match=r"the loss is nan.*not finite in y: .*environment"):
        Part("stop").round(broken=True)


class Refuses(Regression):
    """Like distributions that check their arguments."""

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        if not torch.isfinite(batch["y"]).all():
            raise ValueError("expected parameter loc to satisfy the constraint Real()")
        return self.loss(batch)


class Averages(Regression):
    """An average of its weights, a minimum that begins at infinity, a metric, and an optimizer stepped by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("average", torch.zeros(16, SIZE))
        self.register_buffer("lowest", torch.tensor(math.inf))
        self.error = torchmetrics.MeanSquaredError()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss = self.loss(batch)
        self.error(self.net(batch["x"]).squeeze(-1), batch["y"])
        self.log("error", self.error, on_step=False, on_epoch=True)
        self.log("epoch_loss", loss, on_step=False, on_epoch=True)
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        self.average.lerp_(self.net[0].weight.detach(), 0.5)
        self.lowest = torch.minimum(self.lowest, batch["y"].min())


def train(module: Regression, batches: list[Batch], **settings: Any) -> tuple[LightningDriver, dict[str, float]]:
    driver = LightningDriver("model", module, cpu(), GradientSettings(on_nonfinite="skip", **settings))
    driver.begin_epoch()
    for index, batch in enumerate(batches):
        driver.train_batch(batch, last=index == len(batches) - 1)
    return driver, driver.end_epoch()


@pytest.mark.parametrize("make", [Refuses, Averages])
@pytest.mark.parametrize("field", ["x", "y"])
def test_lightning_driver_metrics_and_state_exclude_a_skipped_batch(make: Any, field: str) -> None:
    batches = make_batches(5)
    bad = {**batches[2], field: torch.full_like(batches[2][field], math.nan)}
    torch.manual_seed(0)
    with_bad, metrics = train(make(), [*batches[:2], bad, *batches[3:]])
    torch.manual_seed(0)
    without, expected = train(make(), [*batches[:2], *batches[3:]])
    assert (with_bad.skipped_steps, without.skipped_steps) == (1, 0)
    assert metrics == expected
    for name, value in without.module.state_dict().items():
        assert torch.equal(value, with_bad.module.state_dict()[name]), name


def test_lightning_driver_skips_gradients_accumulated_with_a_non_finite_batch() -> None:
    batches = make_batches(6, size=8)
    bad = {**batches[2], "y": torch.full_like(batches[2]["y"], math.nan)}
    torch.manual_seed(0)
    with_bad, metrics = train(Averages(), [*batches[:2], bad, *batches[3:]], accumulate_batches=2)
    torch.manual_seed(0)
    without, expected = train(Averages(), [*batches[:2], *batches[4:]], accumulate_batches=2)
    assert (with_bad.optimizer_steps, without.optimizer_steps) == (2, 2)
    assert metrics == expected
    for name, value in without.module.state_dict().items():
        assert torch.equal(value, with_bad.module.state_dict()[name]), name


def test_lightning_driver_raises_errors_unrelated_to_non_finite_numbers() -> None:
    class Buggy(Regression):
        def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
            raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        train(Buggy(), make_batches(1))
