"""The driver: one optimizer for the whole run, finite parameters, exact resumption, independent copies."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import LightningModule
from torch import Tensor, nn
from torch.optim import lr_scheduler

from pamiq_exp.component import State
from pamiq_exp.lightning_loop import GradientSettings, LightningDriver, NonFiniteError
from pamiq_exp.runtime.checkpoints import read_checkpoint, write_checkpoint
from tests.cases import error_of
from tests.trainers.modules import SIZE, Batch, Regression, cpu, make_batches

Configure = Callable[[LightningModule], Any]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


class Configured(Regression):
    """With dropout, and with the given optimizers."""

    def __init__(self, configure: Configure) -> None:
        super().__init__()
        self.net.append(nn.Dropout(0.2))
        self.configure = configure

    def configure_optimizers(self) -> Any:
        return self.configure(self)


def two_phases(optimizer: torch.optim.Optimizer) -> lr_scheduler.LRScheduler:
    phases = [lr_scheduler.LinearLR(optimizer, 0.1, total_iters=4), lr_scheduler.CosineAnnealingLR(optimizer, 9)]
    return lr_scheduler.SequentialLR(optimizer, phases, milestones=[4])


SCHEDULERS: dict[str, Callable[[torch.optim.Optimizer], Any]] = {
    "several milestones": lambda optimizer: lr_scheduler.MultiStepLR(optimizer, [2, 5, 5, 9], gamma=0.5),
    "two phases": two_phases,
    "one cycle": lambda optimizer: lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=40),
    "restarts": lambda optimizer: lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 3),
    "function": lambda optimizer: lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step)),
    "plateau": lambda optimizer: lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=0.3),
    "chain": lambda optimizer: lr_scheduler.ChainedScheduler([lr_scheduler.ExponentialLR(optimizer, 0.9)]),
}
OPTIMIZERS: dict[str, Callable[[LightningModule], torch.optim.Optimizer]] = {
    "adam": lambda module: torch.optim.Adam(module.parameters(), lr=1e-2, amsgrad=True, betas=(0.8, 0.99)),
    "momentum": lambda module: torch.optim.SGD(module.parameters(), lr=1e-2, momentum=0.9),
    "lbfgs": lambda module: torch.optim.LBFGS(module.parameters(), lr=0.1, max_iter=3),
}


def configurations() -> dict[str, Configure]:
    def scheduled(name: str) -> Configure:
        def configure(module: LightningModule) -> Any:
            optimizer = OPTIMIZERS["adam"](module)
            settings = {"scheduler": SCHEDULERS[name](optimizer), "interval": "step", "monitor": "loss"}
            return {"optimizer": optimizer, "lr_scheduler": settings}

        return configure

    return {**OPTIMIZERS, **{name: scheduled(name) for name in SCHEDULERS}}


def driver_of(module: LightningModule, **gradients: Any) -> LightningDriver:
    return LightningDriver("model", module, cpu(), GradientSettings(**gradients))


def train(driver: LightningDriver, batches: list[Batch]) -> list[dict[str, float]]:
    driver.begin_epoch()
    return [driver.train_batch(batch) for batch in batches] + [driver.end_epoch()]


def through_files(state: State, folder: Path) -> State:
    return read_checkpoint(write_checkpoint(folder, 1, {"driver": state}, keep=1))["driver"]


@pytest.mark.parametrize("name", configurations())
def test_driver_resumes_from_a_checkpoint_to_the_same_bits(name: str, tmp_path: Path) -> None:
    configure = configurations()[name]
    batches = make_batches(24)
    torch.manual_seed(1)
    uninterrupted = driver_of(Configured(configure), clip=0.5)
    resumed_module = copy.deepcopy(uninterrupted.module)
    train(uninterrupted, batches[:8])
    weights = copy.deepcopy(uninterrupted.module.state_dict())
    state, randomness = copy.deepcopy(through_files(uninterrupted.state(), tmp_path)), torch.get_rng_state()
    expected = train(uninterrupted, batches[8:16]) + train(uninterrupted, batches[16:])

    resumed = driver_of(resumed_module, clip=0.5)
    resumed_module.load_state_dict(weights)
    resumed.load_state(state)
    before = json.dumps(plain(state))
    torch.set_rng_state(randomness)
    actual = train(resumed, batches[8:16]) + train(resumed, batches[16:])

    assert actual == expected
    for key, value in uninterrupted.module.state_dict().items():
        assert torch.equal(value, resumed_module.state_dict()[key])
    assert json.dumps(plain(resumed.state())) == json.dumps(plain(uninterrupted.state()))
    assert resumed.batches == 24
    assert json.dumps(plain(state)) == before, "training must not write into the state it was restored from"


def plain(value: Any) -> Any:
    """A state as something that can be compared."""
    if isinstance(value, Tensor):
        return value.tolist()
    if isinstance(value, dict):
        return [[str(key), plain(item)] for key, item in value.items()]
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


class RemembersEpisodes(Regression):
    def __init__(self) -> None:
        super().__init__()
        self.episodes = [1]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        assert "net.0.weight" in checkpoint["state_dict"]
        checkpoint["episodes"] = self.episodes

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.episodes = checkpoint["episodes"]


def test_driver_restores_what_a_module_adds_to_its_checkpoint(tmp_path: Path) -> None:
    module = RemembersEpisodes()
    module.episodes = [1, 2, 3]
    state = through_files(driver_of(module).state(), tmp_path)
    fresh = RemembersEpisodes()
    driver_of(fresh).load_state(state)
    assert fresh.episodes == [1, 2, 3]


class Breaks(Regression):
    """Its loss or its gradient is not finite in one batch."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self.where = where

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss = self.loss(batch)
        if batch_idx == 2 and self.where == "loss":
            loss = loss + math.inf
        if batch_idx == 2 and self.where == "gradient":
            loss = loss + self.net[0].bias.sub(self.net[0].bias).pow(2).sum().sqrt()
        return loss


class BreaksByHand(Breaks):
    def __init__(self, where: str) -> None:
        super().__init__(where)
        self.automatic_optimization = False

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        optimizer = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()
        return loss


CASES: list[tuple[Callable[[str], LightningModule], str, dict[str, Any]]] = [
    (Breaks, "loss", {}),
    (Breaks, "gradient", {"clip": 1.0}),
    (Breaks, "gradient", {"clip": 1.0, "clip_algorithm": "value"}),
    (BreaksByHand, "gradient", {}),
]


@pytest.mark.parametrize(("make", "where", "settings"), CASES)
def test_driver_stop_names_model_and_step_and_keeps_the_parameters(
    make: Callable[[str], LightningModule], where: str, settings: dict[str, Any]
) -> None:
    driver = driver_of(make(where), on_nonfinite="stop", **settings)
    driver.begin_epoch()
    batches = make_batches(4)
    for batch in batches[:2]:
        driver.train_batch(batch)
    before = copy.deepcopy(driver.module.state_dict())
    with pytest.raises(NonFiniteError, match=f"'model'.*step 2.*{where}.*on_nonfinite=skip"):
        driver.train_batch(batches[2])
    assert all(torch.equal(value, before[name]) for name, value in driver.module.state_dict().items())


@pytest.mark.parametrize(("make", "where", "settings"), CASES)
def test_driver_skip_counts_the_step_and_ignores_the_batch(
    make: Callable[[str], LightningModule], where: str, settings: dict[str, Any]
) -> None:
    module = make(where)
    untouched = copy.deepcopy(module)
    untouched.where = "nowhere"
    driver, reference = driver_of(module, on_nonfinite="skip", **settings), driver_of(untouched, **settings)
    batches = make_batches(5)
    driver.begin_epoch()
    reference.begin_epoch()
    for index, batch in enumerate(batches):
        driver.train_batch(batch)
        if index != 2:
            reference.train_batch(batch)
    assert driver.skipped_steps == 1
    assert all(torch.equal(value, untouched.state_dict()[name]) for name, value in module.state_dict().items())


def test_driver_keeps_the_same_parameter_and_optimizer_objects(tmp_path: Path) -> None:
    module = Regression()
    parameters = list(module.parameters())
    driver = driver_of(module)
    optimizer = driver.optimizers[0]
    train(driver, make_batches(3))
    driver.load_state(through_files(driver.state(), tmp_path))
    train(driver, make_batches(3))
    assert driver.optimizers[0] is optimizer
    assert [id(parameter) for parameter in module.parameters()] == [id(parameter) for parameter in parameters]
    assert optimizer.param_groups[0]["params"][0] is parameters[0]


def test_driver_is_not_reached_by_a_copy_of_its_module() -> None:
    module = Regression()
    driver = driver_of(module)
    train(driver, make_batches(2))
    copied = copy.deepcopy(module).eval()
    logged = dict(driver.logged.values)
    copied.training_step(make_batches(1)[0], 0)
    assert driver.logged.values == logged
    assert copied.fabric is None
    assert copied.global_step == 0
    assert module.global_step == 2
    assert not any(value is driver for value in vars(copied).values())


def test_driver_teardown_frees_the_module_for_another_driver() -> None:
    module = Regression()
    driver = driver_of(module)
    with pytest.raises(ValueError, match="two trainers"):
        driver_of(module)
    driver.teardown()
    driver.teardown()
    assert module.fabric is None
    train(driver_of(module), make_batches(2))


class AsksEarly(Regression):
    """Uses services of its trainer before there are optimizers, and fails at first."""

    broken = True

    def setup(self, stage: str) -> None:
        assert self.trainer.accumulate_grad_batches == 2
        assert self.global_step == 0

    def configure_optimizers(self) -> Any:
        assert self.trainer.gradient_clip_val == 0.5
        return None if self.broken else super().configure_optimizers()


def test_driver_gives_a_module_its_trainer_in_setup_and_frees_it_on_an_error() -> None:
    module = AsksEarly()
    with pytest.raises(ValueError, match="0 optimizers"):
        driver_of(module, clip=0.5, accumulate_batches=2)
    assert module.fabric is None
    module.broken = False
    train(driver_of(module, clip=0.5, accumulate_batches=2), make_batches(2))
    assert module.global_step == 1


class Contains(Regression):
    """Has another LightningModule inside."""

    def __init__(self, part: LightningModule) -> None:
        super().__init__()
        self.part = part


@pytest.mark.parametrize("part_first", [True, False])
def test_driver_works_for_a_module_inside_another(part_first: bool) -> None:
    part = Regression()
    whole = Contains(part)
    modules: list[LightningModule] = [part, whole] if part_first else [whole, part]
    drivers = {id(module): driver_of(module) for module in modules}
    train(drivers[id(whole)], make_batches(3))
    train(drivers[id(part)], make_batches(2))
    assert (whole.global_step, part.global_step) == (3, 2)
    drivers[id(whole)].teardown()
    train(drivers[id(part)], make_batches(1))
    assert part.global_step == 3
    drivers[id(part)].teardown()
    assert part.fabric is whole.fabric is None


class Noisy(Regression):
    """A module whose loss shows mode and random numbers, and whose validation differs from training."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(SIZE, 16), nn.BatchNorm1d(16), nn.Dropout(0.5), nn.Linear(16, 1))
        self.net[0].eval()

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        assert not torch.is_grad_enabled()
        loss = self.loss(batch) + torch.rand(())
        self.log("val_loss", loss)
        return {"loss": loss}


def test_driver_evaluation_changes_no_weights_modes_or_generators() -> None:
    driver = driver_of(Noisy())
    train(driver, make_batches(3))
    batch = make_batches(2)[0]
    modes = [part.training for part in driver.module.modules()]
    weights, randomness = copy.deepcopy(driver.module.state_dict()), torch.get_rng_state()
    first, second = driver.evaluate(batch), driver.evaluate(batch)
    assert first == second
    assert first.metrics == {"val_loss": first.loss}
    assert driver.logged.values["val_loss"] == first.loss
    assert torch.equal(torch.get_rng_state(), randomness)
    assert [part.training for part in driver.module.modules()] == modes
    assert all(torch.equal(value, weights[name]) for name, value in driver.module.state_dict().items())


def test_driver_evaluation_without_a_validation_step_uses_the_training_step() -> None:
    driver = driver_of(Regression())
    batch = make_batches(1)[0]
    assert driver.evaluate(batch).loss == pytest.approx(float(driver.module.loss(batch).detach()))
    assert driver.logged.values == {}


class Counts(Regression):
    """Its training step keeps statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("rebound", torch.zeros(()))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.calls += 1
        self.rebound = self.rebound + 1
        return self.loss(batch)


def test_driver_evaluation_by_the_training_step_keeps_the_statistics() -> None:
    driver = driver_of(Counts())
    driver.evaluate(make_batches(1)[0])
    assert driver.module.state_dict()["calls"] == 0
    assert driver.module.state_dict()["rebound"] == 0
    train(driver, make_batches(2))
    assert driver.module.state_dict()["calls"] == 2


def test_driver_evaluation_by_a_training_step_that_trains_is_refused() -> None:
    with pytest.raises(TypeError, match="validation_step"):
        driver_of(BreaksByHand("nowhere")).evaluate(make_batches(1)[0])


def test_driver_refuses_a_checkpoint_of_other_optimizers() -> None:
    state = driver_of(Configured(OPTIMIZERS["adam"])).state()
    with pytest.raises(ValueError, match=r"'model' \(Configured\).*makes 1 scheduler \(OneCycleLR\) now, but 0 sched"):
        driver_of(Configured(configurations()["one cycle"])).load_state(state)


@pytest.mark.parametrize("name", ["function", "several milestones", "two phases"])
def test_driver_applies_settings_changed_since_the_checkpoint(name: str, tmp_path: Path) -> None:
    def configure(learning_rate: float, momentum: float) -> Configure:
        def make(module: LightningModule) -> Any:
            optimizer = torch.optim.SGD(module.parameters(), lr=learning_rate, momentum=momentum)
            return [optimizer], [SCHEDULERS[name](optimizer)]

        return make

    def rates(driver: LightningDriver) -> list[float]:
        found = []
        for batch in make_batches(8):
            train(driver, [batch])
            found.append(driver.optimizers[0].param_groups[0]["lr"])
        return found

    before = driver_of(Configured(configure(0.1, 0.9)))
    train(before, make_batches(3))
    state = through_files(before.state(), tmp_path)
    expected = [rate / 2 for rate in rates(before)]
    after = driver_of(Configured(configure(0.05, 0.5)))
    after.load_state(state)
    assert after.optimizers[0].param_groups[0]["momentum"] == 0.5
    assert rates(after) == pytest.approx(expected)


class Embeds(Regression):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(5, 3, sparse=True)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return self.table(torch.tensor([1, 3])).square().sum()

    def configure_optimizers(self) -> Any:
        return torch.optim.SparseAdam(self.table.parameters())


def test_driver_sparse_gradients_are_checked_and_applied() -> None:
    driver = driver_of(Embeds(), clip=100.0)
    before = driver.module.table.weight.detach().clone()
    train(driver, make_batches(1))
    changed = (driver.module.table.weight != before).any(dim=1)
    assert changed.tolist() == [False, True, False, True, False]
    assert driver.gradient_norm == pytest.approx(float(2 * before[[1, 3]].norm()), rel=1e-5)


class WrongOptimizers(Regression):
    def __init__(self, output: Callable[[LightningModule], Any]) -> None:
        super().__init__()
        self.output = output

    def configure_optimizers(self) -> Any:
        return self.output(self)


def sgd(module: LightningModule) -> torch.optim.Optimizer:
    return torch.optim.SGD(module.parameters(), lr=0.1)


def by_the_day(module: LightningModule) -> Any:
    optimizer = sgd(module)
    return [optimizer], [{"scheduler": lr_scheduler.StepLR(optimizer, 1), "interval": "day"}]


WRONG_OPTIMIZERS: list[tuple[Configure, str]] = [
    (lambda module: None, "0 optimizers.*return one"),
    (lambda module: [sgd(module), sgd(module)], "2 optimizers.*automatic_optimization = False"),
    (lambda module: "adam", "returned a str"),
    (lambda module: [sgd(module), 3], "'int'.*where optimizers belong"),
    (lambda module: ([sgd(module)], [lr_scheduler.StepLR(sgd(module), 1)]), "scheduler of an optimizer"),
    (lambda module: ([optimizer := sgd(module)], [lr_scheduler.ReduceLROnPlateau(optimizer)]), '"monitor"'),
    (lambda module: ([sgd(module)], [{"interval": "step"}]), '"scheduler"'),
    (by_the_day, "'day'"),
]


def test_driver_optimizers_that_cannot_work_are_refused_with_a_hint() -> None:
    for output, message in WRONG_OPTIMIZERS:
        with pytest.raises((ValueError, TypeError), match=message):
            driver_of(WrongOptimizers(output))


def test_driver_names_a_monitor_that_was_never_logged() -> None:
    def configure(module: LightningModule) -> Any:
        optimizer = sgd(module)
        return {"optimizer": optimizer, "lr_scheduler": lr_scheduler.ReduceLROnPlateau(optimizer), "monitor": "reward"}

    with pytest.raises(ValueError, match=r"'reward'.*not logged.*\['loss'\]"):
        train(driver_of(WrongOptimizers(configure)), make_batches(2))


def test_gradient_settings_refuse_invalid_values() -> None:
    cases = {"clip": -1.0, "clip_algorithm": "l1", "accumulate_batches": 0, "on_nonfinite": "ignore"}
    for name, value in cases.items():
        assert str(value) in error_of(ValueError, GradientSettings, **{name: value}), name


@pytest.mark.parametrize("settings", [{"clip": 1.0}, {"accumulate_batches": 2}])
def test_driver_refuses_clipping_and_accumulation_for_manual_optimization(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"self\.clip_gradients"):
        driver_of(BreaksByHand("nowhere"), **settings)


class LogsBadly(Regression):
    def __init__(self, log: Callable[[LightningModule], None], hook: str) -> None:
        super().__init__()
        setattr(self, hook, lambda *arguments: log(self))


WRONG_LOGGING: list[tuple[str, Callable[[LightningModule], Any], str]] = [
    ("on_train_batch_end", lambda module: module.log("a", torch.zeros(2)), "a number"),
    ("on_train_batch_end", lambda module: module.log("a", 1, on_step=False), "never be seen"),
    ("on_train_batch_end", lambda module: module.log("a", 1, on_epoch=True, reduce_fx="median"), "'median'"),
    ("on_train_epoch_end", lambda module: module.log("a", 1, on_step=True), "once an epoch"),
    ("on_fit_end", lambda module: module.log("a", 1), "on_fit_end"),
    (
        "on_train_batch_end",
        lambda module: (module.log("a", 1), module.log("a", 1, on_epoch=True)),
        "different arguments",
    ),
]


def test_driver_logging_that_lightning_refuses_is_refused() -> None:
    def train_and_tear_down(driver: LightningDriver) -> None:
        train(driver, make_batches(1))
        driver.teardown()

    for hook, log, message in WRONG_LOGGING:
        driver = driver_of(LogsBadly(log, hook))
        with pytest.raises((ValueError, RuntimeError), match=message):
            train_and_tear_down(driver)


def test_driver_logging_outside_of_training_is_refused() -> None:
    driver = driver_of(Regression())
    with pytest.raises(RuntimeError, match="outside of training"):
        driver.module.log("a", 1)
